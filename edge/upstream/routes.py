"""The routes to upstreams. Each route has its own deliveries and its own pace, so one cannot delay another.

Contract: an upstream accepts batches of one route. The composer decides what is in a batch, and the uploader when it is
sent.
"""

from typing import Final, Protocol

FILES: Final = "files"

# The names of the routes in the store. An item is enqueued for each of them, in the transaction that stores the thing.
ROUTES: Final = (FILES,)


class Upstream(Protocol):
    """A receiver of batches."""

    @property
    def route(self) -> str:
        """One of `ROUTES`."""
        ...

    async def send(self, name: str, body: bytes) -> None:
        """Send a batch; returns when it is safe there. The same name is the same batch. Never blocks the event loop.

        Raises:
            UpstreamUnavailable: it cannot accept the batch now.
            UpstreamRejected: it will never accept this batch.
        """
        ...
