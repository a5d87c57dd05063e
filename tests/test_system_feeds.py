"""The whole gateway and what people run at home, in virtual time: each measurement once, whatever phones and servers
do; silence is told, with what is the matter; nobody who answers badly harms the others.
"""

import asyncio
import json
import logging
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from edge_parts import MIDNIGHT_UTC_S
from feed_world import (
    ADDRESS,
    DAY_S,
    HOST,
    PHONE,
    STEP_S,
    FeedWorld,
    config_of,
    feed_world,
    now_utc_s,
    sensor,
    wave,
    worn,
)
from typer.testing import CliRunner

from dsp.glucose import realtime
from dsp.glucose.realtime import Live
from edge.contact import Phase
from edge.feeds.entries import WEEK_S, week_of
from edge.radio.trouble import Trouble
from hw_sim.clock import run
from hw_sim.followers.diary import Diary, Uploader
from hw_sim.followers.hostile import WAYS, Hostile
from hw_sim.followers.nightscout import Nightscout
from hw_sim.followers.phone import Phone
from tools.cli import app

NIGHT = "night.lan:1337"
NIGHT_URL = f"http://{NIGHT}"
SECRET = "correct horse battery staple"
TOKEN = "gateway-0123456789abcdef"
OUTAGE_S = 12 * 3600, 36 * 3600
CODE_EVERY, HEAVY_EVERY, GAP_EVERY = 97, 113, 41


def lost_for_a_day(utc_s: float) -> float:
    """A phone that is away for a day sends what it has when it is back."""
    from_s, to_s = (MIDNIGHT_UTC_S + s for s in OUTAGE_S)
    return utc_s + 5.0 if not from_s <= utc_s < to_s else to_s + 20.0


def second_phone(utc_s: float) -> float | None:
    """Another uploader of the same sensor: now and then, and never while the phone is away."""
    is_on = int(utc_s) // 7200 % 3 != 0
    is_away = OUTAGE_S[0] - 600 <= utc_s - MIDNIGHT_UTC_S < OUTAGE_S[1] + 600
    return utc_s + 9.0 if is_on and not is_away else None


def months(from_utc_s: float, to_utc_s: float) -> Diary:
    """Two uploaders, 20 s apart; gaps, codes and noise."""
    diary = Diary()
    uploaders = (
        Uploader("xDrip-DexcomG5", 0.0, lost_for_a_day),
        Uploader("openaps://other", 20.0, second_phone),
    )
    for n, utc_s in enumerate(range(int(from_utc_s) // STEP_S * STEP_S + 40, int(to_utc_s), STEP_S)):
        if n // 30 % GAP_EVERY == 7 and utc_s < MIDNIGHT_UTC_S:
            continue  # the sensor lost its phone for two hours and a half
        if n % CODE_EVERY == 5:
            diary.measure(utc_s, 12, uploaders)
        else:
            diary.measure(utc_s, round(wave(utc_s)), uploaders, noise=4 if n % HEAVY_EVERY == 8 else 1)
    return diary


def matched(diary: Diary, counted: dict[int, float | None]) -> tuple[list[int], list[int]]:
    """Measurements that count not exactly once, and what counts without having been measured."""
    found = dict.fromkeys(diary.truth, 0)
    strange = []
    for stamp, value in counted.items():
        taken = next((stamp - off_s for off_s in (0, 20) if diary.truth.get(stamp - off_s) == value), None)
        if taken is None:
            strange.append(stamp)
        else:
            found[taken] += 1
    return [utc_s for utc_s, times in found.items() if times != 1], strange


async def live(world: FeedWorld, days: float) -> None:
    while world.utc_s < MIDNIGHT_UTC_S + days * DAY_S:
        await world.for_s(3600.0)


@pytest.mark.parametrize(
    ("history_days", "live_days"),
    [
        (30, 2),
        pytest.param(90, 2, marks=pytest.mark.soak),
        pytest.param(1, 90, marks=pytest.mark.soak),
    ],
)
def test_a_feed_with_two_uploaders_gaps_codes_and_an_outage_keeps_each_measurement_once(
    history_days: int, live_days: int, tmp_path: Path
) -> None:
    # In the month before this midnight the clocks change in Berlin.
    diary = months(MIDNIGHT_UTC_S - history_days * DAY_S, MIDNIGHT_UTC_S + live_days * DAY_S)
    raised: list[tuple[float, set[tuple[str, str]]]] = []

    async def scenario() -> None:
        server = Nightscout(diary, now_utc_s, secret=SECRET)
        told = sensor(address=NIGHT_URL, more=f'secret = "{SECRET}"')
        async with feed_world(config_of(tmp_path, told, zone="Europe/Berlin"), {NIGHT: server}) as world:
            await world.for_s(OUTAGE_S[0] - 60.0)
            assert world.alerts() == set()
            assert not world.gateway.is_catching_up
            while world.utc_s < MIDNIGHT_UTC_S + OUTAGE_S[1]:
                await world.for_s(600.0)
                raised.append((world.utc_s - MIDNIGHT_UTC_S, world.alerts()))
            await live(world, live_days)
            await world.for_s(3600.0)
            wrong, strange = matched(diary, world.counted())
            assert (wrong, strange) == ([], [])
            assert {r.not_counted for r in world.readings().values()} == {
                None,
                "no measurement",
                "low quality",
                "sent twice",
            }
            days = world.gateway.store.tables.summaries.between("glucose_day")
            over_utc_s = max(day.end_utc_s for day in days)
            assert sum(int(str(day.body["readings"])) for day in days) == sum(
                utc_s < over_utc_s for utc_s in diary.truth
            )
            assert len(days) == history_days + live_days
            assert {day.end_utc_s - day.key.start_utc_s for day in days} >= {24 * 3600}
            if history_days >= 30:
                assert 25 * 3600 in {day.end_utc_s - day.key.start_utc_s for day in days}

    run(scenario())
    silent_s = [at_s for at_s, alerts in raised if ("cgm_silence", "phone") in alerts]
    assert min(silent_s) <= OUTAGE_S[0] + 1200 + 600
    assert len(silent_s) > 130  # until the phone is back
    assert_analysis(diary, tmp_path)


def assert_analysis(diary: Diary, directory: Path) -> None:
    """What `analyse --store` says equals what it says of the truth."""
    truth = directory / "truth.csv"
    rows = [f"{utc_s},{value}" for utc_s, value in sorted(diary.truth.items())]
    truth.write_text("\n".join(["epoch,glucose_mg_dl", *rows]))
    done = CliRunner().invoke(app, ["analyse", "glucose", "--store", str(directory / "state"), "--json"])
    assert done.exit_code == 0, done.output
    (person,) = json.loads(done.stdout)["people"]
    values = sorted(diary.truth.values())
    assert person["metrics"]["readings"] == len(values)
    assert person["metrics"]["mean_mg_dl"] == pytest.approx(sum(values) / len(values), rel=1e-3)


@pytest.mark.parametrize("kill_at_s", [3.0, 8.0, 20.0, 40.0])
def test_history_goes_on_after_a_kill_and_nothing_is_stored_twice(kill_at_s: float, tmp_path: Path) -> None:
    diary = months(MIDNIGHT_UTC_S - 40 * DAY_S, MIDNIGHT_UTC_S + 7200)

    async def scenario() -> None:
        server = Nightscout(diary, now_utc_s)
        async with feed_world(config_of(tmp_path, sensor(address=NIGHT_URL)), {NIGHT: server}) as world:
            await world.for_s(kill_at_s)
            await world.machine.kill()
            world.machine.start()
            await world.for_s(3600.0)
            here = {utc_s: value for utc_s, value in diary.truth.items() if utc_s < world.utc_s - 60}
            wrong, strange = matched(Diary(truth=here), world.counted())
            assert [utc_s for utc_s in wrong if utc_s in here] == []
            assert len(strange) <= 1

    run(scenario())


def test_what_a_full_disk_could_not_take_is_asked_for_again(tmp_path: Path) -> None:
    diary = worn(MIDNIGHT_UTC_S - DAY_S, MIDNIGHT_UTC_S + 6 * 3600)

    async def scenario() -> None:
        async with feed_world(config_of(tmp_path), {HOST: Phone(diary, now_utc_s)}) as world:
            await world.for_s(3600.0)
            world.machine.is_full = True
            await world.for_s(7200.0)
            assert (await world.shown()).phase == "streaming"
            world.machine.is_full = False
            await world.for_s(3 * 3600.0)
            assert matched(diary, world.counted()) == ([], [])

    run(scenario())


def test_three_kinds_of_silence_have_three_texts(tmp_path: Path) -> None:
    diary = worn(MIDNIGHT_UTC_S - 7200, MIDNIGHT_UTC_S + 3600)
    phone = Phone(diary, now_utc_s)
    texts: list[str] = []

    async def scenario() -> None:
        async with feed_world(config_of(tmp_path), {HOST: phone}) as world:
            await world.for_s(1800.0)
            assert (await world.shown()).phase == Phase.STREAMING
            assert world.alerts() == set()
            await world.for_s(1800.0 + 1500.0)  # nothing new since an hour after midnight
            texts.append(await silence(world))
            phone.is_away = True
            await world.for_s(600.0)
            texts.append(await silence(world))
            phone.is_away, phone.has_sensor = False, False
            await world.for_s(600.0)
            texts.append(await silence(world))

    async def silence(world: FeedWorld) -> str:
        assert world.alerts() == {("cgm_silence", "phone")}
        shown = await world.shown()
        assert shown.trouble is not None
        (alert,) = world.gateway.alerts.shown()
        assert alert.reason == shown.trouble.cause
        return shown.trouble.cause

    run(scenario())
    assert [text.partition(",")[0] for text in texts] == [
        "the phone or the server is reached",
        "the phone or the server cannot be reached",
        "the phone or the server is reached",
    ]
    assert len(set(texts)) == 3


@pytest.mark.parametrize("is_juggluco", [False, True])
def test_a_phone_with_a_secret_is_found_to_be_what_it_is_and_its_secret_is_shown_nowhere(
    is_juggluco: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    diary = worn(MIDNIGHT_UTC_S - 3 * DAY_S, MIDNIGHT_UTC_S + 7200)
    phone = Phone(diary, now_utc_s, secret=SECRET, is_juggluco=is_juggluco)

    async def scenario() -> None:
        async with feed_world(
            config_of(tmp_path, sensor(more=f'secret = "{SECRET}"')), {HOST: phone}
        ) as world:
            await world.for_s(3600.0)
            phone.secret = "another"
            await world.for_s(3600.0)
            shown = await world.shown()
            assert shown.trouble is not None
            assert "secret" in shown.trouble.cause
            status = repr(await world.gateway.status())
            assert SECRET not in status
            assert HOST not in status
            assert len(world.counted()) == 3 * 288 + 12

    run(scenario())
    assert SECRET not in caplog.text
    assert "192.168" not in caplog.text
    assert HOST not in repr(caplog.records)


def test_nightscout_by_its_third_api_goes_on_when_its_jwt_ends_or_is_revoked(tmp_path: Path) -> None:
    diary = worn(MIDNIGHT_UTC_S - 3 * DAY_S, MIDNIGHT_UTC_S + 4 * 3600)
    server = Nightscout(diary, now_utc_s, token=TOKEN, has_v1=False, jwt_s=1800.0)

    async def scenario() -> None:
        told = sensor(address=NIGHT_URL, more=f'secret = "{TOKEN}"')
        async with feed_world(config_of(tmp_path, told), {NIGHT: server}) as world:
            await world.for_s(2 * 3600.0)
            server.revoke()
            await world.for_s(2 * 3600.0)
            assert matched(diary, world.counted()) == ([], [])
            jwts = [path for path, _ in server.asked if path.startswith("api/v2")]
            assert 6 <= len(jwts) <= 12

    run(scenario())


def test_over_the_border_of_a_week_what_follows_from_a_feed_goes_on(tmp_path: Path) -> None:
    border_utc_s = week_of(MIDNIGHT_UTC_S) + WEEK_S
    diary = worn(border_utc_s - 6 * 3600, border_utc_s + 2 * 3600)
    stamps = np.array(sorted(diary.truth), dtype=float)
    values = np.array([diary.truth[int(stamp)] for stamp in stamps], dtype=float)
    rows = realtime.follow(realtime.new_wearer(), (stamps - stamps[0]) / 60.0, values)

    async def main() -> None:
        await asyncio.sleep(border_utc_s - MIDNIGHT_UTC_S - 3600)
        async with feed_world(config_of(tmp_path), {HOST: Phone(diary, now_utc_s)}) as world:
            insight = world.gateway.insights["phone"]
            while world.utc_s < border_utc_s + 3600:
                await world.for_s(60.0)
                if world.utc_s < border_utc_s - 1800:
                    continue
                known = insight.glucose(world.gateway.clock.boot_ns())
                assert known is not None, world.utc_s
                assert known.in_15_min is not None, world.utc_s
                assert known.age_s <= STEP_S + 60.0
                known_for = int(np.searchsorted(stamps, world.utc_s - known.age_s + 1.0)) - 1
                truth = Live._make(rows[known_for].tolist())
                assert known.in_15_min.glucose_mg_dl == pytest.approx(truth.in_15_mg_dl, abs=3.0)
                assert known.smoothed_mg_dl == pytest.approx(truth.glucose_mg_dl, abs=0.5)

    run(main())


def test_what_is_unchanged_is_not_sent_again(tmp_path: Path) -> None:
    diary = worn(MIDNIGHT_UTC_S - DAY_S, MIDNIGHT_UTC_S)
    server = Nightscout(diary, now_utc_s)

    async def scenario() -> None:
        async with feed_world(config_of(tmp_path, sensor(address=NIGHT_URL)), {NIGHT: server}) as world:
            await world.for_s(3 * 3600.0)

    run(scenario())
    statuses = [status for _, status in server.asked]
    assert statuses.count(304) > 25
    assert len(statuses) < 60  # nobody is hammered, though nothing comes


def test_a_phone_is_asked_about_once_for_each_value(tmp_path: Path) -> None:
    phone = Phone(worn(MIDNIGHT_UTC_S - DAY_S, MIDNIGHT_UTC_S + DAY_S), now_utc_s)

    async def scenario() -> None:
        async with feed_world(config_of(tmp_path), {HOST: phone}) as world:
            await world.for_s(DAY_S)

    run(scenario())
    assert 288 <= len(phone.asked_s) <= 288 * 1.15 + 30
    assert min(b - a for a, b in zip(phone.asked_s, phone.asked_s[1:], strict=False)) >= 1.0


def test_a_busy_server_is_left_alone_for_as_long_as_it_says(tmp_path: Path) -> None:
    server = Nightscout(worn(MIDNIGHT_UTC_S - DAY_S, MIDNIGHT_UTC_S + DAY_S), now_utc_s)

    async def scenario() -> None:
        async with feed_world(config_of(tmp_path, sensor(address=NIGHT_URL)), {NIGHT: server}) as world:
            await world.for_s(600.0)
            server.busy_s = 900.0
            await world.for_s(600.0)
            asked = len(server.asked)
            await world.for_s(4 * 900.0)
            assert len(server.asked) - asked <= 5
            server.busy_s = 0.0
            await world.for_s(1200.0)
            assert (await world.shown()).phase == "streaming"

    run(scenario())


@pytest.mark.parametrize("off_s", [-600.0, 600.0])
def test_a_phone_whose_clock_is_wrong_is_named(off_s: float, tmp_path: Path) -> None:
    phone = Phone(worn(MIDNIGHT_UTC_S - DAY_S, MIDNIGHT_UTC_S + DAY_S), now_utc_s, clock_off_s=off_s)

    async def scenario() -> None:
        async with feed_world(config_of(tmp_path), {HOST: phone}) as world:
            await world.for_s(1800.0)
            shown = await world.shown()
            assert shown.trouble is not None
            assert "clock" in shown.trouble.cause
            # Its stamps are kept as they are, and none lies in the future.
            assert max(world.readings()) <= world.utc_s + 120.0

    run(scenario())


@pytest.mark.parametrize("ahead_s", [900.0, 3000.0, 7200.0])
def test_a_phone_whose_clock_is_ahead_rings_no_old_value_as_a_fresh_one(
    ahead_s: float, tmp_path: Path
) -> None:
    """Nightscout's own clock is right: what is wrong shows by the entries alone."""
    diary, low_s = Diary(), (MIDNIGHT_UTC_S - 7200.0, MIDNIGHT_UTC_S - 1500.0)
    for utc_s in range(int(MIDNIGHT_UTC_S) - 7160, int(MIDNIGHT_UTC_S) + 7200, STEP_S):
        value = 50 if low_s[0] <= utc_s < low_s[1] else 150
        diary.measure(utc_s, value, (Uploader("xDrip-DexcomG5", ahead_s),))

    async def scenario() -> None:
        server = Nightscout(diary, now_utc_s)
        async with feed_world(config_of(tmp_path, sensor(address=NIGHT_URL)), {NIGHT: server}) as world:
            for _ in range(10):
                await world.for_s(300.0)
                # The lows were over for more than the 15 minutes of an alert when the gateway began.
                assert not world.alerts() & {("glucose_low", "phone"), ("glucose_urgent_low", "phone")}
            shown = await world.shown()
            assert shown.trouble is not None
            assert shown.trouble.cause == Trouble.FEED_CLOCK.cause

    run(scenario())


def test_one_stray_entry_of_the_future_hides_no_fresh_value(tmp_path: Path) -> None:
    diary = worn(MIDNIGHT_UTC_S - 7200, MIDNIGHT_UTC_S + 7200)
    diary.enter(MIDNIGHT_UTC_S + 400 * DAY_S, 100, MIDNIGHT_UTC_S - 100)

    async def scenario() -> None:
        server = Nightscout(diary, now_utc_s)
        async with feed_world(config_of(tmp_path, sensor(address=NIGHT_URL)), {NIGHT: server}) as world:
            await world.for_s(3000.0)
            assert world.alerts() == set()
            assert age_s(world) < 400.0

    run(scenario())


@pytest.mark.parametrize("server", ["nightscout", "nightscout v3", "xdrip"])
def test_entries_of_the_future_in_any_number_hide_no_fresh_value(server: str, tmp_path: Path) -> None:
    """An uploader's clock was a year ahead for two hours; then it was set, and goes on."""
    diary = worn(MIDNIGHT_UTC_S - 7200, MIDNIGHT_UTC_S + 4 * 7200)
    for n in range(24):
        diary.enter(MIDNIGHT_UTC_S + 400 * DAY_S + STEP_S * n, 50, MIDNIGHT_UTC_S + 900.0)

    async def scenario() -> None:
        asked = Phone(diary, now_utc_s) if server == "xdrip" else Nightscout(diary, now_utc_s)
        config = config_of(tmp_path, sensor(address=NIGHT_URL, more=f'server = "{server}"'))
        async with feed_world(config, {NIGHT: asked}) as world:
            for _ in range(24):
                await world.for_s(600.0)
                assert world.alerts() == set()
                assert age_s(world) < 400.0
            shown = await world.shown()
            assert shown.trouble is not None
            assert shown.trouble.cause == Trouble.FEED_CLOCK.cause
            truth = {utc_s: value for utc_s, value in diary.truth.items() if utc_s < world.utc_s - 600}
            assert truth.items() <= world.counted().items()
            # Once a value, and once an hour what is the newest.
            times = len(asked.asked_s if isinstance(asked, Phone) else asked.asked)
            assert times < 2 * 4 * 3600 / STEP_S
            diary.entries = [entry for entry in diary.entries if entry.utc_ms < 1000 * (world.utc_s + DAY_S)]
            await world.for_s(3900.0)
            assert (await world.shown()).trouble is None

    run(scenario())


def age_s(world: FeedWorld) -> float:
    newest = world.gateway.facts.newest("phone", "glucose")
    assert newest is not None
    return (world.machine.clock.boot_ns() - newest.taken_boot_ns) / 1e9


def test_values_go_on_when_a_phone_is_set_back_to_the_right_time(tmp_path: Path) -> None:
    phone = Phone(worn(MIDNIGHT_UTC_S - DAY_S, MIDNIGHT_UTC_S + DAY_S), now_utc_s, clock_off_s=3600.0)

    async def scenario() -> None:
        # Nothing vouches for the gateway's own clock.
        async with feed_world(config_of(tmp_path), {HOST: phone}, is_trusted=False) as world:
            await world.for_s(1900.0)
            phone.clock_off_s = 0.0
            for _ in range(5):
                await world.for_s(600.0)
                assert age_s(world) < 700.0

    run(scenario())


def test_a_clock_that_is_behind_is_named_and_not_the_age_that_it_makes(tmp_path: Path) -> None:
    phone = Phone(worn(MIDNIGHT_UTC_S - DAY_S, MIDNIGHT_UTC_S + DAY_S), now_utc_s, clock_off_s=-3600.0)

    async def scenario() -> None:
        async with feed_world(config_of(tmp_path), {HOST: phone}) as world:
            await world.for_s(1800.0)
            shown = await world.shown()
            assert shown.trouble is not None
            assert shown.trouble.cause == Trouble.FEED_CLOCK.cause

    run(scenario())


def test_a_server_whose_entries_make_no_sense_is_told_from_one_whose_wearer_has_no_sensor(
    tmp_path: Path,
) -> None:
    diary = Diary()
    for at_s in range(0, 3600, 300):
        diary.measure(MIDNIGHT_UTC_S - 3600 + at_s, 6.5, (Uploader("xDrip-DexcomG5"),))

    async def scenario() -> None:
        async with feed_world(config_of(tmp_path), {HOST: Phone(diary, now_utc_s)}) as world:
            await world.for_s(1800.0)
            shown = await world.shown()
            assert shown.trouble is not None
            assert shown.trouble.cause == Trouble.FEED_NONSENSE.cause
            assert world.readings("phone") == {}

    run(scenario())


@pytest.mark.parametrize("way", WAYS)
def test_a_hostile_server_neither_hangs_nor_starves_a_good_one(way: str, tmp_path: Path) -> None:
    diary = worn(MIDNIGHT_UTC_S - DAY_S, MIDNIGHT_UTC_S + 2 * 3600)
    hostile = Hostile(way, now_utc_s)

    async def scenario() -> None:
        config = config_of(tmp_path, sensor(), sensor("bad", address=NIGHT_URL, more="another_sensor = true"))
        async with feed_world(config, {HOST: Phone(diary, now_utc_s), NIGHT: hostile}) as world:
            await world.for_s(600.0)
            tracemalloc.start()
            await world.for_s(1800.0)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 60e6
            await world.for_s(2 * 3600.0 - 600.0 - 1800.0)
            assert matched(diary, world.counted())[1] == []
            assert len(world.counted()) >= len(diary.truth) - 1
            assert all(r.value != 45.0 for r in world.readings("bad").values())
            assert ("cgm_silence", "phone") not in world.alerts()

    run(scenario())
    assert 3 <= hostile.asked < 300


def test_a_heart_rate_is_given_back_at_most_once_a_minute(tmp_path: Path) -> None:
    phone = Phone(worn(MIDNIGHT_UTC_S - DAY_S, MIDNIGHT_UTC_S + DAY_S), now_utc_s)
    strap = sensor("strap", "heart_rate", "A4:C1:38:00:00:01")

    async def beating(world: FeedWorld) -> None:
        while True:
            boot_ns = world.machine.clock.boot_ns()
            world.gateway.facts.note("strap", "heart_rate", 63.4, boot_ns)
            await asyncio.sleep(1.0)

    async def scenario(told: str) -> int:
        phone.heart_rates.clear()
        async with feed_world(config_of(tmp_path, told, strap), {HOST: phone}) as world:
            beats = asyncio.ensure_future(beating(world))
            await world.for_s(3600.0)
            beats.cancel()
        return len(phone.heart_rates)

    assert run(scenario(sensor())) == 0
    assert 40 <= run(scenario(sensor(more='heart_from = "strap"'))) <= 60
    assert set(phone.heart_rates) == {63}


def test_a_phone_away_for_a_day_is_read_up_in_one_page(tmp_path: Path) -> None:
    diary = worn(MIDNIGHT_UTC_S - DAY_S, MIDNIGHT_UTC_S + 2 * DAY_S)
    phone = Phone(diary, now_utc_s)

    async def scenario() -> None:
        async with feed_world(config_of(tmp_path), {HOST: phone}) as world:
            await world.for_s(12 * 3600.0)
            phone.is_away = True
            await world.for_s(DAY_S)
            assert world.alerts() == {("cgm_silence", "phone")}
            phone.is_away = False
            await world.for_s(600.0)
            assert world.alerts() == set()
            await world.for_s(11 * 3600.0)
            here = {u: v for u, v in diary.truth.items() if u < world.utc_s - 60}
            assert {u: v for u, v in world.counted().items() if u in here} == here

    run(scenario())


def test_one_address_is_one_device_and_another_address_of_the_same_phone_repeats_nothing(
    tmp_path: Path,
) -> None:
    """A phone that has got another address is another device; what it tells again does not count again."""
    diary = worn(MIDNIGHT_UTC_S - 2 * DAY_S, MIDNIGHT_UTC_S + 7200)
    phone = Phone(diary, now_utc_s)
    other = ADDRESS.replace("20:", "21:")

    async def scenario(address: str) -> dict[int, float | None]:
        async with feed_world(
            config_of(tmp_path, sensor(address=address)), {HOST: phone, other[7:]: phone}
        ) as world:
            await world.for_s(3600.0)
            tables = world.gateway.store.tables
            return {
                session.start_utc_s + r.at_s: r.value
                for row in tables.sensors.all()
                for session in tables.sessions.of_sensor(row.no)
                if session.start_utc_s is not None
                for r in tables.readings.between(session.no, "glucose", 0, 1 << 40)
                if r.not_counted is None and (row.address, r.at_s) not in seen
                if not seen.add((session.start_utc_s + r.at_s, r.at_s))  # type: ignore[func-returns-value]
            }

    seen: set[object] = set()
    first = run(scenario(ADDRESS))
    second = run(scenario(other))
    assert len(first) >= 2 * 288
    assert second.keys() <= first.keys()


__all__ = ["PHONE"]
