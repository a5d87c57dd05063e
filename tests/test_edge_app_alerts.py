"""What the composed gateway does about alerts: each of its parts is connected to the others."""

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from board_parts import Ear
from edge_parts import MIDNIGHT_UTC_S, DeafScanner, StillClock, minimal_config

from edge.app import LOOK_UPSTREAM_S, Gateway
from edge.clock import Clock
from edge.config import Config
from edge.local import control
from edge.now.known import Rest
from edge.now.present import NoInsight
from edge.radio.adapter import Radio
from edge.store.deliveries import Item
from edge.workers import InlineWorker, Workers, inline
from hw_sim.clock import VirtualClock, run
from hw_sim.disk import SimulatedDisk

S = 10**9


@asynccontextmanager
async def running(
    config: Config, ear: Ear | None = None, clock: Clock | None = None, workers: Workers | None = None
) -> AsyncIterator[Gateway]:
    config.upstream.directory.mkdir(exist_ok=True)
    gateway = Gateway(
        config,
        clock or VirtualClock(MIDNIGHT_UTC_S * S, "boot-1", 500),
        Radio(DeafScanner),
        random.Random(1),
        simulated=True,
        workers=workers or inline(),
        channels=[ear] if ear else [],
    )
    task = asyncio.ensure_future(gateway.run())
    await asyncio.sleep(0.01)
    try:
        yield gateway
    finally:
        task.cancel()
        await asyncio.wait({task})
        gateway.close()


def glucose(gateway: Gateway, mg_dl: float, age_s: float = 0.0) -> None:
    taken_boot_ns = gateway.clock.boot_ns() - round(age_s * S)
    gateway.facts.note_heard("cgm", taken_boot_ns)
    gateway.facts.note("cgm", "glucose", mg_dl, taken_boot_ns)


def test_an_alert_is_told_by_the_channels_and_is_in_the_status_and_in_the_store(tmp_path: Path) -> None:
    ear = Ear()

    async def scenario() -> None:
        async with running(minimal_config(tmp_path), ear) as gateway:
            glucose(gateway, 50.0)
            await asyncio.sleep(1)
            assert ear.said == [("glucose_urgent_low", "raised"), ("glucose_low", "raised")]
            said = await gateway.status()
            assert [(one.kind, one.value, one.urgent) for one in said.alerts] == [
                ("glucose_urgent_low", 50.0, True),
                ("glucose_low", 50.0, False),
            ]
            states = gateway.store.tables.alerts.deliveries(gateway.store.tables.alerts.newest(1)[0].id)
            assert {one.channel: one.state for one in states} == {
                "ear": "delivered",
                "journal": "delivered",
                "socket": "issued",
            }

    run(scenario())


def test_the_command_of_the_configuration_is_run(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    code = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"
    command = json.dumps([sys.executable, "-c", code, str(kept)])
    text = {"[upstream]": f"[delivery]\ncommand = {command}\ncommand_timeout_s = 20.0\n[upstream]"}

    async def scenario() -> None:
        async with running(minimal_config(tmp_path, **text), clock=StillClock()) as gateway:
            glucose(gateway, 65.0)
            for _ in range(400):
                await asyncio.sleep(0.05)
                if kept.exists() and kept.read_text():
                    break
            assert json.loads(kept.read_text())["rule"] == "glucose_low"

    asyncio.run(scenario())


def test_the_socket_serves_what_people_do(tmp_path: Path) -> None:
    config = minimal_config(tmp_path)

    async def asked(**request: object) -> Any:
        answer = await asyncio.to_thread(control.ask, config.gateway.state_dir, request)
        assert answer is not None
        return msgspec.json.decode(answer)

    async def scenario() -> None:
        async with running(config, Ear(), StillClock()) as gateway:
            glucose(gateway, 65.0)
            said = await asked(do="snooze", alert="glucose_low", for_s=600, sensor="cgm")
            assert said["snoozes"][0]["kind"] == "glucose_low"
            said = await asked(do="ack", alert="glucose_low", sensor="cgm")
            assert said["alerts"][0]["acknowledged"] is True
            said = await asked(do="test")
            assert [one["channel"] for one in said["channels"]] == ["journal", "ear"]
            assert (await asked(do="alerts"))["alerts"][0]["snoozed_left_s"] > 590

    asyncio.run(scenario())


def test_a_full_disk_is_an_alert_and_stops_none(tmp_path: Path) -> None:
    ear, disk = Ear(), SimulatedDisk(1)

    async def scenario() -> None:
        async with running(
            minimal_config(tmp_path), ear, workers=Workers(disk, InlineWorker(), InlineWorker())
        ) as gateway:
            await asyncio.sleep(200)
            disk.refuses = True
            for _ in range(6):
                glucose(gateway, 50.0)
                await asyncio.sleep(300)
            assert {rule for rule, _ in ear.said} >= {"glucose_urgent_low", "disk_full"}
            assert "cgm_silence" not in {rule for rule, _ in ear.said}
            assert gateway.store.tables.alerts.newest(9) == []
            disk.refuses = False
            await asyncio.sleep(400)
            stored = {str(event.id) for event in gateway.store.tables.alerts.newest(99)}
            assert {one.id for one in ear.heard} == stored

    run(scenario())


def test_what_happened_last_is_stored_on_the_way_out_however_slow_the_disk(tmp_path: Path) -> None:
    config = minimal_config(tmp_path)

    async def scenario() -> None:
        slow = Workers(SimulatedDisk(1, delay_s=(1.0, 2.0)), InlineWorker(), InlineWorker())
        async with running(config, workers=slow) as gateway:
            await asyncio.sleep(100)
            glucose(gateway, 65.0)
            await asyncio.sleep(0.1)  # this one is under way
            glucose(gateway, 50.0)
        async with running(config) as gateway:
            assert {event.rule for event in gateway.store.tables.alerts.open()} == {
                "glucose_low",
                "glucose_urgent_low",
            }
            assert {one.rule for one in gateway.alerts.shown()} == {"glucose_low", "glucose_urgent_low"}

    run(scenario())


def test_silence_goes_on_over_a_reboot_that_a_trusted_clock_can_measure(tmp_path: Path) -> None:
    """The clock is read before anything is made of what was stored."""
    config, ear = minimal_config(tmp_path), Ear()

    async def scenario() -> None:
        async with running(config) as gateway:
            await asyncio.sleep(200)
            glucose(gateway, 100.0)
            await asyncio.sleep(10)
        later = VirtualClock((MIDNIGHT_UTC_S + 2000) * S, "boot-2", 500)
        async with running(config, ear, later) as gateway:
            await asyncio.sleep(125)
            assert ("cgm_silence", "raised") in ear.said
            (silence,) = [one for one in gateway.alerts.shown() if one.rule == "cgm_silence"]
            assert silence.value is not None
            assert 1900 < silence.value < 2200

    run(scenario())


def test_what_waits_to_be_sent_for_a_day_is_an_alert(tmp_path: Path) -> None:
    ear = Ear()

    async def scenario() -> None:
        config = minimal_config(tmp_path)
        async with running(config, ear) as gateway:
            config.upstream.directory.rmdir()
            item = Item("cgm_reading", "1/glucose/5", gateway.identity.id("x"), "p-7f3a", 1)

            def enqueue(tables: object) -> None:
                gateway.store.tables.deliveries.enqueue(
                    item, "files", gateway.boot_no, gateway.clock.boot_ns()
                )

            await gateway.store.write(enqueue)
            await asyncio.sleep(LOOK_UPSTREAM_S + 1)
            (route,) = gateway.present.known().routes
            assert route.oldest_age_s is not None
            assert route.oldest_age_s > LOOK_UPSTREAM_S - 1

    run(scenario())


def test_what_more_is_known_of_a_sensor_is_in_the_document(tmp_path: Path) -> None:
    class Knowing(NoInsight):
        def rest(self, _: int) -> Rest:
            return Rest.RESTING

    async def scenario() -> None:
        async with running(minimal_config(tmp_path)) as gateway:
            gateway.present.insights["strap"] = Knowing()
            strap, cgm = gateway.present.known().sensors
            assert (strap.rest, cgm.rest) == (Rest.RESTING, Rest.UNKNOWN)

    run(scenario())
