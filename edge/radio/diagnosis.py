"""Translates the errors of bleak, D-Bus and the system: into a trouble, and into a line that says what happened.

Contract: `FORESEEN` lists all errors that the radio may raise. `diagnose` makes of each of them one trouble and one
printable line without a Bluetooth address. If the error itself does not tell the trouble, it follows from what was
going on (`Doing`). Every other error is a defect, and ends the process. Pure.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakCharacteristicNotFoundError,
    BleakDBusError,
    BleakError,
    BleakGATTProtocolError,
    BleakGATTProtocolErrorCode,
)

from edge.errors import SensorLost, one_line
from edge.log_masking import mask
from edge.radio.trouble import Trouble
from protocols.errors import DecodeError

# OSError (TimeoutError included) and EOFError: D-Bus is not there, does not answer, or has gone.
FORESEEN: Final = (BleakError, OSError, EOFError, SensorLost, DecodeError)


class Doing(NamedTuple):
    """What was going on: `late` is the trouble if a deadline passed, `otherwise` if the error does not tell it, `busy`
    if BlueZ is at something like it already."""

    late: Trouble
    otherwise: Trouble
    busy: Trouble


SEARCHING: Final = Doing(Trouble.SERVICE_SILENT, Trouble.SCAN_REFUSED, Trouble.SCAN_REFUSED)
CONNECTING: Final = Doing(Trouble.HELD_ELSEWHERE, Trouble.CONNECT_FAILED, Trouble.BLOCKED)
TAKING_OVER: Final = Doing(Trouble.CONNECT_FAILED, Trouble.CONNECT_FAILED, Trouble.BLOCKED)
CONVERSING: Final = Doing(Trouble.NO_ANSWER, Trouble.REFUSED, Trouble.REFUSED)

_NOT_AVAILABLE: Final[Mapping[BleakBluetoothNotAvailableReason, Trouble]] = {
    BleakBluetoothNotAvailableReason.NO_BLUETOOTH: Trouble.NO_ADAPTER,
    BleakBluetoothNotAvailableReason.NO_BLE_CENTRAL_ROLE: Trouble.NO_ADAPTER,
    BleakBluetoothNotAvailableReason.POWERED_OFF: Trouble.ADAPTER_OFF,
    BleakBluetoothNotAvailableReason.DENIED_BY_USER: Trouble.NOT_ALLOWED,
    BleakBluetoothNotAvailableReason.DENIED_BY_SYSTEM: Trouble.NOT_ALLOWED,
    BleakBluetoothNotAvailableReason.DENIED_BY_UNKNOWN: Trouble.NOT_ALLOWED,
    BleakBluetoothNotAvailableReason.UNKNOWN: Trouble.NO_ADAPTER,
}

_DBUS: Final[Mapping[str, Trouble]] = {
    "org.freedesktop.DBus.Error.ServiceUnknown": Trouble.NO_SERVICE,
    "org.freedesktop.DBus.Error.NameHasNoOwner": Trouble.NO_SERVICE,
    "org.freedesktop.DBus.Error.Disconnected": Trouble.NO_SERVICE,
    "org.freedesktop.DBus.Error.NoReply": Trouble.SERVICE_SILENT,
    "org.freedesktop.DBus.Error.Timeout": Trouble.SERVICE_SILENT,
    "org.freedesktop.DBus.Error.AccessDenied": Trouble.NOT_ALLOWED,
    "org.freedesktop.DBus.Error.AuthFailed": Trouble.NOT_ALLOWED,
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired": Trouble.NOT_ALLOWED,
    "org.bluez.Error.NotReady": Trouble.ADAPTER_OFF,
    # It was heard, and does not answer: as when connecting takes too long.
    "org.bluez.Error.ConnectionAttemptFailed": Trouble.HELD_ELSEWHERE,
    "org.bluez.Error.AuthenticationFailed": Trouble.PAIRING_FAILED,
    "org.bluez.Error.AuthenticationCanceled": Trouble.PAIRING_FAILED,
    "org.bluez.Error.AuthenticationRejected": Trouble.PAIRING_FAILED,
    "org.bluez.Error.AuthenticationTimeout": Trouble.PAIRING_FAILED,
    "org.bluez.Error.NotPermitted": Trouble.PAIRING_FAILED,
}

# How BlueZ passes on that the adapter refuses one more connection.
_NO_SLOT: Final = "connection-limit"

_INSECURE: Final = {
    BleakGATTProtocolErrorCode.INSUFFICIENT_AUTHENTICATION,
    BleakGATTProtocolErrorCode.INSUFFICIENT_AUTHORIZATION,
    BleakGATTProtocolErrorCode.INSUFFICIENT_ENCRYPTION,
    BleakGATTProtocolErrorCode.INSUFFICIENT_ENCRYPTION_KEY_SIZE,
}


def diagnose(error: Exception, doing: Doing) -> tuple[Trouble, str]:
    """The trouble, and what happened in one line that may be shown and logged."""
    trouble, words = _told(error, doing)
    return trouble, one_line(mask(words))


def _told(error: Exception, doing: Doing) -> tuple[Trouble, str]:
    match error:
        case SensorLost():
            return error.trouble, error.reason
        case DecodeError():
            # The bytes are health data and stay out of the log.
            return Trouble.NONSENSE, f"{error.characteristic}: {error.reason}"
        case TimeoutError():
            return doing.late, "no answer in time"
        case OSError() | EOFError():
            return Trouble.NO_SERVICE, _plain(error)
        case BleakBluetoothNotAvailableError():
            return _NOT_AVAILABLE[error.reason], str(error.args[0])
        case BleakDBusError():
            return _of_dbus(error, doing), str(error)
        case BleakGATTProtocolError():
            refusal = Trouble.PAIRING_FAILED if error.code in _INSECURE else Trouble.REFUSED
            return refusal, str(error.args[1])
        case BleakCharacteristicNotFoundError():
            return Trouble.WRONG_KIND, f"it has no characteristic {error.char_specifier}"
    return doing.otherwise, _plain(error)


def _of_dbus(error: BleakDBusError, doing: Doing) -> Trouble:
    if error.dbus_error == "org.bluez.Error.InProgress":
        return doing.busy
    if _NO_SLOT in str(error):
        return Trouble.NO_SLOT
    return _DBUS.get(error.dbus_error, doing.otherwise)


def _plain(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or str(error) or type(error).__name__
