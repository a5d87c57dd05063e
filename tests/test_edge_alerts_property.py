"""Random schedules on the alert engine: what it says is what a plain notebook says, and the laws hold of it.

What happens in a home: values that cross their limits, gaps, jumps, stale and backfilled data, no contact, warm-up,
restarts, reboots with and without a clock, snoozes, acknowledgements, sensors that are retired, come back or go to
another person, a full disk. The engine is stepped as a gateway steps it: with each fact, and when something is due.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from functools import cache

import pytest
from alert_parts import Home, Sensor
from msgspec import structs
from naive_alerts import Notebook, Said, is_worse, ms

from edge.alerts.engine import calm, look, next_due_s, step
from edge.alerts.rules import RULES
from edge.alerts.snooze import Refusal, acknowledge, snooze, unsnooze
from edge.alerts.state import GATEWAY, AlertState, Event, Phase, Snooze, What, decode, encode
from edge.config import Alerts
from edge.config_values import QuietHours
from edge.now.known import GatewayKnown, Rest, SensorKnown, ValueKnown

SCHEDULES = 150
SOAKED = int(os.environ.get("SCHEDULES", "10000"))
MOVES = 25
DUES_MAX = 400  # between two moves; a clock that ticks without end would need more

LIMITS = [
    Alerts(),
    Alerts(quiet_hours=QuietHours.read("22:00-07:00")),
    Alerts(quiet_hours=QuietHours.read("03:00-09:30"), off=("glucose_high", "not_worn", "sync_stuck")),
]
NIGHTS = [None, (22 * 60, 7 * 60), (3 * 60, 9 * 60 + 30)]


def plain(events: list[Event]) -> list[Said]:
    return sorted((e.what.value, e.rule, e.subject, e.ordinal, e.step, int(e.tier)) for e in events)


class Play:
    """One schedule."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        kind = self.rng.randrange(len(LIMITS))
        self.limits = LIMITS[kind]
        self.notebook = Notebook(NIGHTS[kind], self.limits.off)
        self.at_s = 0.0
        self.state = AlertState()
        self.said: list[Event] = []
        self.home = Home(midnight_s=-60.0 * self.rng.randrange(1440))
        for n in range(self.rng.randint(1, 2)):
            self.home.sensors[f"cgm-{n}"] = Sensor(f"cgm-{n}", "cgm", value=110.0)
            self.home.sensors[f"strap-{n}"] = Sensor(f"strap-{n}", "heart_rate", value=70.0, worn=True)
        self.away: dict[str, Sensor] = {}

    def run(self) -> None:
        self.look(None)
        for _ in range(MOVES):
            self.pass_time()
            subjects = self.move()
            self.look(None if subjects is None or self.rng.random() < 0.1 else subjects)
        self.check_identities()

    def look(self, only: set[str] | None) -> list[Event]:
        """A step of both, and one more that must say nothing."""
        known = self.home.known(self.at_s)
        state, events = step(self.state, known, self.at_s, self.limits, only)
        assert plain(events) == sorted(self.notebook.look(known, ms(self.at_s), only)), self.at_s
        again, nothing = step(state, known, self.at_s, self.limits, only)
        assert (again, nothing) == (state, [])
        assert again.rules is state.rules
        self.check_look(known, state, events, only)
        self.state = state
        self.said += events
        for event in events:
            self.check_event(event)
        return events

    def check_look(
        self, known: GatewayKnown, state: AlertState, events: list[Event], only: set[str] | None
    ) -> None:
        """A look says the same as a step and what is due after it; of who is not busy no value in its range matters."""
        looked = look(self.state, known, self.at_s, self.limits, only)
        assert looked[:2] == (state, events)
        assert looked.due_s == next_due_s(state, known, self.at_s, self.limits, only)
        # A value that counts is of a strap that is worn.
        straps = [one for one in known.sensors if one.kind == "heart_rate" and one.worn is not False]
        sensors = [one for one in straps if one.id not in looked.busy]
        for sensor in sensors if self.rng.random() < 0.3 else ():
            for bpm in calm(sensor.kind, self.limits)["heart_rate"]:
                value = {"heart_rate": ValueKnown(bpm, 0.0)}
                now = structs.replace(
                    known, sensors=(structs.replace(sensor, values=value, heard_age_s=0.0),)
                )
                after, nothing = step(state, now, self.at_s, self.limits, {sensor.id})
                assert (nothing, after.rules is state.rules) == ([], True), (sensor, bpm)

    def pass_time(self) -> None:
        """Until the next move, with a look whenever one is due and none is missed."""
        until_s = round(self.at_s + self.rng.choice([1.0, 20.0, 300.0, 300.0, 900.0, 4000.0, 30_000.0]), 3)
        for _ in range(DUES_MAX):
            due_s = next_due_s(self.state, self.home.known(self.at_s), self.at_s, self.limits)
            assert due_s is None or due_s > self.at_s
            last_s = until_s if due_s is None else min(due_s - 0.002, until_s)
            if last_s > self.at_s and self.rng.random() < 0.2:  # before it is due, nothing is said
                between_s = round(self.rng.uniform(self.at_s, last_s), 3)
                early = step(self.state, self.home.known(between_s), between_s, self.limits)[1]
                assert not early or self.is_night_over(between_s), (between_s, due_s, early)
            if due_s is None or due_s > until_s:
                break
            self.at_s = round(due_s, 3)
            self.look(None)
            self.check_silence()
        else:
            raise AssertionError("there is no end of moments at which something is due")
        self.at_s = until_s

    def is_night_over(self, at_s: float) -> bool:
        """Nobody knows the second at which a minute of the day ends."""
        before, now = (self.home.known(s).minute_of_day for s in (at_s - 60, at_s))
        hours = self.limits.quiet_hours
        if hours is None or before is None or now is None:
            return False
        return hours.left_min(before) > 0 and hours.left_min(now) == 0

    def check_silence(self) -> None:
        """A sensor that is silent for too long has its alert, in every case; one that sends has none."""
        for sensor in self.home.sensors.values():
            rule, limit_s = ("cgm_silence", 1200) if sensor.kind == "cgm" else ("heart_rate_silence", 600)
            one = self.state.rules.get((rule, sensor.id))
            stands = one is not None and one.phase is Phase.RAISED
            silent_s = self.at_s - max(sensor.heard_s, sensor.warm_until_s)
            if silent_s >= limit_s + 0.01:
                assert stands, (sensor, self.at_s)
            if self.at_s - sensor.heard_s < limit_s - 0.01:
                assert not stands, (sensor, self.at_s)

    def check_event(self, event: Event) -> None:
        """What must be true of everything that is said, whatever the notebook thinks."""
        rule = RULES[event.rule]
        muted = [one for one in self.state.snoozes if one.covers(event.rule, event.subject)]
        if event.what in (What.RAISED, What.WORSE, What.ESCALATED, What.FOLLOW_UP):
            assert not muted or rule.urgent
            assert event.rule not in self.limits.off
            if event.subject != GATEWAY and event.what is not What.ESCALATED:
                self.check_fresh(event, is_bad=True)
        if event.what is What.OVER and event.subject != GATEWAY:
            self.check_fresh(event, is_bad=False)

    def check_fresh(self, event: Event, is_bad: bool) -> None:
        sensor = self.home.sensors[event.subject]
        if event.rule in (
            "glucose_urgent_low",
            "glucose_low",
            "glucose_high",
            "heart_rate_low",
            "heart_rate_high",
        ):
            assert sensor.value is not None
            assert sensor.not_counted is None
            assert self.at_s - sensor.taken_s <= (900 if sensor.kind == "cgm" else 60)
            limit: float = getattr(self.limits, str(RULES[event.rule].limit))
            beyond = sensor.value < limit if event.rule.endswith("low") else sensor.value > limit
            assert beyond == is_bad
        if event.rule.endswith(("ahead", "soon", "fast")):
            assert sensor.glucose is not None
            assert sensor.glucose.steady_readings >= 3

    def check_identities(self) -> None:
        """No two events are one; the steps of an alert follow each other."""
        ids = [(e.rule, e.subject, e.ordinal, e.step) for e in self.said]
        assert not [one for one, times in Counter(ids).items() if times > 1]
        for rule, subject, ordinal, number in ids:
            assert number == 0 or (rule, subject, ordinal, number - 1) in ids

    def move(self) -> set[str] | None:
        """Something happens; of which subjects the gateway hears, None: all."""
        moves = {
            self.restart: 1,
            self.reboot: 1,
            self.silence_one: 3,
            self.act: 4,
            self.retire: 1,
            self.hand_over: 1,
            self.house: 2,
            self.plateau: 2,
            self.read: 16,
            self.other: 8,
        }
        chosen: Callable[[], set[str] | None] = self.rng.choices([*moves], [*moves.values()])[0]
        return chosen()

    def pick(self) -> Sensor:
        return self.rng.choice([*self.home.sensors.values()])

    def read(self) -> set[str]:
        """A value comes: fresh, of a while ago, or one that does not count."""
        sensor = self.pick()
        age_s = self.rng.choice([0.0, 0.0, 0.0, 0.5, 200.0, 899.0, 901.0, 5000.0])
        at_s = round(max(sensor.taken_s, self.at_s - age_s), 3)
        if sensor.kind == "cgm":
            value = self.rng.choice(
                [30, 43, 53, 54, 58, 59, 69, 70, 72, 75, 90, 120, 240, 241, 250, 251, 310, 400]
            )
            sensor.reads(at_s, float(value))
            sensor.expects(
                self.rng.choice([None, 40.0, 56.0, 66.0, 79.0, 85.0, 130.0, 225.0, 240.0, 260.0]),
                self.rng.choice([None, 40.0, 53.0, 66.0, 79.0, 95.0, 130.0, 225.0, 240.0, 260.0]),
                rate=self.rng.choice([None, -4.2, -2.5, -2.0, -1.5, -0.5, 0.0, 1.0]),
                steady=self.rng.choice([0, 2, 3, 9]),
                is_low=self.rng.random() < 0.3,
                is_high=self.rng.random() < 0.3,
                is_compressed=self.rng.random() < 0.1,
            )
        else:
            sensor.reads(
                at_s, float(self.rng.choice([28, 39, 40, 44, 45, 70, 125, 126, 130, 131, 150, 171, 200]))
            )
            sensor.rest = self.rng.choice([*Rest])
            sensor.worn = True
        if self.rng.random() < 0.15:
            sensor.not_counted = "no contact"
            sensor.worn = None if sensor.worn is None else False
        sensor.heard_s = max(sensor.heard_s, at_s)
        return {sensor.id}

    def plateau(self) -> set[str]:
        """A value stays for hours, of a strap for minutes or hours; some readings do not count, and one may be good."""
        sensor = self.pick()
        pace_s = 300.0 if sensor.kind == "cgm" else self.rng.choice([50.0, 300.0])
        value = self.rng.choice([60.0, 260.0] if sensor.kind == "cgm" else [35.0, 160.0])
        odd = self.rng.choice([None, None, 100.0])
        for n in range(self.rng.choice([5, 26])):
            sensor.reads(self.at_s, odd if odd and n == 13 else value)
            sensor.not_counted = "no contact" if self.rng.random() < 0.1 else None
            self.look({sensor.id})
            self.at_s = round(self.at_s + pace_s, 3)
        return {sensor.id}

    def other(self) -> set[str]:
        """Anything else that a sensor tells."""
        sensor = self.pick()
        what = self.rng.randrange(6)
        if what == 0:
            sensor.heard_s = self.at_s
            sensor.worn = self.rng.choice([None, True, False, False])
        elif what == 1:
            sensor.battery_pct = self.rng.choice([None, 5, 10, 20, 21, 30, 31, 100])
        elif what == 2:
            sensor.ends_s = self.rng.choice(
                [None, self.at_s + self.rng.choice([0.0, 3600.0, 20_000.0, 90_000.0])]
            )
        elif what == 3:
            sensor.warm_until_s = self.at_s + self.rng.choice([-1.0, 1800.0, 7200.0])
        elif sensor.kind == "heart_rate":
            sensor.beats(
                self.at_s,
                af_s=self.rng.choice([None, 2000.0, 3700.0]),
                resting_s=self.rng.choice([0.0, 1799.0, 1800.0, 4000.0]),
                is_over=self.rng.random() < 0.4,
                burden_pct=self.rng.choice([None, 0.0, 0.4, 3.0, 26.0, 60.0, 100.0]),
                pause=self.rng.choice(
                    [None, (2500.0, 3.0), (3000.0, 10.0), (4500.0, 590.0), (5000.0, 700.0)]
                ),
                lost=self.rng.random() < 0.2,
            )
        return {sensor.id}

    def silence_one(self) -> set[str]:
        """Nothing happens, and a look all the same."""
        return {self.pick().id}

    def restart(self) -> None:
        """The state goes through the store. Restarted every 19 minutes, at worst."""
        for _ in range(self.rng.choice([1, 1, 8])):
            self.state = self.stored()
            self.look(None)
            self.at_s = round(self.at_s + 19 * 60, 3)

    def reboot(self) -> None:
        """With a clock that is trusted, the time that passed has passed; without, none has."""
        self.state = self.stored()
        self.home.untrusted_since_s = None
        if self.rng.random() < 0.5:
            self.home.untrusted_since_s = self.at_s
        else:
            self.at_s = round(self.at_s + self.rng.choice([30.0, 7200.0]), 3)

    def stored(self) -> AlertState:
        back = decode(encode(self.state))
        assert back == self.state
        return back

    def act(self) -> set[str] | None:
        """Somebody snoozes, ends a snooze, or acknowledges."""
        rule = self.rng.choice([*RULES])
        subject = self.rng.choice([GATEWAY, *self.home.sensors])
        standing = [*self.state.standing]
        if standing and self.rng.random() < 0.7:
            rule, subject = self.rng.choice(standing)
        if self.rng.random() < 0.5:
            self.state, events = acknowledge(self.state, rule, subject, self.at_s)
            assert plain(events) == sorted(self.notebook.acknowledge(rule, subject))
            self.said += events
            return {subject}
        whose = self.rng.choice([None, subject])
        if self.rng.random() < 0.2:
            self.state = unsnooze(self.state, rule, whose)
            self.notebook.snoozes.pop((rule, whose), None)
            return None
        unless = self.rng.choice([None, None, -3.0, 35.0, 60.0, 140.0, 300.0])
        until_s = round(self.at_s + self.rng.choice([600.0, 3600.0, 30_000.0]), 3)
        found = snooze(self.state, Snooze(rule, whose, until_s, unless), self.at_s, self.limits)
        must_be_refused = (
            RULES[rule].urgent or rule in self.limits.off or (unless and not is_worse(rule, unless))
        )
        assert isinstance(found, Refusal) == bool(must_be_refused)
        if not isinstance(found, Refusal):
            self.state = found
            self.notebook.snooze(rule, whose, ms(until_s), unless)
        return None

    def retire(self) -> None:
        """A sensor leaves the configuration, or comes back; which takes a restart."""
        if self.away and self.rng.random() < 0.7:
            self.home.sensors |= self.away
            self.away = {}
        elif len(self.home.sensors) > 1:
            sensor = self.pick()
            self.away[sensor.id] = self.home.sensors.pop(sensor.id)
        self.state = self.stored()

    def hand_over(self) -> None:
        sensor = self.pick()
        sensor.person = "ben" if sensor.person == "anna" else "anna"
        self.state = self.stored()

    def house(self) -> set[str]:
        """Something of the gateway itself."""
        home, what = self.home, self.rng.randrange(4)
        if what == 0:
            home.full_since_s = None if home.full_since_s is not None else self.at_s
        elif what == 1:
            home.waiting_since_s = None if home.waiting_since_s is not None else self.at_s - 3000.0
        elif what == 2:
            home.untrusted_since_s = None if home.untrusted_since_s is not None else self.at_s
        else:
            home.dead = {} if home.dead else {"command": "exit status 1"}
        return {GATEWAY}


@cache
def played(seed: int) -> Play:
    play = Play(seed)
    play.run()
    return play


@pytest.mark.parametrize("part", range(3))
def test_random_schedules_say_what_a_plain_notebook_says(part: int) -> None:
    for seed in range(part, SCHEDULES, 3):
        played(seed)


def test_the_schedules_say_everything_there_is_to_say() -> None:
    """What follows from nothing would hold of nothing."""
    said: Counter[tuple[str, What]] = Counter()
    for seed in range(SCHEDULES):
        said.update((event.rule, event.what) for event in played(seed).said)
    assert {rule for rule, what in said if what is What.RAISED} == set(RULES)
    assert {what for _, what in said} == set(What)


@pytest.mark.soak
@pytest.mark.parametrize("tenth", range(10))
def test_ten_thousand_random_schedules(tenth: int) -> None:
    for seed in range(SCHEDULES + tenth, SCHEDULES + SOAKED, 10):
        Play(seed).run()


def test_what_is_known_of_a_sensor_is_made_as_of_the_moment() -> None:
    """A check of the parts: ages grow as time goes on."""
    sensor = Sensor("strap", "heart_rate", value=70.0, taken_s=5.0, heard_s=7.0)
    known: SensorKnown = sensor.known(10.0)
    assert (known.values["heart_rate"].age_s, known.heard_age_s) == (5.0, 3.0)
