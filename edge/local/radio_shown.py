"""The machine's Bluetooth as the status document shows it."""

from edge.local.status import AdapterStatus, RadioStatus, RungStatus, Trouble
from edge.radio.adapter import Radio


def radio_status(radio: Radio, now_s: float) -> RadioStatus | None:
    """How it is at a moment of the loop's time; None if nobody watches it."""
    health, mending = radio.health, radio.mending
    if mending is None:
        return None
    lost = health.trouble
    trouble = None if lost is None else Trouble(lost.trouble.cause, lost.trouble.remedy, lost.reason)
    return RadioStatus(
        trouble=trouble,
        adapters=[
            AdapterStatus(adapter.name, adapter.is_powered, *radio.adapters.load(adapter, now_s))
            for adapter in health.adapters
        ],
        recovery=[
            RungStatus(rung.name.lower(), done.times, done.reason, round(now_s - done.at_s, 1), done.failure)
            for rung, done in sorted(mending.done.items(), key=lambda item: item[1].at_s)
        ],
    )
