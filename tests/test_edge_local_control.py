"""The gateway's socket: to its user alone, a line for a line, and nobody waits for anybody."""

import asyncio
import gc
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from store_parts import alert_event

from edge.alerts.channels import Listener, Socket
from edge.alerts.delivery import Result
from edge.alerts.message import message
from edge.alerts.snooze import Refusal as SnoozeRefusal
from edge.errors import StoreCorrupt, StoreUnavailable
from edge.local import control
from edge.local.status import SnoozeStatus, StatusDocument
from edge.local.verbs import AlertList, Served
from hw_sim import clock


class Answer(msgspec.Struct):
    """Stands in for the document, of which the socket knows nothing."""

    n: int
    text: str = ""


class Gateway:
    """A gateway whose alerts are the socket's own, and that remembers what it was told."""

    def __init__(self) -> None:
        self.socket = Socket()
        self.done: list[tuple[object, ...]] = []
        self.refusal: SnoozeRefusal | None = None

    def listen(self) -> AbstractContextManager[Listener]:
        return self.socket.listen()

    def alert_list(self) -> AlertList:
        return AlertList([], [SnoozeStatus("glucose_low", None, 60.0, None)])

    def snooze(
        self, rule: str, sensor: str | None, for_s: float, unless: float | None
    ) -> SnoozeRefusal | None:
        self.done.append(("snooze", rule, sensor, for_s, unless))
        return self.refusal

    def acknowledge(self, rule: str, sensor: str) -> SnoozeRefusal | None:
        self.done.append(("ack", rule, sensor))
        return None if rule == "glucose_low" else SnoozeRefusal.NOT_WAITING

    async def test_alerts(self) -> list[Result]:
        return [Result("journal", None), Result("command", "/bin/alarm ended with status 1")]


class Counting(Gateway):
    """A gateway that counts how often it was asked."""

    def __init__(self, size: int = 0) -> None:
        super().__init__()
        self.n = 0
        self.size = size

    async def status(self) -> StatusDocument:
        self.n += 1
        return cast("StatusDocument", Answer(self.n, "x" * self.size))


class Failing(Gateway):
    """A gateway whose store says no."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def status(self) -> StatusDocument:
        raise self.error


@asynccontextmanager
async def served(directory: Path, gateway: Served) -> AsyncIterator[control.Control]:
    tasks: list[asyncio.Task[Any]] = []

    def remembered(loop: Any, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
        tasks.append(asyncio.Task(coroutine, loop=loop, **options))
        return tasks[-1]

    problems: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: problems.append(context))
    server = control.Control(directory, gateway)
    loop.set_task_factory(remembered)
    await server.open()
    try:
        yield server
    finally:
        loop.set_task_factory(None)
        server.close()
        await asyncio.sleep(0.01)
    assert problems == []
    assert [task for task in tasks if task.done() and not task.cancelled() and task.exception()] == []


async def asked(directory: Path, request: dict[str, Any]) -> Any:
    answer = await asyncio.to_thread(control.ask, directory, request)
    return None if answer is None else json.loads(answer)


async def connected(directory: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_unix_connection(directory / control.SOCKET_NAME)


async def said(directory: Path, octets: bytes) -> list[Any]:
    """What is answered to these octets until the gateway, or the end of the request, ends it."""
    reader, writer = await connected(directory)
    writer.write(octets)
    writer.write_eof()
    lines = (await reader.read()).splitlines()
    writer.close()
    return [json.loads(line) for line in lines]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not condition():
            await asyncio.sleep(0.005)


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 30.0))


def test_a_request_is_answered_with_the_document_of_the_moment(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, Counting()):
            answers = await asyncio.gather(*(asked(tmp_path, {"do": "status"}) for _ in range(3)))
        assert sorted(answer["n"] for answer in answers) == [1, 2, 3]

    run(main())


def test_one_connection_may_ask_often_and_each_answer_is_a_line(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, Counting()):
            answers = await said(tmp_path, b'{"do":"status"}\n\n{"do": "status"}\r\n{"do":"status"}')
        assert [answer["n"] for answer in answers] == [1, 2, 3]

    run(main())


def test_watch_is_answered_now_and_again_every_so_often_until_the_client_goes(tmp_path: Path) -> None:
    gateway = Counting()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with served(tmp_path, gateway):
            reader, writer = await connected(tmp_path)
            writer.write(b'{"do": "watch", "every_s": 5}\n')
            began_s = loop.time()
            seen = [(json.loads(await reader.readline())["n"], loop.time() - began_s) for _ in range(4)]
            assert seen == [(1, 0.0), (2, 5.0), (3, 10.0), (4, 15.0)]
            writer.close()
            await asyncio.sleep(60.0)
            told = gateway.n
            await asyncio.sleep(60.0)
            assert gateway.n == told  # nobody is told any more

    clock.run(main())


NOT_REQUESTS = [
    (b"status", "not a request"),
    (b"[]", "not a request"),
    (b"{}", "not a request"),
    (b'{"do": 1}', "not a request"),
    (b'{"do": "status"', "not a request"),
    (b'{"do": "status", "of": "strap"}', "not a request"),
    (b'{"do": "watch", "every_s": 0}', "not a request"),
    (b'{"do": "watch", "every_s": 1e9}', "not a request"),
    (b'{"do": "watch", "every_s": null}', "not a request"),
    (b'{"do": "\xff"}', "not a request"),
    (b'{"do": "status", "x": ' + b"[" * 10_000, "not a request"),
    (b'{"do": "explode"}', "nothing of that name"),
    (b'{"do": "Status"}', "nothing of that name"),
]


@pytest.mark.parametrize(("line", "cause"), NOT_REQUESTS, ids=range(len(NOT_REQUESTS)))
def test_what_makes_no_sense_is_told_with_a_remedy_and_the_next_request_is_answered(
    tmp_path: Path, line: bytes, cause: str
) -> None:
    async def main() -> None:
        async with served(tmp_path, Counting()):
            refusal, answer = await said(tmp_path, line + b'\n{"do":"status"}\n')
        assert refusal.keys() == {"error"}
        assert refusal["error"].keys() == {"cause", "remedy"}
        assert refusal["error"]["cause"].startswith(cause)
        assert refusal["error"]["remedy"]
        assert answer["n"] == 1

    run(main())


def test_a_flood_of_blank_lines_keeps_nobody_waiting(tmp_path: Path) -> None:
    class Flooded(asyncio.StreamReader):
        read = 0

        async def readuntil(self, separator: bytes = b"\n") -> bytes:  # type: ignore[override]
            self.read += 1
            return await super().readuntil(separator)

    async def main() -> None:
        async with served(tmp_path, Counting()) as door:
            reader = Flooded()
            reader.feed_data(b"\n" * 10_000)
            _, writer = await connected(tmp_path)
            door._meet(reader, writer)
            for _ in range(5):
                await asyncio.sleep(0)
            assert 1 <= reader.read <= 5

    run(main())


def test_a_request_may_not_be_longer_than_a_request_can_be(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, Counting()):
            (refusal,) = await said(tmp_path, b"x" * (control.REQUEST_BYTES_MAX * 4))
            assert refusal["error"]["cause"] == "the request is too long"
            assert await asked(tmp_path, {"do": "status"})

    run(main())


@pytest.mark.parametrize("error", [StoreUnavailable("disk full"), StoreCorrupt("page 7")])
def test_what_the_store_will_not_say_is_an_answer(tmp_path: Path, error: StoreUnavailable) -> None:
    async def main() -> None:
        async with served(tmp_path, Failing(error)):
            answer = await asked(tmp_path, {"do": "status"})
        assert answer["error"]["cause"] == error.reason

    run(main())


def test_the_socket_is_its_users_alone_and_other_files_are_made_as_before(tmp_path: Path) -> None:
    async def main() -> None:
        before = os.umask(0o000)
        try:
            async with served(tmp_path, Counting()):
                mode = (tmp_path / control.SOCKET_NAME).stat().st_mode
                assert os.umask(0o000) == 0o000
        finally:
            os.umask(before)
        assert stat.S_ISSOCK(mode)
        assert mode & 0o777 == 0o600

    run(main())


def test_a_path_longer_than_a_socket_address_and_a_socket_left_behind_are_no_obstacle(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    (deep / control.SOCKET_NAME).touch()

    async def main() -> None:
        async with served(deep, Counting()):
            assert await asked(deep, {"do": "status"})
        assert list(deep.iterdir()) == []

    run(main())


def test_a_directory_made_anew_or_a_socket_removed_is_noticed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    state.mkdir()

    async def main() -> None:
        async with served(state, Counting()):
            for damage in (lambda: None, state.rmdir, state.mkdir):
                (state / control.SOCKET_NAME).unlink(missing_ok=True)
                damage()
                await asyncio.sleep(control.CHECK_S + 1.0)
            assert await asked(state, {"do": "status"})

    clock.run(main())
    assert caplog.records == []  # what became of the directory is for the store to tell


def test_without_a_place_for_the_socket_the_gateway_goes_on_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: Path) -> Any:
        raise OSError(28, "No space left on device")

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(control, "_listen", full)
            server = control.Control(tmp_path, Counting())
            await server.open()
            await asyncio.sleep(10 * control.CHECK_S)
        assert [record.getMessage() for record in caplog.records] == [
            "`vitalgate status` cannot reach this gateway: No space left on device"
        ]
        await asyncio.sleep(control.CHECK_S + 1.0)
        assert await asked(tmp_path, {"do": "status"})
        server.close()

    clock.run(main())


@pytest.mark.parametrize("size", [0, 100_000, 3_000_000])
def test_an_answer_of_any_size_arrives_whole(tmp_path: Path, size: int) -> None:
    async def main() -> None:
        async with served(tmp_path, Counting(size)):
            assert len((await asked(tmp_path, {"do": "status"}))["text"]) == size

    run(main())


@pytest.mark.parametrize(
    "request_", [b"", b"{", b'{"do":"status"}\n' * 100, b'{"do":"watch","every_s":0.2}\n']
)
def test_clients_that_hang_keep_nobody_waiting_and_get_no_answer_before_they_read_the_last(
    tmp_path: Path, request_: bytes
) -> None:
    gateway = Counting(3_000_000)

    async def main() -> None:
        async with served(tmp_path, gateway):
            hanging = [await connected(tmp_path) for _ in range(3 * control.CLIENTS_MAX)]
            for reader, writer in hanging:
                reader._transport.pause_reading()  # type: ignore[attr-defined]
                writer.write(request_)
            for _ in range(3):
                assert await asked(tmp_path, {"do": "status"})
            assert gateway.n <= len(hanging) + 3
            for _, writer in hanging:
                writer.transport.abort()

    run(main())


def test_who_has_been_quiet_for_longest_makes_way(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, Counting()):
            first, second, *_ = clients = [await connected(tmp_path) for _ in range(control.CLIENTS_MAX)]
            for reader, writer in (second, first):
                writer.write(b'{"do":"status"}\n')
                await reader.readline()
            clients += [await connected(tmp_path) for _ in range(control.CLIENTS_MAX - 1)]
            assert await second[0].read() == b""
            first[1].write(b'{"do":"status"}\n')
            assert await first[0].readline()
            for _, writer in clients:
                writer.transport.abort()

    run(main())


def test_who_asks_and_leaves_at_once_disturbs_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, Counting(3_000_000)):
            for _ in range(5):
                _, writer = await connected(tmp_path)
                writer.write(b'{"do":"watch","every_s":0.2}\n')
                await writer.drain()
                writer.transport.abort()
            assert await asked(tmp_path, {"do": "status"}) is not None

    run(main())


@pytest.mark.parametrize("steps", range(4))
def test_whoever_is_cancelled_while_it_opens_leaves_nothing_open(tmp_path: Path, steps: int) -> None:
    async def main() -> None:
        server = control.Control(tmp_path, Counting())
        opening = asyncio.ensure_future(server.open())
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait({opening})
        server.close()
        await asyncio.sleep(0)
        assert list(tmp_path.iterdir()) == []
        gc.collect()  # a socket that nobody closed warns, and a warning is an error

    asyncio.run(main())


def test_the_end_of_the_gateway_ends_every_conversation_and_takes_the_socket_away(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, Counting()) as server:
            reader, writer = await connected(tmp_path)
            writer.write(b'{"do":"watch"}\n')
            await reader.readline()
            server.close()
            assert await reader.read() == b""
            assert not (tmp_path / control.SOCKET_NAME).exists()
            assert await asked(tmp_path, {"do": "status"}) is None
            writer.close()

    run(main())


async def answering(
    directory: Path, answer: Callable[[asyncio.StreamWriter], Awaitable[None]]
) -> asyncio.Server:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(writer)
        finally:
            writer.close()

    return await asyncio.start_unix_server(serve, directory / control.SOCKET_NAME)


def test_nobody_to_ask_is_none(tmp_path: Path) -> None:
    assert control.ask(tmp_path / "absent", {"do": "status"}) is None
    assert control.ask(tmp_path, {"do": "status"}) is None
    (tmp_path / control.SOCKET_NAME).touch()
    assert control.ask(tmp_path, {"do": "status"}) is None


def test_a_gateway_that_ends_while_it_speaks_has_said_nothing(tmp_path: Path) -> None:
    async def half(writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"running": tr')

    async def main() -> None:
        server = await answering(tmp_path, half)
        assert await asked(tmp_path, {"do": "status"}) is None
        server.close()

    run(main())


def test_a_gateway_that_hangs_is_not_waited_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ANSWER_TIMEOUT_S", 0.05)

    async def hang(_: asyncio.StreamWriter) -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        server = await answering(tmp_path, hang)
        with pytest.raises(TimeoutError):
            await asked(tmp_path, {"do": "status"})
        server.close()

    run(main())


def test_a_gateway_that_too_many_wait_for_does_not_answer(tmp_path: Path) -> None:
    address = str(tmp_path / control.SOCKET_NAME)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(address)
        listener.listen(0)
        waiting.connect(address)
        with pytest.raises(TimeoutError):
            control.ask(tmp_path, {"do": "status"})


# Alerts


def test_who_watches_is_told_of_an_alert_at_once(tmp_path: Path) -> None:
    gateway = Counting()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with served(tmp_path, gateway):
            reader, writer = await connected(tmp_path)
            writer.write(b'{"do": "watch", "every_s": 1000}\n')
            assert json.loads(await reader.readline())["n"] == 1
            await asyncio.sleep(400)
            for n in (1, 2):
                telling = asyncio.ensure_future(
                    gateway.socket.deliver(message(alert_event("glucose_low", ordinal=n), "cgm", "anna", 5.0))
                )
                told = json.loads(await reader.readline())["alert"]
                assert (told["rule"], told["sensor"], told["ordinal"]) == ("glucose_low", "cgm", n)
                assert loop.time() == 400.0
                await telling
            assert json.loads(await reader.readline())["n"] == 2
            assert loop.time() == 1000.0
            writer.close()

    clock.run(main())


def test_what_nobody_was_told_is_told_to_who_watches_next(tmp_path: Path) -> None:
    gateway = Counting()

    async def main() -> None:
        async with served(tmp_path, gateway):
            telling = asyncio.ensure_future(
                gateway.socket.deliver(message(alert_event("glucose_low"), "cgm", "anna", 5.0))
            )
            await asyncio.sleep(100)
            reader, writer = await connected(tmp_path)
            writer.write(b'{"do": "watch"}\n')
            lines = [json.loads(await reader.readline()) for _ in range(2)]
            assert [list(line) for line in lines] == [["n", "text"], ["alert"]]
            await telling
            writer.close()

    clock.run(main())


@pytest.mark.parametrize(
    ("asked_for", "done"),
    [
        (
            b'{"do":"snooze","alert":"glucose_low","for_s":3600,"sensor":"cgm","unless":60}',
            ("snooze", "glucose_low", "cgm", 3600.0, 60.0),
        ),
        (b'{"do":"snooze","alert":"glucose_low","for_s":0}', ("snooze", "glucose_low", None, 0.0, None)),
        (b'{"do":"ack","alert":"glucose_low","sensor":"cgm"}', ("ack", "glucose_low", "cgm")),
    ],
)
def test_what_people_do_is_done_and_answered_with_what_stands(
    tmp_path: Path, asked_for: bytes, done: tuple[object, ...]
) -> None:
    gateway = Counting()

    async def main() -> None:
        async with served(tmp_path, gateway):
            (answer,) = await said(tmp_path, asked_for + b"\n")
        assert answer["snoozes"][0]["kind"] == "glucose_low"

    run(main())
    assert gateway.done == [done]


@pytest.mark.parametrize(
    ("asked_for", "cause", "remedy"),
    [
        (
            b'{"do":"snooze","alert":"glucose_urgent_low","for_s":60}',
            "this alert is urgent and cannot be snoozed",
            "acknowledge it",
        ),
        (
            b'{"do":"ack","alert":"x","sensor":"cgm"}',
            "no such alert waits to be acknowledged",
            "`vitalgate alert list` shows what stands",
        ),
    ],
)
def test_what_cannot_be_done_is_said_with_what_helps(
    tmp_path: Path, asked_for: bytes, cause: str, remedy: str
) -> None:
    gateway = Counting()
    gateway.refusal = SnoozeRefusal.URGENT

    async def main() -> None:
        async with served(tmp_path, gateway):
            (answer,) = await said(tmp_path, asked_for + b"\n")
        assert answer == {"error": {"cause": cause, "remedy": remedy}}

    run(main())


@pytest.mark.parametrize(
    "asked_for",
    [
        b'{"do":"snooze","alert":"glucose_low"}',
        b'{"do":"snooze","alert":"glucose_low","for_s":90000}',
        b'{"do":"snooze","alert":"glucose_low","for_s":-1}',
        b'{"do":"ack","alert":"glucose_low"}',
        b'{"do":"test","loudly":true}',
    ],
)
def test_what_makes_no_sense_is_not_done(tmp_path: Path, asked_for: bytes) -> None:
    gateway = Counting()

    async def main() -> None:
        async with served(tmp_path, gateway):
            (answer,) = await said(tmp_path, asked_for + b"\n")
        assert answer["error"]["cause"].startswith("not a request")

    run(main())
    assert gateway.done == []


def test_a_test_says_of_each_channel_what_came_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, Counting()):
            (answer,) = await said(tmp_path, b'{"do":"test"}\n')
        assert answer == {
            "channels": [
                {"channel": "journal", "trouble": None},
                {"channel": "command", "trouble": "/bin/alarm ended with status 1"},
            ]
        }

    run(main())
