"""The status document: from the running gateway to its user alone, and nothing when there is none to ask."""

import asyncio
import math
import os
import stat
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from edge_parts import MIDNIGHT_UTC_S, StillClock, minimal_config, open_store

from edge import status
from edge.outbox import Item, Outbox


def test_who_asks_gets_the_document_of_the_moment(tmp_path: Path) -> None:
    async def main() -> list[object]:
        counter = iter(range(10))
        server = await status.serve(tmp_path, lambda: {"n": next(counter)})
        answers = await asyncio.gather(*(status.ask(tmp_path) for _ in range(3)))
        server.close()
        return sorted(answer["n"] for answer in answers if answer)

    assert asyncio.run(main()) == [0, 1, 2]


def test_the_socket_is_its_users_alone_and_other_files_are_made_as_before(tmp_path: Path) -> None:
    async def main() -> None:
        before = os.umask(0o022)
        server = await status.serve(tmp_path, dict)
        assert os.umask(before) == 0o022
        mode = (tmp_path / status.SOCKET_NAME).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert mode & 0o777 == 0o600
        server.close()

    asyncio.run(main())


def test_a_path_longer_than_a_socket_address_and_a_socket_left_behind_are_no_obstacle(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()

    async def main() -> None:
        for n in range(2):  # the second finds the first one's socket
            server = await status.serve(deep, lambda n=n: {"n": n})  # type: ignore[misc]
            assert await status.ask(deep) == {"n": n}
            server.close()
            await server.wait_closed()

    asyncio.run(main())


@pytest.mark.parametrize("size", [0, 100_000, 3_000_000])
def test_a_document_of_any_size_arrives_whole(tmp_path: Path, size: int) -> None:
    async def main() -> None:
        server = await status.serve(tmp_path, lambda: {"text": "x" * size})
        assert await status.ask(tmp_path) == {"text": "x" * size}
        server.close()

    asyncio.run(main())


def test_nobody_to_ask_is_none(tmp_path: Path) -> None:
    async def left_behind() -> None:
        server = await status.serve(tmp_path, dict)
        server.close()

    assert asyncio.run(status.ask(tmp_path / "absent")) is None
    assert asyncio.run(status.ask(tmp_path)) is None
    asyncio.run(left_behind())
    assert asyncio.run(status.ask(tmp_path)) is None


@pytest.mark.parametrize("said", [b"", b'{"running": tr', b"\xff\xfe"])
def test_a_gateway_that_ends_while_it_speaks_has_said_nothing(tmp_path: Path, said: bytes) -> None:
    async def broken(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_unix_server(broken, tmp_path / status.SOCKET_NAME)
        assert await status.ask(tmp_path) is None
        server.close()

    asyncio.run(main())


def test_a_gateway_that_hangs_is_not_waited_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "ANSWER_TIMEOUT_S", 0.05)

    async def hung(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_unix_server(hung, tmp_path / status.SOCKET_NAME)
        assert await status.ask(tmp_path) is None
        server.close()

    asyncio.run(main())


def test_who_asks_and_leaves_at_once_disturbs_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        server = await status.serve(tmp_path, lambda: {"text": "x" * 3_000_000})
        problems: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        for _ in range(5):
            _, writer = await asyncio.open_unix_connection(tmp_path / status.SOCKET_NAME)
            writer.transport.abort()
        assert await status.ask(tmp_path) is not None
        assert problems == []
        server.close()

    asyncio.run(main())


def test_the_stored_part_says_what_lies_there(tmp_path: Path) -> None:
    config = minimal_config(tmp_path)
    store = open_store(config)
    outbox = Outbox(store, StillClock())
    empty = status.stored(config, store, outbox)
    assert (empty["gateway"], empty["alerts"], empty["outbox"]["pending"]) == ("gw-1", [], 0)
    assert empty["summaries"] == {
        kind: {"count": 0, "newest": None} for kind in ("heart_5min", "glucose_day")
    }
    with store.transaction():
        store.raise_alert("glucose_low", "cgm", -math.inf, "boot-1", 1)
        for n in range(3):
            period = (MIDNIGHT_UTC_S + 300 * n, MIDNIGHT_UTC_S + 300 * n + 300)
            store.put_summary(UUID(int=n), "heart_5min", "strap", period, {"beats": n}, final=True)
            outbox.enqueue(Item(UUID(int=n), "heart_5min", str(UUID(int=n)), 1))
    document = msgspec.json.decode(msgspec.json.encode(status.stored(config, store, outbox)))
    assert document["summaries"]["heart_5min"] == {"count": 3, "newest": {"beats": 2}}
    assert document["outbox"]["pending"] == 3
    assert document["alerts"] == [
        {"kind": "glucose_low", "sensor": "cgm", "value": None}
    ]  # JSON has no infinity
    assert document["store"] == {"bytes": store.path.stat().st_size, "set_aside": None}
