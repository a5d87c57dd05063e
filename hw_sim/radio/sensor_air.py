"""What sensors, and those who let links fail, ask of the air that they are on: the simulated one, or a real one.

Contract: forms only. `Air` has the simulated one; whoever has real controllers brings another.
"""

from typing import Protocol

from bumble.transport.common import TransportSink, TransportSource


class SensorController(TransportSource, TransportSink, Protocol):
    """One sensor's Bluetooth controller, as its host sees it."""

    def lose_power(self) -> None:
        """From now on nothing of it is heard, and it hears nothing."""
        ...


class SensorAir(Protocol):
    """Where sensors are. Addresses are strings, "F0:01:02:03:04:05"."""

    def controller(self, name: str) -> SensorController:
        """A new controller on this air."""
        ...

    def carries(self, address: str) -> bool:
        """Whether a device has a link over which what it sends arrives."""
        ...

    def lose_link(self, address: str) -> int:
        """Let a device's links fade: its peers see 0x08 after the supervision timeout. How many faded."""
        ...

    def set_reachable(self, address: str, reachable: bool) -> int:
        """Move a device into or out of reach. Out of reach nothing of it is heard. How many links faded."""
        ...
