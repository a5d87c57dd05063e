"""The dongles of a bench, opened for as long as a scenario is played, under a lease.

Contract: a dongle that cannot be opened, or does not answer, is `DongleFailed`. Nothing is sent to one once the lease
is lost. What opens a dongle is Bumble's, and so are the names of the ways to it (`inventory.Transport`).
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from bumble.core import BaseBumbleError
from bumble.transport import open_transport
from bumble.transport.common import Transport

from hw_sim.radio.dongle import Dongle, DongleAir
from tools.rig.bench import inventory
from tools.rig.bench.errors import DongleFailed, LeaseLost
from tools.rig.bench.leases import Lease

OPENS_S_MAX: Final = 10.0


@asynccontextmanager
async def opened(dongles: Sequence[inventory.Dongle], lease: Lease) -> AsyncIterator[DongleAir]:
    """An air with these dongles, in this order. Raises DongleFailed."""

    def refusal() -> Exception | None:
        try:
            lease.require()
        except LeaseLost as error:
            return error
        return None

    async with AsyncExitStack() as undone:
        made = []
        for one in dongles:
            transport = await _open(one)
            undone.push_async_callback(transport.close)
            made.append(Dongle(one.id, transport.source, transport.sink, refusal))
        air = DongleAir(made)
        undone.push_async_callback(air.settled)
        yield air


async def _open(dongle: inventory.Dongle) -> Transport:
    # What libusb says is an error of a module that is loaded only by who uses USB.
    usb = tuple(
        error for name in ("usb1", "usb.core") if (error := getattr(sys.modules.get(name), "USBError", None))
    )
    try:
        async with asyncio.timeout(OPENS_S_MAX):
            return await open_transport(dongle.transport)
    except (OSError, ValueError, BaseBumbleError, *usb) as error:
        reason = str(error) or type(error).__name__
        raise DongleFailed(dongle.resource, f"{dongle.transport} cannot be opened: {reason}") from error
