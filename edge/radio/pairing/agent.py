"""The pairing agent: the object that BlueZ asks while a sensor is paired, `org.bluez.Agent1`.

Contract: it answers for one ceremony at a time, and for its address only; everybody else is rejected, at any time. It
knows nothing of services, PIN codes of Bluetooth Classic, or when to pair.

Its capability is KeyboardDisplay, because BlueZ derives from it whether a passkey can be asked for at all. With
NoInputNoOutput, a sensor that wants its passkey is offered a pairing without one, and refuses.
"""

import logging
from typing import Final

from dbus_fast import DBusError
from dbus_fast.annotations import DBusObjectPath, DBusStr, DBusUInt16, DBusUInt32
from dbus_fast.service import ServiceInterface, dbus_method

from edge.radio.pairing.ceremony import Ceremony

log = logging.getLogger(__name__)

PATH: Final = "/org/vitalgate/agent"
CAPABILITY: Final = "KeyboardDisplay"
REJECTED: Final = "org.bluez.Error.Rejected"


class Agent(ServiceInterface):
    """Answers BlueZ for the device that is being paired."""

    def __init__(self) -> None:
        super().__init__("org.bluez.Agent1")
        self.ceremony: Ceremony | None = None

    def _ceremony(self, device: str) -> Ceremony:
        ceremony = self.ceremony
        if ceremony is None or ceremony.address != address_of(device):
            log.warning("a device that is not being paired asks to be: it is rejected")
            raise DBusError(REJECTED, "this device is not being paired")
        return ceremony

    @dbus_method(name="Release")
    def release(self) -> None:
        """BlueZ ends; whoever keeps this registered sees that itself."""

    @dbus_method(name="RequestPasskey")
    async def request_passkey(self, device: DBusObjectPath) -> DBusUInt32:
        passkey = await self._ceremony(device).passkey()
        if passkey is None:
            raise DBusError(REJECTED, "nobody knows the passkey")
        return passkey

    @dbus_method(name="DisplayPasskey")
    def display_passkey(self, device: DBusObjectPath, passkey: DBusUInt32, entered: DBusUInt16) -> None:
        # BlueZ tells this again for each key that is pressed on the sensor.
        if entered == 0:
            self._ceremony(device).show(passkey)

    @dbus_method(name="RequestConfirmation")
    def request_confirmation(self, device: DBusObjectPath, _passkey: DBusUInt32) -> None:
        self._agree(device, "nobody can compare the numbers")

    @dbus_method(name="RequestAuthorization")
    def request_authorization(self, device: DBusObjectPath) -> None:
        self._agree(device, "pairing without a passkey is not accepted")

    def _agree(self, device: str, otherwise: str) -> None:
        if not self._ceremony(device).confirm():
            raise DBusError(REJECTED, otherwise)

    @dbus_method(name="AuthorizeService")
    def authorize_service(self, _device: DBusObjectPath, _uuid: DBusStr) -> None:
        raise DBusError(REJECTED, "this machine offers no service")

    @dbus_method(name="RequestPinCode")
    def request_pin_code(self, _device: DBusObjectPath) -> DBusStr:
        raise DBusError(REJECTED, "Bluetooth Classic is not used")

    @dbus_method(name="DisplayPinCode")
    def display_pin_code(self, _device: DBusObjectPath, _code: DBusStr) -> None:
        raise DBusError(REJECTED, "Bluetooth Classic is not used")

    @dbus_method(name="Cancel")
    def cancel(self) -> None:
        """What BlueZ asked last is no longer to be answered."""
        if self.ceremony is not None:
            self.ceremony.end()


def address_of(path: str) -> str:
    """The address of the device at a path such as /org/bluez/hci0/dev_A4_C1_38_00_00_01."""
    return path.rpartition("/dev_")[2].replace("_", ":").upper()
