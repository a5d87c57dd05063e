"""The part of the operator's file about the machine's Bluetooth: its adapters, their connections, what may be done.

This module has no behaviour beyond checks: what a key does is explained where it is used.
"""

from typing import Annotated

from msgspec import Meta, Struct

AdapterAddress = Annotated[
    str,
    Meta(pattern=r"\A[0-9A-F]{2}(:[0-9A-F]{2}){5}\Z", description='an address like "00:1B:DC:00:00:01"'),
]


class RadioUse(Struct, frozen=True, forbid_unknown_fields=True):
    """How the machine's Bluetooth is used.

    `adapters`: addresses of those that are used, all at a time; without any, the first one that is on.
    `connections_max`: how many sensors one adapter holds; without it, that is learned when it refuses one more.
    `restart_service`, `reboot`: whether the gateway may try to restart the Bluetooth service, and this machine.
    """

    adapters: Annotated[tuple[AdapterAddress, ...], Meta(max_length=8)] = ()
    connections_max: Annotated[int, Meta(ge=1, le=64)] | None = None
    restart_service: bool = True
    reboot: bool = False

    def __post_init__(self) -> None:
        if len(set(self.adapters)) < len(self.adapters):
            raise ValueError("adapters names one twice; remove one of the two")
