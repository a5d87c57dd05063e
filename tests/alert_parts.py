"""What is known of a home, for tests of the alert engine: a document of any moment, made of things that happened."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edge.now.known import (
    EpisodeKnown,
    Forecast,
    GatewayKnown,
    GlucoseKnown,
    PauseKnown,
    Rest,
    RhythmKnown,
    RouteKnown,
    SensorKnown,
    ValueKnown,
)

DAY_MIN = 24 * 60


def forecast(mg_dl: float) -> Forecast:
    return Forecast(mg_dl, mg_dl - 20, mg_dl + 20)


@dataclass
class Sensor:
    """A sensor: when things were taken, in seconds of alert time, and what they were."""

    id: str
    kind: str
    person: str = "anna"
    heard_s: float = 0.0
    value: float | None = None
    taken_s: float = 0.0
    not_counted: str | None = None
    worn: bool | None = None
    warm_until_s: float = -1.0
    ends_s: float | None = None
    battery_pct: int | None = 90
    rest: Rest = Rest.RESTING
    glucose: GlucoseKnown | None = None
    rhythm: RhythmKnown | None = None
    rhythm_s: float = 0.0

    def reads(self, at_s: float, value: float, **fields: object) -> None:
        """It sends a value that counts."""
        self.value, self.taken_s, self.heard_s, self.not_counted = value, at_s, at_s, None
        for name, one in fields.items():
            setattr(self, name, one)

    def expects(
        self,
        in_15: float | None,
        in_30: float | None,
        *,
        rate: float | None = 0.0,
        steady: int = 9,
        is_low: bool = False,
        is_high: bool = False,
        is_compressed: bool = False,
    ) -> None:
        """What its newest reading says of those to come."""
        self.glucose = GlucoseKnown(
            age_s=0.0,
            smoothed_mg_dl=self.value,
            rate_mg_dl_min=rate,
            in_15_min=None if in_15 is None else forecast(in_15),
            in_30_min=None if in_30 is None else forecast(in_30),
            in_60_min=None,
            is_low_ahead=is_low,
            is_high_ahead=is_high,
            is_compressed=is_compressed,
            grade=None,
            steady_readings=steady,
        )

    def beats(
        self,
        at_s: float,
        *,
        af_s: float | None = None,
        resting_s: float = 0.0,
        is_over: bool = False,
        burden_pct: float | None = 0.0,
        pause: tuple[float, float] | None = None,
        lost: bool = False,
        missed: bool = False,
    ) -> None:
        """What its intervals say. A pause: its length in ms, and how long ago it was."""
        self.rhythm_s = at_s
        self.rhythm = RhythmKnown(
            age_s=0.0,
            af_probability_fast=None,
            af_probability_sure=None,
            af=None if af_s is None else EpisodeKnown("af", af_s, 0.0, 90.0, is_over),
            af_resting_s=resting_s,
            af_burden_pct=burden_pct,
            observed_s=3600.0,
            premature_pct=None,
            pause=None if pause is None else PauseKnown(*pause, missed, lost),
        )

    def known(self, at_s: float) -> SensorKnown:
        values: Mapping[str, ValueKnown] = {}
        if self.value is not None:
            name = "glucose" if self.kind == "cgm" else "heart_rate"
            values = {name: ValueKnown(self.value, at_s - self.taken_s, self.not_counted)}
        return SensorKnown(
            id=self.id,
            kind=self.kind,
            person=self.person,
            phase="streaming",
            trouble=None,
            heard_age_s=at_s - self.heard_s,
            worn=self.worn,
            worn_age_s=None,
            warm_up_left_s=self.warm_until_s - at_s if self.warm_until_s > at_s else None,
            wear_left_s=None if self.ends_s is None else max(0.0, self.ends_s - at_s),
            battery_pct=self.battery_pct,
            rest=self.rest,
            values=values,
            glucose=self._glucose(at_s),
            rhythm=self._rhythm(at_s),
        )

    def _glucose(self, at_s: float) -> GlucoseKnown | None:
        one = self.glucose
        if one is None:
            return None
        return GlucoseKnown(at_s - self.taken_s, *[getattr(one, name) for name in one.__struct_fields__[1:]])

    def _rhythm(self, at_s: float) -> RhythmKnown | None:
        one, age_s = self.rhythm, at_s - self.rhythm_s
        if one is None:
            return None
        pause = one.pause
        if pause is not None:
            pause = PauseKnown(
                pause.length_ms, pause.age_s + age_s, pause.may_be_missed_beats, pause.may_be_lost_data
            )
        return RhythmKnown(
            age_s,
            one.af_probability_fast,
            one.af_probability_sure,
            one.af,
            one.af_resting_s,
            one.af_burden_pct,
            one.observed_s,
            one.premature_pct,
            pause,
        )


@dataclass
class Home:
    """A gateway and its sensors. What began has the moment at which it did."""

    sensors: dict[str, Sensor] = field(default_factory=dict)
    midnight_s: float = 0.0
    untrusted_since_s: float | None = None
    full_since_s: float | None = None
    waiting_since_s: float | None = None
    dead: dict[str, str] = field(default_factory=dict)

    def known(self, at_s: float) -> GatewayKnown:
        minute = int((at_s - self.midnight_s) // 60) % DAY_MIN
        return GatewayKnown(
            minute_of_day=minute if self.untrusted_since_s is None else None,
            clock_untrusted_s=0.0 if self.untrusted_since_s is None else at_s - self.untrusted_since_s,
            store_trouble=None if self.full_since_s is None else "the disk is full",
            store_trouble_s=0.0 if self.full_since_s is None else at_s - self.full_since_s,
            routes=(
                RouteKnown("files", None, None),
                RouteKnown(
                    "http", None, None if self.waiting_since_s is None else at_s - self.waiting_since_s
                ),
            ),
            dead_channels=dict(self.dead),
            sensors=tuple(sensor.known(at_s) for sensor in self.sensors.values()),
        )

    def copy(self) -> "Home":
        return replace(
            self, sensors={key: replace(one) for key, one in self.sensors.items()}, dead={**self.dead}
        )
