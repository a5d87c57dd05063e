"""`vitalgate capture record` beside a gateway that runs, by its socket, in real time."""

import asyncio
import random
from contextlib import suppress
from pathlib import Path

from edge_parts import MINIMAL
from radio_parts import radio
from typer.testing import CliRunner

from edge import config
from edge.app import Gateway
from edge.clock import SystemClock
from edge.radio.tap import UNREAD_MAX, Ear, Overheard, Tap, What
from edge.workers import inline
from hw_sim.capture import files
from hw_sim.capture.heard import What as Captured
from hw_sim.radio.air import Air
from hw_sim.radio.central import open_central
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from protocols import uuids
from tools.cli import app

ADDRESS = "A4:C1:38:00:00:01"


async def typed(*words: object) -> tuple[int, str]:
    result = await asyncio.to_thread(CliRunner().invoke, app, ["capture", "record", *map(str, words)])
    return result.exit_code, result.output


def test_what_a_running_gateway_hears_is_recorded_from_amid_a_link(tmp_path: Path) -> None:
    """The strap was connected before; the capture still says what it has, so that it plays."""
    file, out, log = tmp_path / "gateway.toml", tmp_path / "strap.jsonl", tmp_path / "strap.btsnoop"
    file.write_text(MINIMAL)

    async def main() -> tuple[int, str]:
        air = Air()
        begin_s = asyncio.get_running_loop().time()
        strap = HeartRateStrap(air, ADDRESS, iter([500.0] * 500), begin_s=begin_s)
        await strap.start()
        central = await open_central(air, bonds=None)
        checked, rng = config.load(file), random.Random(1)
        gateway = Gateway(checked, SystemClock(), radio(central), rng, simulated=True, workers=inline())
        task = asyncio.ensure_future(gateway.run())
        try:
            while not gateway.sensors["strap"].live().records:
                await asyncio.sleep(0.05)
            return await typed("--config", file, "--for", "4s", "--out", out, "--out", log)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            gateway.close()
            await central.close()
            await strap.stop()

    code, said = asyncio.run(asyncio.wait_for(main(), 60.0))
    assert (code, "strap: " in said) == (0, True), said
    for path in (out, log):
        assert ADDRESS.encode() not in path.read_bytes()
        device = files.load(path).chosen(uuids.HEART_RATE_SERVICE)
        assert device.events[0].what is Captured.CONNECTED
        assert {uuids.HEART_RATE_SERVICE, uuids.BATTERY_SERVICE} <= {one.uuid for one in device.services}
        assert device.notified()[uuids.HEART_RATE_MEASUREMENT] >= 3
        read = [one.payload for one in device.events if one.what is Captured.READ]
        assert b"\x64" in read


def test_without_a_gateway_that_is_one_line(tmp_path: Path) -> None:
    file, out = tmp_path / "gateway.toml", tmp_path / "out.jsonl"
    file.write_text(MINIMAL)
    code, said = asyncio.run(typed("--config", file, "--for", "1s", "--out", out))
    assert code == 2
    assert "its gateway does not run; start it: vitalgate run" in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_who_does_not_read_misses_the_newest_and_is_told_how_many() -> None:
    async def main() -> None:
        ear = Ear()
        for n in range(UNREAD_MAX + 7):
            ear.put(Overheard("strap", What.NOTIFIED, n))
        taken = await ear.until(1.0)
        assert [one.boot_ns for one in taken] == list(range(UNREAD_MAX))
        assert ear.missed == 7
        ear.put(Overheard("strap", What.NOTIFIED, 1))
        assert len(await ear.until(1.0)) == 1

    asyncio.run(main())


def test_who_listens_later_is_told_what_is_connected_and_what_was_read_last() -> None:
    async def main() -> None:
        tap = Tap()
        tap.connected("cgm", 1, tuple)
        tap.read("cgm", 2, "a", b"old")
        tap.read("cgm", 3, "a", b"new")
        tap.connected("strap", 4, tuple)
        tap.disconnected("strap", 5)
        tap.notified("cgm", 6, "b", b"nobody listens")
        with tap.listen(lambda: 7) as ear:
            found = [(one.sensor_id, one.what, one.boot_ns, one.payload) for one in await ear.until(1.0)]
            assert found == [("cgm", What.CONNECTED, 7, b""), ("cgm", What.READ, 7, b"new")]
            tap.connected("cgm", 8, tuple)
            tap.notified("cgm", 9, "b", b"x")
            assert [one.boot_ns for one in await ear.until(1.0)] == [8, 9]
        assert tap.ears == []

    asyncio.run(main())
