"""The rules of the alerts: what each is about, its limit, how it is told, and where it comes from. Data only.

Contract: a row names keys of `[alerts]`; `edge.alerts.findings` has for each rule what finds out whether it is beyond
its limit, and a test checks that none lacks. Hysteresis and steps are ours unless the row says otherwise.
"""

from typing import Final, Literal, NamedTuple

from edge.alerts.state import GATEWAY, Tier, What

SENSOR: Final = "sensor"


class Rule(NamedTuple):
    """One rule.

    Attributes:
        about: the measurement (`edge.measurements`) of the sensors that have it, `SENSOR` for all, or `GATEWAY`.
        source: why there is such a rule with such a limit.
        limit: its key in `[alerts]`.
        side: on which side of the limit a value is bad; None for rules whose value has no better and worse.
        unit: of its value, in UCUM; None if it has none.
        hysteresis: how far within the limit a value must be to end the alert.
        recede: how far to arm it again; None: as far as to end it.
        worse_by: how much worse a value must be to be told again; None: it never is.
        hold: the key in `[alerts]` for how long values must be beyond the limit, if they must.
        urgent: nothing holds it back: no snooze, no quiet hours, no pause after the last one.
        at_night: told in quiet hours as well.
        pauses: not raised again before `refractory_s`.
        once: once per approach: not raised again before the danger has receded.
        first, last: who is told at once, and who in the end if nobody acknowledges it.
        grown: what is said when it gets worse.
    """

    about: str
    source: str
    limit: str | None = None
    side: Literal["below", "above"] | None = None
    unit: str | None = None
    hysteresis: float = 0.0
    recede: float | None = None
    worse_by: float | None = None
    hold: str | None = None
    urgent: bool = False
    at_night: bool = False
    pauses: bool = False
    once: bool = False
    first: Tier = Tier.REMINDER
    last: Tier = Tier.REMINDER
    grown: What = What.WORSE


RULES: Final[dict[str, Rule]] = {
    "glucose_urgent_low": Rule(
        "glucose",
        "level 2 of hypoglycaemia: Battelino et al. 2019, doi 10.2337/dci19-0028",
        "glucose_urgent_low",
        "below",
        "mg/dL",
        hysteresis=5.0,
        worse_by=10.0,
        urgent=True,
        first=Tier.HOME,
        last=Tier.REMOTE,
    ),
    "glucose_urgent_low_soon": Rule(
        "glucose",
        "Dexcom's Urgent Low Soon: 55 mg/dL within 20 min",
        "glucose_urgent_low_soon",
        "below",
        "mg/dL",
        hysteresis=10.0,
        urgent=True,
        first=Tier.HOME,
        last=Tier.REMOTE,
    ),
    "glucose_low": Rule(
        "glucose",
        "level 1 of hypoglycaemia: Battelino et al. 2019, doi 10.2337/dci19-0028",
        "glucose_low",
        "below",
        "mg/dL",
        hysteresis=5.0,
        worse_by=10.0,
        pauses=True,
        last=Tier.REMOTE,
    ),
    "glucose_low_ahead": Rule(
        "glucose",
        "the early alert of dsp.glucose.alerts, measured in BENCHMARKS.md",
        "glucose_low",
        "below",
        "mg/dL",
        hysteresis=10.0,
        recede=20.0,
        pauses=True,
        once=True,
    ),
    "glucose_high": Rule(
        "glucose",
        "level 2 of hyperglycaemia: Battelino et al. 2019, doi 10.2337/dci19-0028",
        "glucose_high",
        "above",
        "mg/dL",
        hysteresis=10.0,
        worse_by=50.0,
        pauses=True,
        last=Tier.HOME,
    ),
    "glucose_high_ahead": Rule(
        "glucose",
        "the early alert of dsp.glucose.alerts, measured in BENCHMARKS.md",
        "glucose_high",
        "above",
        "mg/dL",
        hysteresis=15.0,
        recede=30.0,
        pauses=True,
        once=True,
    ),
    "glucose_high_persistent": Rule(
        "glucose",
        "asked for by wearers (GlucoDataHandler, issue 249); the limit is that of glucose_high",
        "glucose_high",
        "above",
        "mg/dL",
        hysteresis=10.0,
        hold="glucose_high_persistent_s",
        pauses=True,
        last=Tier.REMOTE,
    ),
    "glucose_falling_fast": Rule(
        "glucose",
        "Dexcom's arrow down, 2 mg/dL/min; only below a level, as wearers ask (xDrip, issues 311 and 532)",
        "glucose_fall",
        "below",
        "mg/dL/min",
        worse_by=1.0,
        pauses=True,
        once=True,
    ),
    "heart_rate_low": Rule(
        "heart_rate",
        "a rate that few people have at rest; ours",
        "heart_rate_low_bpm",
        "below",
        "/min",
        hysteresis=5.0,
        worse_by=5.0,
        hold="heart_rate_hold_s",
        pauses=True,
        last=Tier.REMOTE,
    ),
    "heart_rate_high": Rule(
        "heart_rate",
        "a rate that few people have at rest; ours",
        "heart_rate_high_bpm",
        "above",
        "/min",
        hysteresis=5.0,
        worse_by=20.0,
        hold="heart_rate_hold_s",
        pauses=True,
        last=Tier.REMOTE,
    ),
    "heart_rate_high_persistent": Rule(
        "heart_rate",
        "a rate at which few people are active for so long; ours",
        "heart_rate_high_bpm",
        "above",
        "/min",
        hysteresis=5.0,
        hold="heart_rate_high_persistent_s",
        pauses=True,
        last=Tier.REMOTE,
    ),
    "pause": Rule(
        "heart_rate",
        "pauses that a Holter recording reports: 3 s",
        "pause_s",
        "above",
        "s",
        worse_by=1.0,
        pauses=True,
        last=Tier.HOME,
    ),
    "irregular_rhythm": Rule(
        "heart_rate",
        "half an hour at rest, as Fitbit's notification: right in 98.2 % (Lubitz et al. 2022); an hour at any rate:"
        " ours, measured in BENCHMARKS.md",
        "irregular_rhythm_s",
        "above",
        "%",
        worse_by=25.0,
        grown=What.FOLLOW_UP,
    ),
    "heart_rate_silence": Rule("heart_rate", "ours", "heart_silence_s", unit="s"),
    "cgm_silence": Rule(
        "glucose",
        "four readings missed; Dexcom's signal loss",
        "cgm_silence_s",
        unit="s",
        at_night=True,
        last=Tier.REMOTE,
    ),
    "not_worn": Rule(SENSOR, "ours", hold="not_worn_s"),
    "sensor_ending": Rule(
        SENSOR, "a day to fetch the next one, two hours to change it", "sensor_ending_s", "below", "h"
    ),
    "battery_low": Rule(SENSOR, "ours", "battery_low_pct", "below", "%", hysteresis=10.0, worse_by=10.0),
    "sync_stuck": Rule(GATEWAY, "ours", "sync_stuck_s", unit="h"),
    "clock_untrusted": Rule(GATEWAY, "ours", "clock_untrusted_s", unit="h"),
    "disk_full": Rule(GATEWAY, "ours", "disk_full_s", unit="s", last=Tier.HOME),
    "sound_dead": Rule(
        GATEWAY,
        "an alarm that cannot be delivered is a technical alarm: IEC 60601-1-8",
        at_night=True,
        last=Tier.REMOTE,
    ),
}
