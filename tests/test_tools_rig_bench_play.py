"""tools.rig.bench.play: what cannot be played on the air, and what goes wrong with the bench. Dongles are simulated."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.clock import SystemClock
from edge.errors import ConfigError
from hw_sim.radio.air import Air
from hw_sim.radio.hci_server import serve
from tools.rig.bench import __main__ as commands
from tools.rig.bench import inventory, play, reached, world
from tools.rig.bench.errors import BenchError, DongleFailed, GatewayUnreachable, LeaseLost, NothingFree
from tools.rig.bench.inventory import Inventory
from tools.rig.bench.leases import Leases, Wanted
from tools.rig.bench.setting import on_the_air
from tools.rig.language.scenario import Scenario, parse

STRAP = """
lasts = "20s"
sensors = [{ id = "strap", kind = "heart_rate" }]
expect = [{ what = "data", within = "10s" }]
"""
GATEWAY = '[[gateways]]\nid = "here"\nconfig = "gateway.toml"\n'


def scenario(text: str = STRAP, name: str = "s.toml") -> Scenario:
    return parse(text.encode(), Path(name))


def bench(directory: Path, port: int = 1, more: str = GATEWAY) -> Inventory:
    dongle = f'[[dongles]]\nid = "tcp"\ntransport = "tcp-client:127.0.0.1:{port}"\n'
    return inventory.parse((dongle + more).encode(), directory / "bench.toml")


def with_commands(**said: list[str]) -> str:
    return GATEWAY + "".join(f"{name} = {json.dumps(words)}\n" for name, words in said.items())


@asynccontextmanager
async def dongles_at() -> Any:
    """The port of simulated dongles."""
    server = await serve(Air(), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def played(directory: Path, text: str = STRAP, more: str = GATEWAY) -> list[str]:
    """What was wrong with the gateway."""
    scenario(text).configure(directory)
    async with dongles_at() as port:
        there = bench(directory, port, more)
        return (await play.play(scenario(text), there, there.gateway(None))).failures


# What cannot be played


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        (
            'lasts = "1min"\nsensors = [{ id = "a", kind = "aidex", address = "LinX-22222DXJ9C" }]\n'
            'expect = [{ what = "complete" }]',
            GATEWAY,
            r"s.toml: sensors\[0\]: what a sensor of kind aidex advertises is not said to a dongle",
        ),
        (
            STRAP + 'faults = [{ what = "disk full", at = "1s", for = "1s" }]',
            GATEWAY,
            "'disk full' cannot be done",
        ),
        (
            STRAP + 'faults = [{ what = "gateway killed", at = "1s" }]',
            with_commands(start=["true"], stop=["true"]),
            "'gateway killed' needs commands of the bench; add `start` and `kill` to it",
        ),
        (
            STRAP.replace('"data", within = "10s"', '"log", says = "x"'),
            GATEWAY,
            "'log' needs the gateway's log",
        ),
        (
            STRAP.replace('"data", within = "10s"', '"no alert"'),
            GATEWAY,
            "'no alert' cannot be seen from outside",
        ),
    ],
)
def test_what_cannot_be_played_on_the_air_is_refused(tmp_path: Path, text: str, more: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        play.require_playable("s.toml", scenario(text), bench(tmp_path, 1, more).gateway(None))


def test_a_gateway_with_the_file_of_another_scenario_is_refused(tmp_path: Path) -> None:
    gateway = bench(tmp_path).gateway(None)
    scenario(STRAP.replace('"strap"', '"belt"')).configure(tmp_path)
    with pytest.raises(
        ConfigError, match=r"gateway.toml: it has no 'strap' as the scenario has; .*gateway-file"
    ):
        world.file_of(scenario(), gateway)
    scenario(STRAP + 'people = [{ id = "jo", pseudonym = "other" }]').configure(tmp_path)
    with pytest.raises(ConfigError, match="it has no 'jo'"):
        world.file_of(scenario(), gateway)
    scenario().configure(tmp_path)
    assert [one.id for one in world.file_of(scenario(), gateway).sensors] == ["strap"]


def test_a_gateway_that_the_bench_starts_is_given_its_file(tmp_path: Path) -> None:
    more = (
        with_commands(start=["true"], stop=["true"]) + '[gateways.settings.gateway]\nid = "from-the-bench"\n'
    )
    config = world.file_of(scenario(), bench(tmp_path, 1, more).gateway(None))
    assert (config.gateway.id, [one.id for one in config.sensors]) == ("from-the-bench", ["strap"])


# What goes wrong with the bench


def run(work: Coroutine[Any, Any, list[str]]) -> list[str]:
    return asyncio.run(asyncio.wait_for(work, 60))


def held(directory: Path) -> list[str]:
    leases = Leases(directory / "bench.leases", SystemClock())
    return [row.name for row in leases.rows() if row.holder is not None]


def test_no_gateway_is_the_benchs_fault_and_everything_is_given_back(tmp_path: Path) -> None:
    with pytest.raises(GatewayUnreachable, match=r"no gateway runs on .*state, and the bench has no command"):
        run(played(tmp_path))
    assert held(tmp_path) == []


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (["sh", "-c", "echo no such host >&2; exit 255"], "gateway here: start: no such host"),
        (["/nowhere/at/all"], "gateway here: start: No such file"),
        (["false"], "gateway here: start: exit code 1"),
    ],
)
def test_a_command_that_fails_is_the_benchs_fault(tmp_path: Path, start: list[str], said: str) -> None:
    with pytest.raises(GatewayUnreachable, match=said):
        run(played(tmp_path, more=with_commands(start=start, stop=["true"])))
    assert held(tmp_path) == []


def test_a_dongle_that_is_not_there_is_the_benchs_fault(tmp_path: Path) -> None:
    scenario().configure(tmp_path)
    there = bench(tmp_path, port=1)
    with pytest.raises(DongleFailed, match=r"dongle tcp: tcp-client:127.0.0.1:1 cannot be opened: .*failed"):
        asyncio.run(play.play(scenario(), there, there.gateway(None)))
    assert held(tmp_path) == []


def test_a_dongle_that_says_nothing_is_the_benchs_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "OPENS_S_MAX", 0.5)
    scenario().configure(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        there = bench(tmp_path, mute.getsockname()[1])
        with pytest.raises(DongleFailed, match="dongle tcp: it does not answer as a controller does"):
            asyncio.run(play.play(scenario(), there, there.gateway(None)))
    assert held(tmp_path) == []


def test_too_few_dongles_are_the_benchs_fault_and_say_who_has_them(tmp_path: Path) -> None:
    scenario().configure(tmp_path)
    there = bench(tmp_path)
    Leases(tmp_path / "bench.leases", SystemClock()).take([Wanted(["dongle tcp"])], "the night shift")
    with pytest.raises(NothingFree, match=r"dongle tcp is held by process \d+ \(the night shift\)"):
        asyncio.run(play.play(scenario(), there, there.gateway(None)))


def test_bundles_of_an_earlier_play_are_the_benchs_fault(tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "old.json").write_text("{}")
    with pytest.raises(BenchError, match="bundles holds what was sent before: empty it"):
        run(played(tmp_path))


# While a scenario is played. The gateway is a socket that answers with one document.


@contextmanager
def answering(directory: Path) -> Iterator[None]:
    """A gateway that says that it runs, and knows no sensor."""
    document = {
        "schema": 2, "gateway": "x", "running": True, "simulated": None, "sensors": [], "alerts": [],
        "clock": {"utc_s": 0, "trusted": True, "error_ms": 1, "source": "system"}, "snoozes": [], "summaries": [],
        "store": {"bytes": 0, "trouble": None, "set_aside": [], "parked": 0, "not_summarised": 0}, "deliveries": [],
    }  # fmt: skip
    (directory / "state").mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "state" / "control.sock"))
        listener.listen()

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(json.dumps(document).encode() + b"\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


async def interrupted(
    directory: Path, when: Callable[[world.AirWorld], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Play, and let something happen to the bench a second after the scenario began."""
    opened = world.AirWorld.read_log

    async def read_log(this: world.AirWorld) -> None:
        asyncio.get_running_loop().call_later(1.0, when, this)
        await opened(this)

    monkeypatch.setattr(world.AirWorld, "read_log", read_log)
    await played(directory)


def test_a_dongle_that_is_pulled_out_ends_the_play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pull_out(this: world.AirWorld) -> None:
        (strap,) = this.home.straps
        strap.device.host.hci_sink.on_lost()  # type: ignore[union-attr]

    with answering(tmp_path), pytest.raises(DongleFailed, match="tcp is gone"):
        asyncio.run(asyncio.wait_for(interrupted(tmp_path, pull_out, monkeypatch), 15))
    assert held(tmp_path) == []


def test_a_lease_that_is_lost_ends_the_play_and_nothing_is_sent_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def be_declared_dead(_: world.AirWorld) -> None:
        later = _Later()
        Leases(tmp_path / "bench.leases", later).take([Wanted(["dongle tcp"])], "successor")

    with answering(tmp_path), pytest.raises(LeaseLost, match="another process has taken it"):
        asyncio.run(asyncio.wait_for(interrupted(tmp_path, be_declared_dead, monkeypatch), 15))
    assert held(tmp_path) == ["dongle tcp"], "what the successor has stays its own"


class _Later(SystemClock):
    def boot_ns(self) -> int:
        return super().boot_ns() + 3600 * 10**9


def test_a_gateway_that_hangs_is_no_fault_of_the_bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reached, "ANSWERS_S_MAX", 0.3)
    scenario().configure(tmp_path)
    gateway = bench(tmp_path).gateway(None)
    (tmp_path / "state").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "state" / "control.sock"))
        listener.listen()
        there = reached.Reached(gateway, world.file_of(scenario(), gateway))
        assert asyncio.run(there.status()) is None


# The commands


def test_what_there_is_and_who_has_it_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bench.toml").write_text('[[dongles]]\nid = "a"\ntransport = "usb:0"\n' + GATEWAY)
    Leases(tmp_path / "bench.leases", SystemClock()).take([Wanted(["dongle a"])], "the night shift")
    assert commands.main(["list", str(tmp_path / "bench.toml")]) == 0
    a, here = capsys.readouterr().out.splitlines()
    assert a.startswith("dongle a (usb:0): held by process ")
    assert " for the night shift, renewed 0 s ago" in a
    assert here == f"gateway here ({tmp_path / 'gateway.toml'}): free"


def test_the_file_of_a_gateway_for_a_scenario_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.toml").write_text(STRAP)
    assert commands.main(["gateway-file", str(tmp_path / "s.toml")]) == 0
    (tmp_path / "gateway.toml").write_text(capsys.readouterr().out)
    assert [one.id for one in world.file_of(scenario(), bench(tmp_path).gateway(None)).sensors] == ["strap"]


def test_what_the_bench_does_wrong_is_the_benchs_fault_and_not_the_gateways(tmp_path: Path) -> None:
    scenario().configure(tmp_path)
    (tmp_path / "bench.toml").write_text(
        '[[dongles]]\nid = "a"\ntransport = "tcp-client:127.0.0.1:1"\n' + GATEWAY
    )
    required, play_on_air = on_the_air(tmp_path / "bench.toml", None)
    required("s.toml", scenario())
    outcome = play_on_air(scenario(), tmp_path / "artefacts")
    assert outcome.verdict == "bench"
    (said,) = outcome.failures
    assert "dongle a: tcp-client:127.0.0.1:1 cannot be opened" in said
