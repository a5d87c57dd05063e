"""The process: one line for whoever has to act, signals that end it cleanly, one gateway to a directory."""

import asyncio
import gc
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from edge_parts import IDENTITY, MINIMAL, DeafScanner

import dsp.warm
from edge import daemon, kernel_cache
from edge.clock import Clock
from edge.config import Config
from edge.errors import ConfigError, StoreCorrupt, StoreGone, StoreUnavailable
from edge.local import control
from edge.lock import lock
from edge.radio.adapter import Radio
from edge.store import writer
from edge.workers import Workers


@pytest.fixture(autouse=True)
def _log_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the daemon does to the log and to its environment ends with the test; the compiler has looked already."""
    monkeypatch.setenv(kernel_cache.VARIABLE, os.environ.get(kernel_cache.VARIABLE, ""))
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.INFO)
    handlers = {number: signal.getsignal(number) for number in daemon.ENDING}
    yield
    logging.getLogger().setLevel(level)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def config_file(directory: Path, text: str = MINIMAL) -> Path:
    path = directory / "gateway.toml"
    path.write_text(text)
    (directory / "upstream").mkdir(exist_ok=True)
    return path


@asynccontextmanager
async def deaf_radio(_: Config) -> AsyncIterator[Radio]:
    yield Radio(DeafScanner)


@asynccontextmanager
async def never(_: Config) -> AsyncIterator[Radio]:
    raise AssertionError("no radio is opened before everything else is right")
    yield


class Stub:
    """A gateway that does nothing but what its test says."""

    def __init__(self, run: Callable[["Stub"], Coroutine[Any, Any, None]]) -> None:
        self.kind = Stub
        self.built: list[Stub] = []
        self.closed: list[Stub] = []
        self.store = SimpleNamespace(path=Path("/somewhere/store.db"))
        self.identity = IDENTITY
        self._run = run

    def __call__(
        self,
        config: Config,
        clock: Clock,
        radio: Radio,
        rng: random.Random,
        *,
        simulated: bool,
        workers: Workers,
        known: object,
        kernels: object,
        web: object = None,
    ) -> "Stub":
        assert len(self.built) == len(self.closed), "one at a time"
        assert threading.current_thread() is not threading.main_thread(), "a slow disk would hold the loop"
        gateway = self.kind(self._run)
        gateway.built, gateway.closed = self.built, self.closed
        gateway.web = web  # type: ignore[attr-defined]
        gateway.clock, gateway.known, gateway.radio = clock, known, radio  # type: ignore[attr-defined]
        self.built.append(gateway)
        return gateway

    async def run(self) -> None:
        await self._run(self)

    def close(self) -> None:
        assert threading.current_thread() is not threading.main_thread(), "a slow disk would hold the loop"
        self.closed.append(self)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Stub], Coroutine[Any, Any, None]]], Stub]:
    def use(run: Callable[[Stub], Coroutine[Any, Any, None]]) -> Stub:
        made = Stub(run)
        monkeypatch.setattr(daemon, "_gateway_class", lambda: made)
        return made

    return use


async def for_ever(_: Stub) -> None:
    await asyncio.get_running_loop().create_future()


def kill_soon(number: int, when: Callable[[], bool]) -> "asyncio.Task[None]":
    async def watch() -> None:
        async with asyncio.timeout(30.0):
            while not when():
                await asyncio.sleep(0.002)
        os.kill(os.getpid(), number)

    return asyncio.get_running_loop().create_task(watch())


def test_a_simulated_world_brings_its_own_way_to_feeds(tmp_path: Path, stub: Any) -> None:
    async def run(gateway: Stub) -> None:
        kill_soon(signal.SIGTERM, lambda: True)
        await for_ever(gateway)

    made, ways = stub(run), object()
    assert daemon.main(config_file(tmp_path), deaf_radio, web=lambda _: ways) == daemon.EXIT_OK
    assert made.built[0].web(None) is ways


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_line_before_and_after(
    tmp_path: Path,
    number: int,
    stub: Any,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def run(gateway: Stub) -> None:
        killing = kill_soon(number, lambda: True)
        await asyncio.wait({killing})
        await for_ever(gateway)

    made = stub(run)
    assert daemon.main(config_file(tmp_path), deaf_radio) == daemon.EXIT_OK
    assert made.closed == made.built != []
    started, stopped = [r.getMessage() for r in caplog.records if r.name == "edge.daemon"]
    assert started.startswith("gw-1 runs: vitalgate ")
    assert "sensors: strap, cgm" in started
    assert "A4:C1" not in started
    assert stopped == "gw-1 has stopped"
    assert capsys.readouterr().err == ""


@pytest.fixture
def phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """What the heartbeat says."""
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    return lambda: str(json.loads((tmp_path / "run" / "heartbeat").read_text())["phase"])


def test_the_heartbeat_says_where_the_process_is(
    tmp_path: Path, stub: Any, phase: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    @asynccontextmanager
    async def radio(checked: Config) -> AsyncIterator[Radio]:
        said.append(phase())
        async with deaf_radio(checked) as opened:
            yield opened

    async def run(gateway: Stub) -> None:
        said.append(phase())
        if len(gateway.built) == 1:
            raise StoreGone("the store has vanished")
        killing = kill_soon(signal.SIGTERM, lambda: True)
        try:
            await for_ever(gateway)
        finally:
            said.append(phase())
            await killing

    made = stub(run)

    def build(*arguments: Any, **options: Any) -> Stub:
        said.append(phase())
        return made(*arguments, **options)

    monkeypatch.setattr(daemon, "_gateway_class", lambda: build)
    assert daemon.main(config_file(tmp_path), radio) == daemon.EXIT_OK
    assert said == ["starting", "starting", "running", "starting", "running", "stopping"]
    assert phase() == "stopping"


def test_a_gateway_that_crashes_has_not_been_told_to_stop(
    tmp_path: Path, stub: Any, phase: Callable[[], str]
) -> None:
    async def run(_: Stub) -> None:
        raise ZeroDivisionError

    stub(run)
    with pytest.raises(ExceptionGroup):
        daemon.main(config_file(tmp_path), deaf_radio)
    assert phase() == "running"


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_further_signals_do_not_disturb_the_end(
    tmp_path: Path, first: int, second: int, stub: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """On a slow disk: while what is open is stored, while the store is closed, and after the loop."""
    said: list[str] = []

    async def insist() -> None:
        for _ in range(3):
            os.kill(os.getpid(), second)
            await asyncio.sleep(0.01)

    async def run(gateway: Stub) -> None:
        try:
            await asyncio.wait({kill_soon(first, lambda: True)})
            await for_ever(gateway)
        finally:
            await insist()
            said.append("stored")

    class Slow(Stub):
        def close(self) -> None:
            for _ in range(3):
                os.kill(os.getpid(), second)
                time.sleep(0.01)
            super().close()
            said.append("closed")

    made = stub(run)
    made.kind = Slow
    assert daemon.main(config_file(tmp_path), deaf_radio) == daemon.EXIT_OK
    assert said == ["stored", "closed"]
    assert caplog.records[-1].getMessage() == "gw-1 has stopped"
    assert signal.getsignal(second) is signal.SIG_IGN  # what is left of the process ends by itself


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_acted_on_while_the_numerics_are_imported(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = threading.Event()

    def slow_import() -> None:
        os.kill(os.getpid(), number)
        imported.wait(30.0)

    monkeypatch.setattr(daemon, "_gateway_class", slow_import)
    assert daemon.main(config_file(tmp_path), never) == daemon.EXIT_OK
    assert not imported.is_set()
    imported.set()


def test_a_signal_is_acted_on_while_kernels_are_compiled(
    tmp_path: Path, stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, compiled = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert compiled.wait(30.0), "the loop waits for it"

    async def run(gateway: Stub) -> None:
        kill_soon(signal.SIGTERM, begun.is_set)
        await for_ever(gateway)

    monkeypatch.setattr(dsp.warm, "warm_gateway", slow)
    made = stub(run)
    assert daemon.main(config_file(tmp_path), deaf_radio) == daemon.EXIT_OK
    assert made.closed == made.built
    assert not compiled.is_set()
    compiled.set()


def test_kernels_are_looked_for_and_copied_in_threads(
    tmp_path: Path, stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def note(what: str, result: Any) -> Any:
        assert threading.current_thread() is not threading.main_thread(), "a slow disk would hold the loop"
        done.append(what)
        return result

    async def run(gateway: Stub) -> None:
        kill_soon(signal.SIGTERM, lambda: done[-1:] == ["kept"] and "warmed" in done)
        await for_ever(gateway)

    monkeypatch.setattr(kernel_cache, "_is_compiling", lambda: True)
    monkeypatch.setattr(kernel_cache, "_fill", lambda _: note("copied", None))
    monkeypatch.setattr(kernel_cache, "_kept", lambda _: note("kept", {Path("of before"): len(done)}))
    monkeypatch.setattr(kernel_cache, "_warm", lambda: note("warmed", (True, True)))
    stub(run)
    assert daemon.main(config_file(tmp_path), deaf_radio) == daemon.EXIT_OK
    assert done == ["copied", "kept", "warmed", "kept"]


def test_what_is_loaded_for_good_is_not_looked_through_for_garbage(
    tmp_path: Path, stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    async def warm(_: Path) -> bool:
        await asyncio.sleep(0)
        done.append("warm")
        return True

    monkeypatch.setattr(kernel_cache, "warm", warm)
    monkeypatch.setattr(gc, "freeze", lambda: done.append("frozen"))

    async def run(gateway: Stub) -> None:
        killing = kill_soon(signal.SIGTERM, lambda: len(done) == 2)
        await asyncio.wait({killing})
        await for_ever(gateway)

    stub(run)
    assert daemon.main(config_file(tmp_path), deaf_radio) == daemon.EXIT_OK
    assert done == ["warm", "frozen"]


def test_the_radio_is_let_go_after_the_gateway(tmp_path: Path, stub: Any) -> None:
    order: list[str] = []

    @asynccontextmanager
    async def radio(checked: Config) -> AsyncIterator[Radio]:
        try:
            async with deaf_radio(checked) as opened:
                yield opened
        finally:
            order.append("radio")

    async def run(gateway: Stub) -> None:
        killing = kill_soon(signal.SIGTERM, lambda: True)
        try:
            await asyncio.wait({killing})
            await for_ever(gateway)
        finally:
            order.append("gateway")

    stub(run)
    assert daemon.main(config_file(tmp_path), radio) == daemon.EXIT_OK
    assert order == ["gateway", "radio"]


@pytest.mark.parametrize("nested", [False, True])
def test_a_gateway_whose_store_is_gone_is_followed_by_another_with_the_same_secret(
    tmp_path: Path, nested: bool, stub: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(gateway: Stub) -> None:
        if len(gateway.built) <= 2:
            gone = StoreGone("the store was deleted")
            raise ExceptionGroup("tasks", [ExceptionGroup("store", [gone])]) if nested else gone
        kill_soon(signal.SIGTERM, lambda: True)
        await for_ever(gateway)

    made = stub(run)
    assert daemon.main(config_file(tmp_path), deaf_radio) == daemon.EXIT_OK
    assert [gateway.known for gateway in made.built] == [None, IDENTITY, IDENTITY]  # type: ignore[attr-defined]
    assert len({id(gateway.radio) for gateway in made.built}) == 1  # type: ignore[attr-defined]
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert lines == ["the store was deleted; a new store begins, with the same key"] * 2


@pytest.mark.parametrize(
    ("trust_clock", "simulated", "vouched"),
    [("true", False, True), ("false", False, False), ("false", True, True)],
)
def test_the_clock_is_vouched_for_by_the_operator_or_by_the_simulation(
    tmp_path: Path,
    trust_clock: str,
    simulated: bool,
    vouched: bool,
    stub: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run(gateway: Stub) -> None:
        raise StoreUnavailable("enough")

    made = stub(run)
    monkeypatch.setattr(daemon, "SystemClock", lambda *, vouched: vouched)
    text = MINIMAL.replace('state_dir = "state"', f'state_dir = "state"\ntrust_clock = {trust_clock}')
    assert daemon.main(config_file(tmp_path, text), deaf_radio, simulated=simulated) == daemon.EXIT_FAILURE
    assert [gateway.clock for gateway in made.built] == [vouched]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[gateway", "not valid TOML"),
        (MINIMAL.replace("A4:C1:38:00:00:01", "A4"), "sensor strap: address 'A4' does not fit"),
        (MINIMAL.replace('kind = "cgm"', 'kind = "toaster"'), "sensor cgm"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_exit_code_2(
    tmp_path: Path, text: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert daemon.main(config_file(tmp_path, text), never) == daemon.EXIT_CONFIG
    error = capsys.readouterr().err
    assert error.startswith("vitalgate: ")
    assert line in error
    assert error.count("\n") == 1


def test_no_configuration_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert daemon.main(tmp_path / "absent.toml", never) == daemon.EXIT_CONFIG
    assert capsys.readouterr().err.count("\n") == 1


def test_a_second_gateway_on_the_same_directory_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = lock(tmp_path / "state")
    assert daemon.main(config_file(tmp_path), deaf_radio, simulated=True) == daemon.EXIT_CONFIG
    error = capsys.readouterr().err
    assert "a gateway is running on" in error
    assert error.count("\n") == 1
    os.close(held)


@pytest.mark.parametrize(
    ("errors", "code", "line"),
    [
        (ConfigError("--world", "nobody answers", "start one"), 2, "--world: nobody answers; start one"),
        (StoreUnavailable("disk full"), 1, "disk full"),
        (StoreCorrupt("page 7"), 1, "page 7"),
        (ExceptionGroup("a", [ExceptionGroup("b", [StoreUnavailable("disk full")])]), 1, "disk full"),
    ],
)
def test_a_failure_is_named_in_one_line_however_deep_it_lies(
    tmp_path: Path, errors: Exception, code: int, line: str, stub: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    @asynccontextmanager
    async def no_radio(_: Config) -> AsyncIterator[Radio]:
        raise errors
        yield

    stub(for_ever)
    assert daemon.main(config_file(tmp_path), no_radio) == code
    assert capsys.readouterr().err == f"vitalgate: {line}\n"


def test_our_own_defect_is_not_hidden_behind_a_line(tmp_path: Path, stub: Any) -> None:
    async def run(_: Stub) -> None:
        raise ExceptionGroup("tasks", [ZeroDivisionError(), StoreUnavailable("disk full")])

    stub(run)
    with pytest.raises(ExceptionGroup) as raised:
        daemon.main(config_file(tmp_path), deaf_radio)
    assert [type(error) for error in daemon.leaves(raised.value)] == [ZeroDivisionError]


def told(directory: Path) -> dict[str, Any] | None:
    """What the gateway in this process says of itself."""
    answer = control.ask(directory / "state", {"do": "status"})
    return None if answer is None else dict(json.loads(answer))


async def until_told(directory: Path, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(60.0):
        while True:
            document = await asyncio.to_thread(told, directory)
            if document is not None and wanted(document):
                return document
            await asyncio.sleep(0.01)


def watched_radio(watch: Callable[[], Coroutine[Any, Any, None]]) -> daemon.OpenRadio:
    """No Bluetooth; and beside the gateway this, and then a signal."""

    @asynccontextmanager
    async def radio(checked: Config) -> AsyncIterator[Radio]:
        async def watch_and_end() -> None:
            try:
                await watch()
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        watching = asyncio.ensure_future(watch_and_end())
        async with deaf_radio(checked) as opened:
            try:
                yield opened
            finally:
                await watching

    return radio


def test_without_bluetooth_it_runs_on_with_a_line_a_sensor_and_says_what_helps(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[dict[str, Any]] = []

    async def watch() -> None:
        seen.append(
            await until_told(
                tmp_path, lambda document: all(sensor["trouble"] for sensor in document["sensors"])
            )
        )

    assert daemon.main(config_file(tmp_path), watched_radio(watch), simulated=True) == daemon.EXIT_OK
    [document] = seen
    assert (document["running"], document["simulated"]) == (True, True)
    assert [sensor["id"] for sensor in document["sensors"]] == ["strap", "cgm"]
    for sensor in document["sensors"]:
        assert "systemctl start bluetooth" in sensor["trouble"]["remedy"]
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [line.split(":")[0] for line in warnings] == ["strap", "cgm"]
    os.close(lock(tmp_path / "state"))  # it let go


def test_a_state_directory_that_is_deleted_is_made_anew_with_the_same_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "LOOK_S", 0.2)
    keys: list[bytes] = []
    state = tmp_path / "state"

    async def watch() -> None:
        await until_told(tmp_path, lambda document: document["running"])
        keys.append((state / "store.key").read_bytes())
        shutil.rmtree(state)
        await until_told(tmp_path, lambda document: document["running"])
        keys.append((state / "store.key").read_bytes())

    assert daemon.main(config_file(tmp_path), watched_radio(watch), simulated=True) == daemon.EXIT_OK
    assert keys[0] == keys[1]
    assert (state / "store.db").stat().st_size > 0
    assert (state.stat().st_mode & 0o777, (state / "store.key").stat().st_mode & 0o777) == (0o700, 0o600)
    lines = [record.getMessage() for record in caplog.records if "store" in record.getMessage()]
    assert len([line for line in lines if "a new store begins, with the same key" in line]) == 1


@pytest.mark.parametrize("first", [False, True])
def test_a_store_without_data_becomes_of_the_world_that_it_is_run_in(tmp_path: Path, first: bool) -> None:
    seen: list[bool] = []

    async def watch() -> None:
        seen.append((await until_told(tmp_path, lambda document: document["running"]))["simulated"])

    for simulated in (first, not first):
        assert daemon.main(config_file(tmp_path), watched_radio(watch), simulated=simulated) == daemon.EXIT_OK
    assert seen == [first, not first]


def test_no_line_of_the_log_holds_an_address_and_others_say_little() -> None:
    code = "import logging\nfrom edge import daemon\ndaemon.log_to_stderr()\n"
    code += "logging.getLogger('bleak.backends').warning('chatter')\nlogging.getLogger('bumble.host').error('lost')\n"
    code += "logging.getLogger('bleak').error('dev_A4_C1_38_00_00_01 and a4:c1:38:00:00:02')\n"
    code += "logging.getLogger('edge.app').info('we')\n"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    error, ours = done.stderr.splitlines()
    assert error.startswith("ERROR bleak: ")
    assert "C1" not in error.upper()
    assert ours == "INFO edge.app: we"


INTERRUPTED = """
import os, runpy, signal, sys

class Finder:
    def find_spec(self, name, *_):
        if name == "edge.daemon":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
runpy.run_module("edge", run_name="__main__", alter_sys=True)
"""


def test_an_interrupt_before_anything_is_set_up_ends_the_process_without_a_word() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", INTERRUPTED], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("is_task", [False, True])
def test_what_a_library_left_of_a_dead_connection_is_one_line_and_a_failure_of_ours_is_whole(
    is_task: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise OSError(9, "Bad file descriptor")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(daemon.complain)
        future: asyncio.Future[None] = loop.create_task(fail()) if is_task else loop.create_future()
        if not is_task:
            future.set_exception(OSError(9, "Bad file descriptor"))
        await asyncio.sleep(0)
        del future
        gc.collect()

    caplog.set_level(logging.INFO)
    asyncio.run(main())
    (record,) = (record for record in caplog.records if record.name in ("asyncio", "edge.daemon"))
    assert (record.name, record.levelname) == (("asyncio", "ERROR") if is_task else ("edge.daemon", "INFO"))
    assert bool(record.exc_info) == is_task
