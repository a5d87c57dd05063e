"""What is known at this moment of each sensor, of its wearer, and of the gateway: one document.

Contract: alerts, status, the live view and whatever is sent about the present read this and nothing else. An age is
counted to the moment for which the document was made, in seconds; None is unknown. A value without an age does not
exist. Nothing is decided here: no thresholds, no words for people.
"""

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct


class Rest(Enum):
    """Whether the wearer is at rest. UNKNOWN is not taken for rest."""

    RESTING = "resting"
    ACTIVE = "active"
    UNKNOWN = "unknown"


class ValueKnown(Struct, frozen=True):
    """The newest value of a measurement; `not_counted` says why it does not count, and is None if it does."""

    value: float
    age_s: float
    not_counted: str | None = None


class Forecast(Struct, frozen=True):
    """What the glucose will be, with the interval that holds 90 % of the outcomes; mg/dL."""

    glucose_mg_dl: float
    low_mg_dl: float
    high_mg_dl: float


class GlucoseKnown(Struct, frozen=True):
    """What the newest reading of a CGM says together with those before it.

    Attributes:
        age_s: of the reading.
        rate_mg_dl_min: rate of change of the smoothed glucose.
        in_15_min, in_30_min, in_60_min: forecasts made at the reading.
        is_low_ahead, is_high_ahead: the early alerts of `dsp.glucose.alerts`.
        is_compressed: the sensor is possibly lain on: a label only.
        grade: how noisy the sensor is, of `dsp.glucose.smoothing.GRADES`.
        steady_readings: how many counted readings in a row follow each other without a gap, a calibration, a change of
            session or a step that no body makes. A jump is no trend.
    """

    age_s: float
    smoothed_mg_dl: float | None
    rate_mg_dl_min: float | None
    in_15_min: Forecast | None
    in_30_min: Forecast | None
    in_60_min: Forecast | None
    is_low_ahead: bool
    is_high_ahead: bool
    is_compressed: bool
    grade: str | None
    steady_readings: int


class EpisodeKnown(Struct, frozen=True):
    """A stretch of time that has not ended, or the newest that has: how long ago it began and ended, and the rate."""

    kind: str
    begin_age_s: float
    end_age_s: float
    hr_mean_bpm: float
    is_over: bool


class PauseKnown(Struct, frozen=True):
    """The newest long interval between two beats."""

    length_ms: float
    age_s: float
    may_be_missed_beats: bool
    may_be_lost_data: bool


class EcgKnown(Struct, frozen=True):
    """What the ECG of a strap says of its beats, over the last minutes.

    Attributes:
        age_s: of the newest of its beats.
        rate_bpm: of its beats, in the parts that can be trusted; None without any.
        quality_pct: share of its time that can be trusted.
        confirmed_pct: share of the intervals that the strap sent meanwhile that the ECG confirms; None without any.
        intervals: how many those are.
    """

    age_s: float
    rate_bpm: float | None
    quality_pct: float
    confirmed_pct: float | None
    intervals: int


class RhythmKnown(Struct, frozen=True):
    """What the intervals of a strap say.

    Attributes:
        age_s: of the newest beat that the rest is about.
        af_probability_fast, af_probability_sure: of `dsp.cardiac.rhythm`; the sure one is of a beat 63 beats ago.
        af: the newest episode of the sure tier.
        af_resting_s: for how long it has lasted with the wearer at rest throughout; 0 without one, or once it is over.
        af_burden_pct, observed_s: share of the last 24 h (to within five minutes) in AF, of the time observed.
        premature_pct: of the newest hundred judged beats.
        pause: the newest pause of at least two seconds; of those within a minute the longest, and none that may be lost
            data if there is another.
        ecg: what the strap's ECG says, if it streams one.
    """

    age_s: float
    af_probability_fast: float | None
    af_probability_sure: float | None
    af: EpisodeKnown | None
    af_resting_s: float
    af_burden_pct: float | None
    observed_s: float
    premature_pct: float | None
    pause: PauseKnown | None
    ecg: EcgKnown | None = None


class SensorKnown(Struct, frozen=True):
    """One sensor and its wearer.

    Attributes:
        id, kind, person: as the configuration names them.
        phase, trouble: of its link, see `edge.radio`.
        heard_age_s: of the newest sign of life, of this process or stored by one before; counted from the start of the
            gateway if there is none.
        worn: whether it has skin contact; None if it cannot tell.
        worn_age_s: how long ago it was last worn; None if never, or if it cannot tell.
        warm_up_left_s: until its values count; None unless it warms up.
        wear_left_s: until its session ends.
        values: by measurement (`edge.measurements`).
        covered_by: the sensor that tells the same glucose and stands for this one; None if this one stands.
    """

    id: str
    kind: str
    person: str
    phase: str
    trouble: str | None
    heard_age_s: float
    worn: bool | None
    worn_age_s: float | None
    warm_up_left_s: float | None
    wear_left_s: float | None
    battery_pct: int | None
    rest: Rest
    values: Mapping[str, ValueKnown]
    glucose: GlucoseKnown | None = None
    rhythm: RhythmKnown | None = None
    covered_by: str | None = None


class RouteKnown(Struct, frozen=True):
    """One route upstream: what keeps it from sending, and how long its oldest item has waited that may be sent."""

    name: str
    trouble: str | None
    oldest_age_s: float | None


class GatewayKnown(Struct, frozen=True):
    """The gateway itself.

    Attributes:
        minute_of_day: local wall time; None while the clock is not trusted.
        clock_untrusted_s: for how long it has not been; 0 while it is.
        store_trouble, store_trouble_s: why the store cannot be written, and for how long.
        dead_channels: channels of delivery that could not deliver, with the reason.
    """

    minute_of_day: int | None
    clock_untrusted_s: float
    store_trouble: str | None
    store_trouble_s: float
    routes: tuple[RouteKnown, ...]
    dead_channels: Mapping[str, str]
    sensors: tuple[SensorKnown, ...]
