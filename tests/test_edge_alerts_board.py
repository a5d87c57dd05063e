"""The board of the running gateway: looks when it must, has told at once and stored together, goes on after a restart.

What the rules are, and what follows from them, the tests of the engine say.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from board_parts import Bench, Ear, play
from edge_parts import in_transaction, minimal_config, open_store

from edge.alerts.snooze import Refusal
from edge.config import Config
from edge.now.known import GatewayKnown, PauseKnown, Rest, RhythmKnown
from edge.now.present import NoInsight
from edge.store.door import Store


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return minimal_config(tmp_path)


@pytest.fixture
def store(config: Config) -> Store:
    return open_store(config)


def stored(store: Store) -> set[str]:
    return {event.rule for event in store.tables.alerts.open()}


def raised(store: Store) -> Counter[str]:
    return Counter(event.rule for event in store.tables.alerts.newest(100) if event.what == "raised")


def test_a_value_beyond_its_limit_is_told_and_stored_at_once(store: Store, config: Config) -> None:
    ear = Ear()

    async def scenario(b: Bench) -> None:
        await b.glucose(50.0)
        await asyncio.sleep(0.01)
        assert ear.said == [("glucose_urgent_low", "raised"), ("glucose_low", "raised")]
        assert {*stored(store)} == {"glucose_urgent_low", "glucose_low"}

    play(store, config, scenario, channels=[ear])
    low, urgent = store.tables.alerts.newest(2)
    assert (low.sensor_no, low.person, low.value, low.unit) == (2, "p-7f3a", 50.0, "mg/dL")
    assert (low.urgent, urgent.urgent) == (False, True)
    (message,) = [one for one in ear.heard if one.rule == "glucose_low"]
    assert (message.id, message.sensor, message.person, message.tier, message.utc_s) == (
        str(low.id),
        "cgm",
        "anna",
        "reminder",
        1_795_219_200 + 300.0,
    )


def test_a_value_alert_ends_by_a_good_value_only(store: Store, config: Config) -> None:
    async def scenario(b: Bench) -> None:
        await b.glucose(50.0)
        await b.pass_s(3600)
        assert b.of("glucose", "cgm") == {"glucose_low", "glucose_urgent_low", "cgm_silence"}
        assert b.shown("glucose_low").value is None
        await b.glucose(45.0, not_counted="malfunction")
        assert b.of("glucose", "cgm") == {"glucose_low", "glucose_urgent_low"}
        assert await b.glucose(100.0) == set()

    play(store, config, scenario)


def test_what_is_shown_is_the_value_of_today(store: Store, config: Config) -> None:
    async def scenario(b: Bench) -> None:
        await b.glucose(65.0)
        await b.glucose(58.0)
        shown = b.shown("glucose_low")
        assert (shown.value, shown.raised_by, shown.unit, shown.age_s) == (58.0, 65.0, "mg/dL", 300.0)

    play(store, config, scenario)


def looks(b: Bench) -> list[tuple[str, ...] | None]:
    """Whom the board looks at from now on; None is everything."""
    seen: list[tuple[str, ...] | None] = []
    known = b.present.known

    def look(only: tuple[str, ...] | None = None) -> GatewayKnown:
        seen.append(only)
        return known(only)

    b.present.known = look  # type: ignore[method-assign, assignment]
    return seen


def test_a_packet_that_changes_nothing_is_not_looked_at(store: Store, config: Config) -> None:
    async def scenario(b: Bench) -> None:
        await b.settle()
        await b.heart(10, 70)
        seen = looks(b)
        await b.heart(300, 70)
        assert len(seen) <= 6
        assert seen.count(("strap",)) <= 1

    play(store, config, scenario)


def test_a_value_beyond_its_limit_is_looked_at_at_once_however_calm_it_was(
    store: Store, config: Config
) -> None:
    async def scenario(b: Bench) -> None:
        await b.settle()
        await b.heart(300, 70)
        seen = looks(b)
        for bpm, not_counted in ((131.0, None), (39.0, None), (70.0, "not worn")):
            await b.heart(70, 70)
            seen.clear()
            await b.heart(1, bpm, not_counted)
            assert seen == [("strap",), None], (bpm, not_counted)  # the last is the test's own question

    play(store, config, scenario)


def test_what_is_beyond_its_limit_is_looked_at_with_each_packet(store: Store, config: Config) -> None:
    async def scenario(b: Bench) -> None:
        await b.settle()
        await b.heart(10, 30)
        seen = looks(b)
        await b.heart(5, 70)
        assert seen.count(("strap",)) == 1  # the first good packet ends it
        seen.clear()
        await b.heart(5, 30)
        assert seen.count(("strap",)) == 5

    play(store, config, scenario)


def test_a_high_rate_of_who_is_active_is_looked_at_until_it_has_lasted(store: Store, config: Config) -> None:
    class Active(NoInsight):
        def rest(self, _: int) -> Rest:
            return Rest.ACTIVE

    async def scenario(b: Bench) -> None:
        await b.settle()
        b.present.insights["strap"] = Active()
        await b.heart(10, 150)
        seen = looks(b)
        await b.heart(5, 150)
        assert seen.count(("strap",)) == 5
        await b.heart(7190, 150)
        assert b.of("heart_rate_high") == {"heart_rate_high_persistent"}

    play(store, config, scenario)


def test_what_many_values_say_together_is_looked_at_when_it_is_renewed(store: Store, config: Config) -> None:
    class Insight(NoInsight):
        def rhythm(self, _: int) -> RhythmKnown:
            pause = PauseKnown(4000.0, 5.0, may_be_missed_beats=False, may_be_lost_data=False)
            return RhythmKnown(5.0, 0.1, 0.1, None, 0.0, 0.0, 100.0, None, pause)

    async def scenario(b: Bench) -> None:
        await b.settle()
        await b.heart(10, 70)
        b.present.insights["strap"] = Insight()
        assert await b.heart(1, 70) == set()
        assert b.of("pause") == set()
        b.facts.renew("strap")
        assert b.of("pause") == {"pause"}

    play(store, config, scenario)


# Silence


def test_silence_is_found_at_the_moment_when_it_is_too_long(store: Store, config: Config) -> None:
    async def scenario(b: Bench) -> None:
        await b.heart(200, 70)
        await b.pass_s(599)
        assert b.of("heart") == set()
        await b.pass_s(2)
        assert b.of("heart") == {"heart_rate_silence"}
        assert await b.heart(1, 70) == set()

    play(store, config, scenario)


def test_never_heard_is_silence_too(store: Store, config: Config) -> None:
    async def scenario(b: Bench) -> None:
        await b.pass_s(1199)
        assert b.of("cgm") == set()
        await b.pass_s(2)
        assert b.of("cgm") == {"cgm_silence"}

    play(store, config, scenario)


@pytest.mark.parametrize("is_killed", [False, True])
def test_it_is_found_even_if_the_gateway_is_restarted_every_nineteen_minutes(
    store: Store, config: Config, is_killed: bool
) -> None:
    """Nothing was ever heard or stored of the sensor."""

    async def scenario(b: Bench) -> None:
        await b.pass_s(1140)

    play(store, config, scenario, is_killed=is_killed)
    assert "cgm_silence" not in stored(store)
    for n in range(2, 4):
        play(store, config, scenario, boot_id=f"boot-{n}", error_ms=None, is_killed=is_killed)
    assert "cgm_silence" in stored(store)
    assert raised(store)["cgm_silence"] == 1


def test_a_process_that_has_just_begun_lets_sensors_be_silent_for_a_moment(
    store: Store, config: Config
) -> None:
    """It was off for an hour, and so was nobody's sensor."""

    async def before(b: Bench) -> None:
        await b.heart(10, 70)

    async def after(b: Bench) -> None:
        await b.pass_s(110)
        await b.heart(100, 70)

    play(store, config, before)
    play(store, config, after, boot_id="boot-2", utc_s=3600.0)
    assert raised(store)["heart_rate_silence"] == 0


def test_one_that_is_restarted_again_and_again_does_so_three_times_at_most(
    store: Store, config: Config
) -> None:
    async def before(b: Bench) -> None:
        await b.heart(200, 70)

    async def after(b: Bench) -> None:
        await b.pass_s(50)

    play(store, config, before)
    for n in range(4):
        assert raised(store)["heart_rate_silence"] == 0
        play(store, config, after, boot_id=f"boot-{n + 2}", utc_s=3600.0 + 60 * n, is_killed=True)
    assert raised(store)["heart_rate_silence"] == 1


def test_silence_that_outlived_a_restart_ends_with_the_first_word(store: Store, config: Config) -> None:
    async def before(b: Bench) -> None:
        await b.pass_s(601)

    async def after(b: Bench) -> None:
        await b.pass_s(10)
        assert b.of("heart") == {"heart_rate_silence"}
        assert await b.heart(1, 80) == set()

    play(store, config, before)
    play(store, config, after, boot_id="boot-2", utc_s=700.0)
    assert raised(store)["heart_rate_silence"] == 1


# Looking


def test_nothing_polls_but_a_look_each_minute(store: Store, config: Config) -> None:
    looks: Counter[str] = Counter()

    async def scenario(bench: Bench) -> None:
        await bench.settle()
        bench.present.known = partial(counting, bench.present.known)  # type: ignore[method-assign]
        await bench.pass_s(300)
        assert 4 <= looks["all"] <= 6
        assert set(looks) == {"all"}

    def counting(known: Callable[..., object], only: object = None) -> object:
        looks["all" if only is None else "one"] += 1
        return known(only)

    play(store, config, scenario)


def test_trouble_of_the_gateway_itself_is_found_within_a_minute(store: Store, config: Config) -> None:
    ear = Ear(trouble="no sound", name="dead")

    async def scenario(b: Bench) -> None:
        await b.settle()
        await b.glucose(50.0)
        await b.pass_s(61)
        assert "sound_dead" in b.open
        assert b.shown("sound_dead").reason == "dead: no sound"
        ear.trouble = None
        await b.pass_s(400)
        assert "sound_dead" not in b.open

    play(store, config, scenario, channels=[ear])


# Over restarts, and without a disk


@pytest.mark.parametrize("boot_id", ["boot-1", "boot-2"])
def test_an_alert_outlives_a_restart_until_something_is_known(
    store: Store, config: Config, boot_id: str
) -> None:
    async def before(b: Bench) -> None:
        assert await b.glucose(50.0) == {"glucose_low", "glucose_urgent_low"}

    async def after(b: Bench) -> None:
        await b.pass_s(200)
        assert b.of("glucose") == {"glucose_low", "glucose_urgent_low"}
        assert await b.glucose(60.0) == {"glucose_low"}

    play(store, config, before)
    play(store, config, after, boot_id=boot_id, utc_s=0.0 if boot_id == "boot-1" else 400.0)
    assert raised(store)["glucose_low"] == raised(store)["glucose_urgent_low"] == 1
    assert stored(store) >= {"glucose_low"}
    assert "glucose_urgent_low" not in stored(store)


def test_a_state_of_another_version_is_made_anew_from_what_happened(store: Store, config: Config) -> None:
    async def before(b: Bench) -> None:
        await b.glucose(50.0)
        await b.glucose(100.0)
        await b.glucose(50.0)

    async def after(b: Bench) -> None:
        assert b.of("glucose") == {"glucose_urgent_low"}
        await b.glucose(50.0)
        await b.glucose(100.0)
        await b.glucose(50.0)

    play(store, config, before)
    in_transaction(store, lambda tables: tables.blobs.put("alerts", 0, 999, b"of another version"))
    play(store, config, after)
    urgent = [event for event in store.tables.alerts.newest(99) if event.rule == "glucose_urgent_low"]
    assert [(one.what, one.ordinal) for one in reversed(urgent) if one.what in ("raised", "over")] == [
        ("raised", 1),
        ("over", 1),
        ("raised", 2),
        ("over", 2),
        ("raised", 3),
    ]
    # One that had ended counts on, too.
    low = [event for event in store.tables.alerts.newest(99) if event.rule == "glucose_low"]
    assert max(one.ordinal for one in low) >= 2


def test_what_was_told_and_not_stored_comes_again_under_the_same_id(store: Store, config: Config) -> None:
    first, second, post = Ear(), Ear(), store.post

    async def scenario(b: Bench) -> None:
        await b.glucose(50.0)
        await asyncio.sleep(0.01)

    async def before(b: Bench) -> None:
        b.store.post = lambda *_, **__: None  # type: ignore[method-assign]
        await scenario(b)

    play(store, config, before, channels=[first], is_killed=True)
    assert store.tables.alerts.newest(9) == []
    store.post = post  # type: ignore[method-assign]
    play(store, config, scenario, channels=[second])
    assert [one.id for one in first.heard] == [one.id for one in second.heard]


def test_after_a_kill_what_still_stands_is_told_once_more_for_it_may_have_been_told_that_it_is_over(
    store: Store, config: Config
) -> None:
    ears = [Ear() for _ in range(3)]

    async def before(b: Bench) -> None:
        await b.glucose(50.0)
        await b.pass_s(1)

    async def after(b: Bench) -> None:
        await b.glucose(50.0)
        await b.pass_s(400)

    play(store, config, before, channels=ears[:1], is_killed=True)
    play(store, config, after, channels=ears[1:2], utc_s=60.0)
    play(store, config, after, channels=ears[2:], utc_s=600.0)
    assert ears[0].said == [("glucose_urgent_low", "raised"), ("glucose_low", "raised")]
    # What is not urgent waits until five minutes after it was told last.
    assert ears[1].said[0] == ("glucose_urgent_low", "follow_up")
    assert ("glucose_low", "follow_up") in ears[1].said
    assert ("glucose_low", "follow_up") not in ears[2].said


def test_in_another_store_the_same_alert_has_another_id(tmp_path: Path) -> None:
    ears = Ear(), Ear()

    async def scenario(b: Bench) -> None:
        await b.glucose(50.0)

    for n, ear in enumerate(ears):
        config = minimal_config(tmp_path / f"{n}")
        play(open_store(config), config, scenario, channels=[ear])
    assert {one.id for one in ears[0].heard} & {one.id for one in ears[1].heard} == set()


def test_what_an_earlier_process_had_not_told_is_told(store: Store, config: Config) -> None:
    deaf, ear = Ear(trouble="no sound"), Ear()

    async def before(b: Bench) -> None:
        await b.glucose(50.0)

    async def after(b: Bench) -> None:
        await b.pass_s(1)

    play(store, config, before, channels=[deaf])
    assert deaf.heard == []
    play(store, config, after, channels=[ear])
    assert ear.said == [("glucose_urgent_low", "raised"), ("glucose_low", "raised")]
    assert {one.person for one in ear.heard} == {"anna"}
    assert store.tables.alerts.waiting() == []


def test_alerts_of_a_sensor_that_was_taken_away_end_with_the_next_start(
    store: Store, config: Config, tmp_path: Path
) -> None:
    async def before(b: Bench) -> None:
        assert await b.glucose(50.0) == {"glucose_low", "glucose_urgent_low"}

    async def after(b: Bench) -> None:
        await b.settle()
        assert b.of("glucose") == set()

    play(store, config, before)
    alone = config_of(config, sensors=config.sensors[:1])
    in_transaction(
        store, lambda tables: tables.sensors.register(alone.sensors, alone.people, boot_no=1, boot_ns=0)
    )
    assert stored(store) == {"glucose_low", "glucose_urgent_low"}
    play(store, alone, after)
    assert stored(store) == set()
    newest = store.tables.alerts.newest(1)[0]
    assert (newest.what, newest.sensor_no, newest.reason) == (
        "retracted",
        2,
        "the sensor is no longer in use",
    )


def config_of(config: Config, **changes: object) -> Config:
    return Config(**{name: getattr(config, name) for name in config.__struct_fields__} | changes)  # type: ignore[arg-type]


# What people do


def test_a_snooze_is_kept_over_a_restart_and_shown_with_the_time_that_is_left(
    store: Store, config: Config
) -> None:
    async def before(b: Bench) -> None:
        assert b.board.snooze("glucose_low", None, 3600.0, 58.0) is None
        await b.pass_s(600)

    async def after(b: Bench) -> None:
        (snooze,) = b.board.snoozes()
        assert (snooze.rule, snooze.subject, round(snooze.left_s), snooze.unless) == (
            "glucose_low",
            None,
            3000 - 400,
            58.0,
        )
        await b.glucose(65.0)
        shown = b.shown("glucose_low")
        assert not shown.is_told
        assert shown.snoozed_left_s
        await b.glucose(57.0)
        assert b.shown("glucose_low").is_told
        assert b.board.snoozes() == []

    play(store, config, before)
    play(store, config, after, boot_id="boot-2", utc_s=1000.0)


def test_urgent_ones_cannot_be_snoozed(store: Store, config: Config) -> None:
    async def scenario(b: Bench) -> None:
        assert b.board.snooze("glucose_urgent_low", "cgm", 60.0, None) is Refusal.URGENT

    play(store, config, scenario)


@pytest.mark.parametrize(
    ("rule", "subject", "refusal"),
    [
        ("paws", "cgm", Refusal.NO_RULE),
        ("glucose_low", "cmg", Refusal.NO_SENSOR),
        ("glucose_low", "strap", Refusal.NOT_OF_SENSOR),
        ("pause", "cgm", Refusal.NOT_OF_SENSOR),
        ("glucose_low", "gateway", Refusal.NOT_OF_SENSOR),
        ("disk_full", "strap", Refusal.NOT_OF_SENSOR),
    ],
)
def test_of_what_cannot_have_such_an_alert_none_is_snoozed_and_none_acknowledged(
    store: Store, config: Config, rule: str, subject: str, refusal: Refusal
) -> None:
    async def scenario(b: Bench) -> None:
        assert b.board.snooze(rule, subject, 60.0, None) is refusal
        assert b.board.snooze(rule, subject, 0.0, None) is refusal
        assert b.board.acknowledge(rule, subject) is refusal
        assert b.board.snoozes() == []
        assert b.board.snooze("disk_full", "gateway", 60.0, None) is None
        assert b.board.snooze("not_worn", "strap", 60.0, None) is None
        assert len(b.board.snoozes()) == 2

    play(store, config, scenario)


def test_a_snooze_can_be_ended(store: Store, config: Config) -> None:
    ear = Ear()

    async def scenario(b: Bench) -> None:
        await b.settle()
        b.board.snooze("glucose_low", "cgm", 3600.0, None)
        await b.glucose(65.0)
        assert ear.heard == []
        assert b.board.snooze("glucose_low", "cgm", 0.0, None) is None
        await asyncio.sleep(0.01)
        assert ear.said == [("glucose_low", "raised")]

    play(store, config, scenario, channels=[ear])


def test_who_takes_note_of_an_alert_is_told_no_more(store: Store, config: Config) -> None:
    ear = Ear()

    async def scenario(b: Bench) -> None:
        await b.glucose(65.0)
        await asyncio.sleep(0.01)
        assert b.board.acknowledge("glucose_low", "strap") is Refusal.NOT_OF_SENSOR
        assert b.board.acknowledge("glucose_low", "cgm") is None
        assert b.board.acknowledge("glucose_low", "cgm") is Refusal.NOT_WAITING
        assert b.shown("glucose_low").acknowledged
        for _ in range(12):
            await b.glucose(65.0)

    play(store, config, scenario, channels=[ear])
    said = [one for one in ear.said if one[0] == "glucose_low"]
    assert said == [("glucose_low", "raised"), ("glucose_low", "acknowledged")]
    glucose = [event for event in store.tables.alerts.newest(9) if event.rule == "glucose_low"]
    (first,) = [event for event in glucose if event.what == "raised"]
    assert [one.state for one in store.tables.alerts.deliveries(first.id)] == ["acknowledged"]


def test_a_test_says_of_each_channel_whether_it_works(store: Store, config: Config) -> None:
    good, bad = Ear(name="good"), Ear(name="bad", trouble="no sound")

    async def scenario(b: Bench) -> None:
        results = {one.channel: one.trouble for one in await b.board.test()}
        assert results == {"good": None, "bad": "no sound"}

    play(store, config, scenario, channels=[good, bad])
    assert good.said == [("test", "raised")]
    assert store.tables.alerts.newest(9) == []
