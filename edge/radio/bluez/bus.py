"""A connection to the system's message bus (D-Bus), over which the Bluetooth service is reached.

Contract: one connection, which ends once and is then never used again; whoever wants another makes another. Every
failure is one of `diagnosis.FORESEEN`: an error that came as an answer is a BleakDBusError. A call may never end, as
the other side may not answer; deadlines are the caller's.

What is said over it, and what it means, is decided in `watch` and `mending`. The bus of this machine is in
`system_bus`; a simulated machine offers the same interface.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

DBUS: Final = "org.freedesktop.DBus"
BLUEZ: Final = "org.bluez"
ADAPTER: Final = "org.bluez.Adapter1"
DEVICE: Final = "org.bluez.Device1"
PROPERTIES: Final = "org.freedesktop.DBus.Properties"
OBJECT_MANAGER: Final = "org.freedesktop.DBus.ObjectManager"
PEER: Final = "org.freedesktop.DBus.Peer"

# Which signals come: that BlueZ began or ended, what it has anew or no more, and what changed of its adapters.
RULES: Final = (
    f"type='signal',sender='{DBUS}',interface='{DBUS}',member='NameOwnerChanged',arg0='{BLUEZ}'",
    f"type='signal',sender='{BLUEZ}',interface='{OBJECT_MANAGER}'",
    f"type='signal',sender='{BLUEZ}',interface='{PROPERTIES}',member='PropertiesChanged',arg0='{ADAPTER}'",
)

OnSignal = Callable[[str, Sequence[Any]], None]
"""Is called with a signal's name and what it tells."""


class Bus(Protocol):
    """One connection to the message bus."""

    async def connect(self, on_signal: OnSignal) -> None:
        """Connect, and be told the signals of `RULES` from now on."""
        ...

    async def call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> list[Any]:
        """What another program answers."""
        ...

    async def closed(self) -> None:
        """Wait until the connection has ended, whoever ended it."""
        ...

    def close(self) -> None:
        """End the connection, however far it is."""
        ...
