"""The ways up. Each has deliveries and a pace of its own: what one does not take holds no other up.

Contract: an upstream takes batches by one route. What a batch says is the composer's business, when it goes the
uploader's.
"""

from typing import Final, Protocol

FILES: Final = "files"

# The names that the store knows the routes by. An item is enqueued for all of them in the transaction that stores it.
ROUTES: Final = (FILES,)


class Upstream(Protocol):
    """Somewhere batches go."""

    @property
    def route(self) -> str:
        """One of `ROUTES`."""
        ...

    async def send(self, name: str, body: bytes) -> None:
        """Return when the batch is safe there; the same name is the same batch. Nothing in it waits on the loop.

        Raises:
            UpstreamUnavailable: not now.
            UpstreamRejected: never, as it is.
        """
        ...
