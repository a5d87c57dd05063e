"""The alerts once more, as plainly as can be: what a person with a notebook would say, from the words of the guide.

It shares no code and no numbers with the engine: the default limits stand here again. All times are whole milliseconds
on the axis of alert time. What it says of a moment is a list of tuples (what, rule, subject, ordinal, step, tier).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from edge.now.known import GatewayKnown, GlucoseKnown, SensorKnown

S, MIN, HOUR = 1000, 60_000, 3_600_000
UNKNOWN, BAD, UNSURE, GOOD, CALM = "unknown", "bad", "unsure", "good", "calm"
URGENT = {"glucose_urgent_low", "glucose_urgent_low_soon"}
LOUD_AT_NIGHT = {"cgm_silence", "sound_dead"}
ONCE = {"glucose_low_ahead", "glucose_high_ahead", "glucose_falling_fast"}
TO_ALL = {
    "glucose_low", "glucose_high_persistent", "heart_rate_low", "heart_rate_high",
    "heart_rate_high_persistent", "cgm_silence", "sound_dead",
} | URGENT  # fmt: skip
TO_HOME = {"glucose_high", "pause", "disk_full"}
NO_PAUSE = URGENT | {
    "irregular_rhythm", "heart_rate_silence", "cgm_silence", "not_worn", "sensor_ending", "battery_low",
    "sync_stuck", "clock_untrusted", "disk_full", "sound_dead",
}  # fmt: skip
LOWS = {
    "glucose_urgent_low", "glucose_urgent_low_soon", "glucose_low", "glucose_low_ahead", "glucose_falling_fast",
    "heart_rate_low", "sensor_ending", "battery_low",
}  # fmt: skip

LEAST_BAD = {
    "glucose_low": 70, "glucose_low_ahead": 70, "glucose_falling_fast": -2, "heart_rate_low": 40,
    "sensor_ending": 24, "battery_low": 21,
}  # fmt: skip
MOST_GOOD = {
    "glucose_high": 250, "glucose_high_ahead": 250, "glucose_high_persistent": 250, "heart_rate_high": 130,
    "heart_rate_high_persistent": 130,
    "pause": 3, "irregular_rhythm": float("-inf"),
}  # fmt: skip

Said = tuple[str, str, str, int, int, int]


class Seen(NamedTuple):
    """How one rule looks now. `readings_apart`: the most between two readings of one hold; None: no readings needed."""

    how: str
    age: int = 0
    value: float | None = None
    grade: int = 0
    hold: int = 0
    readings_apart: int | None = None
    wait: int | None = None
    wait_max: int | None = None


@dataclass
class Page:
    """What the notebook says of one rule of one subject."""

    person: str | None = None
    bad: list[int] = field(default_factory=list)  # when the bad readings were taken, since the last good one
    stands: bool = False
    count: int = 0
    step: int = 0
    grade: int = 0
    tier: int = 0
    told_at: int = 0
    told: bool = False
    acknowledged: bool = False
    armed: bool = True
    not_before: int | None = None


def is_worse(rule: str, value: float) -> bool:
    """Whether a value is on the bad side of the limit of its rule."""
    if rule in LEAST_BAD:
        return value < LEAST_BAD[rule]
    return rule in MOST_GOOD and value > MOST_GOOD[rule]


def ms(seconds: float) -> int:
    return round(seconds * 1000)


def _low(value: float, age: int, bad: float, good: float, calm: float, grade: float | None) -> Seen:
    if value < bad:
        return Seen(BAD, age, value, 0 if grade is None else min(99, int(min((bad - value) / grade, 99))))
    return Seen(CALM if value >= calm else GOOD if value >= good else UNSURE, age, value)


def _high(value: float, age: int, bad: float, good: float, calm: float, grade: float | None) -> Seen:
    seen = _low(-value, age, -bad, -good, -calm, grade)
    return seen._replace(value=value)


def _glucose(sensor: SensorKnown) -> Iterator[tuple[str, Seen]]:
    newest = sensor.values.get("glucose")
    if newest is None or newest.not_counted or newest.age_s > 15 * 60:
        return
    value, age = newest.value, ms(newest.age_s)
    yield "glucose_urgent_low", _low(value, age, 54, 59, 59, 10)
    yield "glucose_low", _low(value, age, 70, 75, 75, 10)
    high = _high(value, age, 250, 240, 240, 50)
    yield "glucose_high", high
    persistent = high._replace(grade=0)
    if high.how == BAD:
        persistent = persistent._replace(hold=2 * HOUR, readings_apart=20 * MIN)
    yield "glucose_high_persistent", persistent


def _expected(sensor: SensorKnown, known: GlucoseKnown) -> Iterator[tuple[str, Seen]]:
    age = ms(known.age_s)
    if known.in_15_min is not None and known.in_30_min is not None:
        first, second = known.in_15_min.glucose_mg_dl, known.in_30_min.glucose_mg_dl
        soon = _low((2 * first + second) / 3, age, 55, 65, 65, None)
        newest = sensor.values.get("glucose")
        if soon.how == BAD and newest and not newest.not_counted and newest.value < 54:
            soon = soon._replace(how=UNSURE)
        yield "glucose_urgent_low_soon", soon
        low = _low(min(first, second), age, 70, 80, 90, None)
        high = _high(max(first, second), age, 250, 235, 220, None)
        for name, seen, flag in (
            ("glucose_low_ahead", low, known.is_low_ahead),
            ("glucose_high_ahead", high, known.is_high_ahead),
        ):
            yield name, seen._replace(how=BAD if flag else UNSURE if seen.how == BAD else seen.how)
    rate, level = known.rate_mg_dl_min, known.smoothed_mg_dl
    if rate is not None and level is not None:
        if rate < -2 and level < 120:
            yield "glucose_falling_fast", Seen(BAD, age, rate, int(-2 - rate))
        elif rate >= 0 or level >= 130:
            yield "glucose_falling_fast", Seen(CALM, age, rate)
        else:
            yield "glucose_falling_fast", Seen(GOOD if rate >= -1 else UNSURE, age, rate)


def _heart(sensor: SensorKnown) -> Iterator[tuple[str, Seen]]:
    newest = sensor.values.get("heart_rate")
    if newest is not None and not newest.not_counted and newest.age_s <= 60:
        hold = 10 * MIN if sensor.rest.value == "unknown" else MIN
        age = ms(newest.age_s)
        low = _low(newest.value, age, 40, 45, 45, 5)
        high = _high(newest.value, age, 130, 125, 125, 20)
        lasting = high._replace(grade=0)
        if high.how == BAD and sensor.rest.value == "active":
            high = Seen(UNSURE, age, newest.value)
        all_seen = (("heart_rate_low", low, hold), ("heart_rate_high", high, hold))
        for name, seen, lasts in (*all_seen, ("heart_rate_high_persistent", lasting, 2 * HOUR)):
            yield name, seen._replace(hold=lasts, readings_apart=10 * MIN) if seen.how == BAD else seen
    rhythm = sensor.rhythm
    if rhythm is None or rhythm.age_s > 300:
        return
    pause = rhythm.pause
    if pause is None or pause.may_be_lost_data or pause.age_s > 600:
        yield "pause", Seen(CALM)
    elif pause.length_ms < 3000:
        yield "pause", Seen(UNSURE)
    else:
        yield (
            "pause",
            Seen(BAD, ms(pause.age_s), pause.length_ms / 1000, int((pause.length_ms - 3000) / 1000)),
        )
    burden = rhythm.af_burden_pct
    lasts = rhythm.af is not None and not rhythm.af.is_over
    length_s = 0.0 if rhythm.af is None else rhythm.af.begin_age_s - rhythm.af.end_age_s
    if lasts and (rhythm.af_resting_s >= 1800 or length_s >= 3600):
        yield "irregular_rhythm", Seen(BAD, ms(rhythm.age_s), burden, int((burden or 0) / 25))
    else:
        calm = not lasts and burden is not None and burden < 0.5
        yield "irregular_rhythm", Seen(CALM if calm else UNSURE, 0, burden)


def _silence(sensor: SensorKnown, limit: int) -> Seen:
    how = BAD if ms(sensor.heard_age_s) >= limit else CALM
    if sensor.warm_up_left_s is None:
        return Seen(how, value=sensor.heard_age_s, wait_max=limit)
    return Seen(UNKNOWN if how == BAD else how, wait=ms(sensor.warm_up_left_s) + limit)


def _any(sensor: SensorKnown) -> Iterator[tuple[str, Seen]]:
    if sensor.worn is not None and sensor.heard_age_s <= 60:
        yield "not_worn", Seen(CALM) if sensor.worn else Seen(BAD, hold=30 * MIN)
    left = sensor.wear_left_s
    if left is not None:
        ends = left <= 24 * 3600
        yield "sensor_ending", Seen(BAD if ends else CALM, value=left / 3600, grade=int(left <= 7200))
    if sensor.battery_pct is not None:
        yield "battery_low", _low(sensor.battery_pct, 0, 21, 31, 31, 10)


def of_sensor(sensor: SensorKnown) -> dict[str, Seen]:
    """How each rule of a sensor looks."""
    seen = dict(_any(sensor))
    if sensor.kind == "cgm":
        names = {
            "cgm_silence",
            "glucose_urgent_low",
            "glucose_urgent_low_soon",
            "glucose_low",
            "glucose_low_ahead",
        }
        names |= {"glucose_high", "glucose_high_ahead", "glucose_high_persistent", "glucose_falling_fast"}
        seen |= dict(_glucose(sensor))
        known = sensor.glucose
        if known is not None and known.age_s <= 600 and known.steady_readings >= 3:
            seen |= dict(_expected(sensor, known))
        seen["cgm_silence"] = _silence(sensor, 20 * MIN)
    else:
        rates = {"heart_rate_low", "heart_rate_high", "heart_rate_high_persistent"}
        names = {*rates, "pause", "irregular_rhythm", "heart_rate_silence"}
        seen |= dict(_heart(sensor))
        seen["heart_rate_silence"] = _silence(sensor, 10 * MIN)
    for name in names | {"not_worn", "sensor_ending", "battery_low"}:
        seen.setdefault(name, Seen(UNKNOWN))
    return seen


def of_gateway(known: GatewayKnown) -> dict[str, Seen]:
    waits = [route.oldest_age_s for route in known.routes if route.oldest_age_s is not None]
    stuck = max(waits, default=0) >= 86400
    return {
        "sync_stuck": Seen(BAD if stuck else CALM),
        "clock_untrusted": Seen(BAD if known.clock_untrusted_s >= 3600 else CALM),
        "disk_full": Seen(BAD if known.store_trouble and known.store_trouble_s >= 60 else CALM),
        "sound_dead": Seen(BAD if known.dead_channels else CALM),
    }


class Notebook:
    """What was said so far, and what is to be said now."""

    def __init__(self, night: tuple[int, int] | None = None, off: Collection[str] = ()) -> None:
        self.pages: dict[tuple[str, str], Page] = {}
        self.snoozes: dict[tuple[str, str | None], tuple[int, float | None]] = {}
        self.night = night
        self.off = off

    def look(self, known: GatewayKnown, at: int, only: Collection[str] | None = None) -> list[Said]:
        """What is said at this moment."""
        self.snoozes = {key: snooze for key, snooze in self.snoozes.items() if snooze[0] > at}
        said: list[Said] = []
        now = {
            (rule, sensor.id): (sensor.person, seen)
            for sensor in known.sensors
            for rule, seen in of_sensor(sensor).items()
        }
        now |= {(rule, "gateway"): ("-", seen) for rule, seen in of_gateway(known).items()}
        now = {key: found for key, found in now.items() if key[0] not in self.off}
        if only is None:
            for key, page in self.pages.items():
                if key not in now:
                    said += self._void(key, page)
            in_use = {sensor.id for sensor in known.sensors} | {None, "gateway"}
            self.snoozes = {key: snooze for key, snooze in self.snoozes.items() if key[1] in in_use}
        for key, (person, seen) in now.items():
            if only is None or key[1] in only:
                said += self._turn_to(key, person, seen, at)
        looked_at = [(key, seen) for key, (_, seen) in now.items() if only is None or key[1] in only]
        standing = [(key, seen) for key, seen in looked_at if self.pages[key].stands]
        for key, seen in standing:
            self._break_snoozes(key, seen)
        for key, seen in standing:
            said += self._tell(key, self.pages[key], seen, at, self._is_night(known))
        return said

    def _is_night(self, known: GatewayKnown) -> bool:
        if self.night is None or known.minute_of_day is None:
            return False
        begin, end = self.night
        minute = known.minute_of_day
        return begin <= minute < end if begin < end else minute >= begin or minute < end

    def _say(self, what: str, key: tuple[str, str], page: Page) -> Said:
        page.step += 1
        return (what, *key, page.count, page.step - 1, page.tier)

    def _void(self, key: tuple[str, str], page: Page) -> list[Said]:
        said = [self._say("retracted", key, page)] if page.stands and page.step else []
        self.pages[key] = Page(count=page.count)
        return said

    def _turn_to(self, key: tuple[str, str], person: str, seen: Seen, at: int) -> list[Said]:
        said: list[Said] = []
        page = self.pages.setdefault(key, Page(person=person))
        if page.person != person:
            said += self._void(key, page)
            page = self.pages[key]
            page.person = person
        if seen.wait is not None:
            page.not_before = at + seen.wait
        elif seen.wait_max is not None and page.not_before is not None:
            page.not_before = min(page.not_before, at + seen.wait_max)
        if seen.how in (GOOD, CALM) and page.stands:
            said += [self._say("over", key, page)] if page.step else []
            pause = page.not_before if key[0] in NO_PAUSE else at + 30 * MIN
            page = self.pages[key] = Page(person, count=page.count, armed=page.armed, not_before=pause)
        if seen.how in (UNSURE, GOOD, CALM):
            page.bad.clear()
        if seen.how == CALM:
            page.armed = True
        if seen.how == BAD and not page.stands and page.armed:
            self._note_bad(key[0], page, seen, at)
        return said

    def _note_bad(self, rule: str, page: Page, seen: Seen, at: int) -> None:
        page.bad.append(at - seen.age)
        first = last = page.bad[-1]
        for taken in reversed(page.bad):
            if seen.readings_apart is not None and first - taken > seen.readings_apart:
                break
            first = taken
        if last - first >= seen.hold and (page.not_before is None or at >= page.not_before):
            page.bad.clear()
            page.stands, page.told, page.acknowledged, page.armed = True, False, False, rule not in ONCE
            page.count, page.step, page.grade = page.count + 1, 0, seen.grade
            page.tier, page.not_before = int(rule in URGENT), None

    def _break_snoozes(self, key: tuple[str, str], seen: Seen) -> None:
        for name in (key, (key[0], None)):
            worse = name in self.snoozes and self._is_worse(
                key[0], self.pages[key], seen, self.snoozes[name][1]
            )
            if seen.how == BAD and worse:
                del self.snoozes[name]

    def _tell(self, key: tuple[str, str], page: Page, seen: Seen, at: int, night: bool) -> list[Said]:
        rule, subject = key
        if rule not in URGENT:
            if page.not_before is not None and at < page.not_before:
                return []
            if (
                (rule, subject) in self.snoozes
                or (rule, None) in self.snoozes
                or (night and rule not in LOUD_AT_NIGHT)
            ):
                return []
        worse = seen.how == BAD and seen.grade > page.grade
        waits = 5 * MIN if rule in URGENT else 15 * MIN
        top = 2 if rule in TO_ALL else int(rule in TO_HOME)
        if seen.how == BAD and page.step == 0:
            what = "raised"
        elif worse:
            what = "follow_up" if rule == "irregular_rhythm" else "worse"
        elif seen.how == BAD and not page.told and not page.acknowledged:
            what = "follow_up"
        elif not page.told or page.acknowledged or at < page.told_at + waits:
            return []
        elif page.tier < top:
            what, page.tier = "escalated", page.tier + 1
        elif rule in URGENT and seen.how == BAD:
            what = "follow_up"
        else:
            return []
        page.told, page.acknowledged, page.told_at = True, False, at
        if seen.how == BAD:
            page.grade = max(page.grade, seen.grade)
        return [self._say(what, key, page)]

    @staticmethod
    def _is_worse(rule: str, page: Page, seen: Seen, unless: float | None) -> bool:
        if unless is None:
            return seen.grade > page.grade
        if seen.value is None:
            return False
        return seen.value < unless if rule in LOWS else seen.value > unless

    def snooze(self, rule: str, subject: str | None, until: int, unless: float | None) -> None:
        self.snoozes.pop((rule, subject), None)
        self.snoozes[rule, subject] = until, unless
        for (name, of), page in self.pages.items():
            if name == rule and subject in (None, of) and page.stands and not page.acknowledged:
                page.told = False

    def acknowledge(self, rule: str, subject: str) -> list[Said]:
        page = self.pages.get((rule, subject))
        if page is None or not page.stands or page.acknowledged:
            return []
        page.acknowledged = True
        return [self._say("acknowledged", (rule, subject), page)]
