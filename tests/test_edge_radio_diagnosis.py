"""Whatever the radio raises is one trouble and one printable line, and neither has an address in it."""

from typing import Any

import pytest
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakCharacteristicNotFoundError,
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
    BleakGATTProtocolErrorCode,
)

from edge.errors import SensorLost
from edge.radio import diagnosis
from edge.radio.diagnosis import CONNECTING, CONVERSING, SEARCHING, TAKING_OVER, diagnose
from edge.radio.trouble import Pause, Trouble
from protocols.errors import DecodeError

ADDRESS = "F0:00:00:00:00:01"
PATH = "/org/bluez/hci0/dev_F0_00_00_00_00_01"


def unavailable(reason: BleakBluetoothNotAvailableReason) -> BleakError:
    return BleakBluetoothNotAvailableError("No powered Bluetooth adapters found.", reason)


CASES: list[tuple[Exception, diagnosis.Doing, Trouble, str]] = [
    (
        unavailable(BleakBluetoothNotAvailableReason.POWERED_OFF),
        SEARCHING,
        Trouble.ADAPTER_OFF,
        "No powered Bluetooth adapters found.",
    ),
    (FileNotFoundError(2, "No such file"), SEARCHING, Trouble.NO_SERVICE, "No such file"),
    (ConnectionRefusedError(111, "Connection refused"), CONNECTING, Trouble.NO_SERVICE, "Connection refused"),
    (EOFError(), CONVERSING, Trouble.NO_SERVICE, "EOFError"),
    (OSError("odd"), CONVERSING, Trouble.NO_SERVICE, "odd"),
    (
        BleakDBusError("org.freedesktop.DBus.Error.ServiceUnknown", ["org.bluez was not provided"]),
        SEARCHING,
        Trouble.NO_SERVICE,
        "[org.freedesktop.DBus.Error.ServiceUnknown] org.bluez was not provided",
    ),
    (
        BleakDBusError("org.bluez.Error.InProgress", ["Operation already in progress"]),
        SEARCHING,
        Trouble.SCAN_REFUSED,
        "[org.bluez.Error.InProgress] Operation already in progress",
    ),
    (
        BleakDBusError("org.bluez.Error.Failed", ["le-connection-abort-by-local"]),
        CONNECTING,
        Trouble.CONNECT_FAILED,
        "[org.bluez.Error.Failed] le-connection-abort-by-local",
    ),
    (
        BleakDBusError("org.bluez.Error.AuthenticationFailed", ["Authentication Failed"]),
        CONNECTING,
        Trouble.PAIRING_FAILED,
        "[org.bluez.Error.AuthenticationFailed] Authentication Failed",
    ),
    (
        BleakDBusError("org.bluez.Error.NotReady", ["Resource Not Ready"]),
        SEARCHING,
        Trouble.ADAPTER_OFF,
        "[org.bluez.Error.NotReady] Resource Not Ready",
    ),
    (TimeoutError(), SEARCHING, Trouble.SERVICE_SILENT, "no answer in time"),
    (TimeoutError(), CONNECTING, Trouble.HELD_ELSEWHERE, "no answer in time"),
    (TimeoutError(), TAKING_OVER, Trouble.CONNECT_FAILED, "no answer in time"),
    (TimeoutError(), CONVERSING, Trouble.NO_ANSWER, "no answer in time"),
    (
        BleakDeviceNotFoundError(ADDRESS, f"Device with address {ADDRESS} was not found."),
        CONNECTING,
        Trouble.CONNECT_FAILED,
        "Device with address (address) was not found.",
    ),
    (
        BleakError(f"device '{PATH}' not\nfound"),
        CONNECTING,
        Trouble.CONNECT_FAILED,
        "device '/org/bluez/hci0/dev_(address)' not\\nfound",
    ),
    (BleakError(), CONVERSING, Trouble.REFUSED, "BleakError"),
    (
        BleakCharacteristicNotFoundError("00002aa8-0000-1000-8000-00805f9b34fb"),
        CONVERSING,
        Trouble.WRONG_KIND,
        "it has no characteristic 00002aa8-0000-1000-8000-00805f9b34fb",
    ),
    (
        BleakGATTProtocolError(BleakGATTProtocolErrorCode.INSUFFICIENT_ENCRYPTION),
        CONVERSING,
        Trouble.PAIRING_FAILED,
        "GATT Protocol Error: Insufficient Encryption",
    ),
    (
        BleakGATTProtocolError(0x80),
        CONVERSING,
        Trouble.REFUSED,
        "GATT Protocol Error: Application-specific Error 0x80",
    ),
    (
        DecodeError("CGM Feature", b"\xde\xad", "5 octets too few"),
        CONVERSING,
        Trouble.NONSENSE,
        "CGM Feature: 5 octets too few",
    ),
    (SensorLost("gone", Trouble.SILENT), CONVERSING, Trouble.SILENT, "gone"),
    (SensorLost("did not report"), CONVERSING, Trouble.NO_ANSWER, "did not report"),
]


@pytest.mark.parametrize(("error", "doing", "trouble", "words"), CASES)
def test_what_is_raised_is_a_trouble_in_words(
    error: Exception, doing: Any, trouble: Trouble, words: str
) -> None:
    assert isinstance(error, diagnosis.FORESEEN)
    told, detail = diagnose(error, doing)
    assert (told, detail) == (trouble, words)
    assert detail.isprintable()
    assert "F0" not in detail


@pytest.mark.parametrize("reason", BleakBluetoothNotAvailableReason)
def test_every_reason_that_bleak_knows_for_no_bluetooth_is_known(
    reason: BleakBluetoothNotAvailableReason,
) -> None:
    trouble, detail = diagnose(unavailable(reason), SEARCHING)
    assert trouble.pause is Pause.STEADY
    assert "Reason" not in detail


@pytest.mark.parametrize("trouble", Trouble)
def test_every_trouble_has_a_cause_and_a_remedy_in_one_line_each(trouble: Trouble) -> None:
    for text in (trouble.cause, trouble.remedy):
        assert text.isprintable()
        assert 10 < len(text) < 200
        assert not text.endswith(".")
    assert trouble.pause in Pause


def test_no_two_troubles_are_told_alike() -> None:
    assert len({trouble.cause for trouble in Trouble}) == len(Trouble)
