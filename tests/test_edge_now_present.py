"""What is known at a moment: each thing with its age, nothing from nowhere."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from board_parts import MIDNIGHT_UTC_NS, Bench, S
from edge_parts import minimal_config, open_store

from edge.contact import Phase
from edge.now.known import GlucoseKnown, Rest, RhythmKnown, RouteKnown, SensorKnown, ValueKnown
from edge.radio.trouble import Trouble
from edge.sensors.sensor import SensorLive
from hw_sim.clock import VirtualClock, run

GLUCOSE = GlucoseKnown(10.0, 100.0, -1.0, None, None, None, False, False, False, None, 5)
RHYTHM = RhythmKnown(5.0, 0.1, 0.1, None, 0.0, None, 100.0, None, None)


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    def make(error_ms: int | None = 500, boot_s: float = 0.0, **text: str) -> Bench:
        config = minimal_config(tmp_path, **text)
        clock = VirtualClock(MIDNIGHT_UTC_NS, "boot-1", error_ms, booted_ns=-round(boot_s * S))
        return Bench(open_store(config), config, clock=clock)

    return make


def sensor(b: Bench, name: str) -> SensorKnown:
    (found,) = b.present.known((name,)).sensors
    return found


def test_of_a_sensor_that_nobody_has_heard_little_is_known(bench: Callable[..., Bench]) -> None:
    async def main() -> None:
        b = bench()
        await asyncio.sleep(30)
        found = sensor(b, "strap")
        assert (found.id, found.kind, found.person, found.phase) == (
            "strap",
            "heart_rate",
            "anna",
            "streaming",
        )
        assert (found.heard_age_s, found.worn, found.worn_age_s, found.values) == (30.0, None, None, {})
        assert (found.rest, found.rhythm, found.glucose) == (Rest.UNKNOWN, None, None)

    run(main())


def test_a_value_has_its_age_and_says_whether_it_counts(bench: Callable[..., Bench]) -> None:
    async def main() -> None:
        b = bench()
        await asyncio.sleep(100)
        b.facts.note_heard("cgm", 40 * S)
        b.facts.note("cgm", "glucose", 44.0, 40 * S, "warm-up")
        found = sensor(b, "cgm")
        assert found.values == {"glucose": ValueKnown(44.0, 60.0, "warm-up")}
        assert found.heard_age_s == 60.0
        # A sensor's clock may be a little ahead.
        b.facts.note("cgm", "glucose", 45.0, 130 * S)
        assert sensor(b, "cgm").values["glucose"].age_s == 0.0

    run(main())


def test_how_long_ago_it_was_worn(bench: Callable[..., Bench]) -> None:
    async def main() -> None:
        b = bench()
        b.facts.note_heard("strap", 5 * S)
        b.facts.note_worn("strap", True, 5 * S)
        await asyncio.sleep(20)
        assert sensor(b, "strap").worn_age_s == 15.0
        b.facts.note_worn("strap", False, 12 * S)
        assert (sensor(b, "strap").worn, sensor(b, "strap").worn_age_s) == (False, 8.0)

    run(main())


def test_what_the_sensor_itself_says_goes_along(bench: Callable[..., Bench]) -> None:
    async def main() -> None:
        b = bench()
        b.live["cgm"] = SensorLive(0, warm_up_left_s=600.0, wear_left_s=7200.0)
        found = sensor(b, "cgm")
        assert (found.warm_up_left_s, found.wear_left_s, found.battery_pct) == (600.0, 7200.0, 80)

    run(main())


@pytest.mark.parametrize(("phase", "says"), [(Phase.SEARCHING, True), (Phase.STREAMING, False)])
def test_trouble_is_what_keeps_it_from_sending(bench: Callable[..., Bench], phase: Phase, says: bool) -> None:
    async def main() -> None:
        b = bench()
        state = SimpleNamespace(phase=phase, trouble=Trouble.NOT_HEARD)
        b.present._contacts = {"strap": SimpleNamespace(state=state)}  # type: ignore[dict-item]
        assert sensor(b, "strap").trouble == (Trouble.NOT_HEARD.cause if says else None)

    run(main())


def test_what_follows_from_many_readings_comes_from_whoever_knows_it(bench: Callable[..., Bench]) -> None:
    class Knowing:
        def rest(self, boot_ns: int) -> Rest:
            assert boot_ns == 7 * S
            return Rest.RESTING

        def rhythm(self, _: int) -> RhythmKnown:
            return RHYTHM

        def glucose(self, _: int) -> GlucoseKnown:
            return GLUCOSE

    async def main() -> None:
        b = bench()
        b.present.insights["strap"] = Knowing()
        await asyncio.sleep(7)
        found = sensor(b, "strap")
        assert (found.rest, found.rhythm, found.glucose) == (Rest.RESTING, RHYTHM, GLUCOSE)

    run(main())


# The gateway itself


@pytest.mark.parametrize(
    ("zone", "minute"), [("UTC", 90), ("Asia/Kolkata", 90 + 330), ("America/New_York", 1230)]
)
def test_the_minute_of_the_day_is_local(bench: Callable[..., Bench], zone: str, minute: int) -> None:
    async def main() -> None:
        text = {'state_dir = "state"': f'state_dir = "state"\ntimezone = "{zone}"'}
        b = bench(**text)
        b.timekeeper.look()
        await asyncio.sleep(90 * 60)
        assert b.present.known().minute_of_day == minute

    run(main())


def test_without_a_trusted_clock_there_is_no_minute_and_it_is_said_for_how_long(
    bench: Callable[..., Bench],
) -> None:
    """Since the boot: what was trusted once in it stays so, over a restart as well."""

    async def main() -> None:
        b = bench(error_ms=None, boot_s=5000.0)
        b.timekeeper.look()
        await asyncio.sleep(100)
        known = b.present.known()
        assert (known.minute_of_day, known.clock_untrusted_s) == (None, 5100.0)
        b.clock.error_ms = 500
        b.timekeeper.look()
        assert b.present.known().clock_untrusted_s == 0.0

    run(main())


def test_it_is_known_for_how_long_nothing_can_be_stored(bench: Callable[..., Bench]) -> None:
    async def main() -> None:
        b = bench()
        assert (b.present.known().store_trouble, b.present.known().store_trouble_s) == (None, 0.0)
        b.store._writer.trouble = "disk full"
        b.present.known()
        await asyncio.sleep(50)
        assert (b.present.known().store_trouble, b.present.known().store_trouble_s) == ("disk full", 50.0)
        b.store._writer.trouble = None
        assert b.present.known().store_trouble_s == 0.0

    run(main())


def test_it_is_known_how_long_the_oldest_item_has_waited(bench: Callable[..., Bench]) -> None:
    async def main() -> None:
        b = bench()
        b.present.route_troubles = lambda: {"files": "no stick"}
        assert b.present.known().routes == (RouteKnown("files", "no stick", None),)
        b.present.note_oldest("files", (b.timekeeper.boot_no, 10 * S))
        await asyncio.sleep(70)
        assert b.present.known().routes == (RouteKnown("files", "no stick", 60.0),)
        b.present.note_oldest("files", (99, 0))  # of a boot that nobody can place
        assert b.present.known().routes[0].oldest_age_s is None
        b.present.note_oldest("files", None)
        assert b.present.known().routes[0].oldest_age_s is None

    run(main())


def test_a_document_of_one_sensor_has_no_other(bench: Callable[..., Bench]) -> None:
    async def main() -> None:
        b = bench()
        assert [one.id for one in b.present.known().sensors] == ["strap", "cgm"]
        assert [one.id for one in b.present.known(("cgm",)).sensors] == ["cgm"]
        assert b.present.known(("cgm",)).minute_of_day is not None

    run(main())


def test_the_minute_of_the_day_turns_with_the_clock_and_is_another_once_that_is_set(
    bench: Callable[..., Bench],
) -> None:
    async def main() -> None:
        b = bench(error_ms=None, boot_s=0.0)
        assert b.present.known().minute_of_day is None
        await asyncio.sleep(59.9)
        assert b.present.known().minute_of_day is None
        b.clock.error_ms = 500
        b.timekeeper.look()
        assert b.present.known().minute_of_day == 60 * 0 + 0
        await asyncio.sleep(0.2)
        assert b.present.known().minute_of_day == 1
        b.clock.epoch_utc_ns += 5400 * S
        b.timekeeper.look()
        assert b.present.known().minute_of_day == 60 + 31

    run(main())
