"""What a gateway is doing, as one JSON document: asked over a socket while it runs, read from the store when not.

The document holds health data, so it never lies in a file: it is made when asked for, and the socket belongs
to the gateway's user alone.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from edge.config import Config
from edge.outbox import Outbox
from edge.store import Store

Document = dict[str, Any]
SOCKET_NAME = "status.sock"
ANSWER_BYTES_MAX = 1 << 20
ANSWER_TIMEOUT_S = 5.0


def stored(config: Config, store: Store, outbox: Outbox) -> Document:
    """The part that the store knows, whether the gateway runs or not."""
    alerts = [
        {"kind": alert.kind, "sensor": alert.sensor_id, "value": alert.value} for alert in store.open_alerts()
    ]
    return {
        "gateway": config.gateway.id,
        "simulated": store.simulated,
        "alerts": alerts,
        "outbox": outbox.counts()._asdict(),
        "summaries": {
            kind: {"count": store.summary_count(kind), "newest": newest.body if newest else None}
            for kind in ("heart_5min", "glucose_day")
            for newest in [store.newest_summary(kind)]
        },
        "store": {
            "bytes": store.path.stat().st_size,
            "set_aside": str(store.quarantined) if store.quarantined else None,
        },
    }


async def serve(state_dir: Path, document: Callable[[], Document]) -> asyncio.Server:
    """Answer everyone who connects with the document of the moment."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(msgspec.json.encode(document()))
        try:
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except OSError:
            return  # who asked has gone

    with _short_path(state_dir) as directory:
        socket_path = directory / SOCKET_NAME
        socket_path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(answer, socket_path)
        finally:
            os.umask(mask)


async def ask(state_dir: Path) -> Document | None:
    """The document of the gateway that runs on this state directory; None if none answers."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            with _short_path(state_dir) as directory:
                reader, writer = await asyncio.open_unix_connection(
                    directory / SOCKET_NAME, limit=ANSWER_BYTES_MAX
                )
            try:
                answer = await reader.read(-1)
            finally:
                writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError):
        return None
    try:
        document: Document = msgspec.json.decode(answer)
    except msgspec.DecodeError:
        return None  # it ended while it spoke
    return document


@contextmanager
def _short_path(directory: Path) -> Iterator[Path]:
    """A name for the directory that fits into a socket address, which takes 107 bytes."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
