"""Which values and which silence raise an alert: tables, keyed by measurement. No behaviour here."""

from typing import Final, Literal, NamedTuple


class Threshold(NamedTuple):
    """An alert for a value beyond a limit.

    Attributes:
        kind: its name in the store and on the status page.
        limit, hold: fields of `config.Alerts`; a value at the limit is still allowed, and one beyond it must last for
            the hold, if there is one, from the first offending reading to the newest.
    """

    kind: str
    side: Literal["below", "above"]
    limit: str
    hold: str | None = None


class Silence(NamedTuple):
    """An alert for data that stay away; `limit` is a field of `config.Alerts`."""

    kind: str
    limit: str


THRESHOLDS: Final[dict[str, tuple[Threshold, ...]]] = {
    "heart_rate": (
        Threshold("heart_rate_low", "below", "heart_rate_low_bpm", "heart_rate_hold_s"),
        Threshold("heart_rate_high", "above", "heart_rate_high_bpm", "heart_rate_hold_s"),
    ),
    "rr_interval": (),
    "glucose": (
        Threshold("glucose_urgent_low", "below", "glucose_urgent_low_mg_dl"),
        Threshold("glucose_low", "below", "glucose_low_mg_dl"),
        Threshold("glucose_high", "above", "glucose_high_mg_dl"),
    ),
}

SILENCE: Final[dict[str, Silence | None]] = {
    "heart_rate": Silence("heart_rate_silence", "heart_silence_s"),
    "rr_interval": None,
    "glucose": Silence("cgm_silence", "cgm_silence_s"),
}
