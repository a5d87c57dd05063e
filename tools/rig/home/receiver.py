"""What takes the gateway's batches at the other end of the upstream's directory, and what it does wrong.

    manner          | the batch      | the gateway is told
    ----------------|----------------|-------------------------------
    as it should    | is there       | that it was taken
    takes_s         | is there later | that it was taken, then
    forgets         | is there       | that it failed: it sends again
    rejects         | is not there   | that it never will be taken
    lies            | is not there   | that it was taken

Contract: a `Receiver` is the worker that writes the files of one life of the gateway. Its `Manners` outlive that.
"""

import asyncio
import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from edge.errors import UpstreamRejected
from hw_sim.disk import InstantDisk

_T = TypeVar("_T")


@dataclass
class Manners:
    """How batches are taken from now on."""

    takes_s: float = 0.0
    forgets: bool = False
    rejects: bool = False
    lies: bool = False


class Receiver(InstantDisk):
    """Takes batches by its manners; else it is an instant disk."""

    def __init__(self, manners: Manners) -> None:
        super().__init__()
        self._manners = manners

    async def __call__(self, work: Callable[[], _T]) -> _T:
        manners = self._manners
        if manners.takes_s:
            await asyncio.sleep(manners.takes_s)
        if manners.rejects:
            raise UpstreamRejected("the receiver refuses this batch")
        if manners.lies:
            return cast(_T, None)
        result = await super().__call__(work)
        if manners.forgets:
            raise OSError(errno.EIO, "the receiver does not answer")
        return result
