"""What a device of a capture does when it is played: by itself, and when something is asked of it.

Contract: pure. Times are seconds since the device was first heard of. What a control point brought, from the request to
its own answer, belongs to the request: it comes again when the same is asked, and not by itself. A control point is a
characteristic that was written and then indicated or notified something itself.

Not here: a radio, and a clock (`hw_sim.sensors.replayed`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hw_sim.capture.heard import Characteristic, Device, Heard, Service, What, long
from protocols import uuids

READ, WRITE, NOTIFY, INDICATE = 0x02, 0x08, 0x10, 0x20
# A request that was answered later than that was not answered.
ANSWERED_S_MAX: Final = 60.0

_GENERIC: Final = frozenset({long("1800"), long("1801")})
# What every simulated sensor has of its own, so that nobody takes it for a real one.
_OWN: Final = frozenset({uuids.BATTERY_SERVICE, uuids.DEVICE_INFORMATION_SERVICE})


class Cue(NamedTuple):
    """Something to do, so long after the beginning, or after the request."""

    after_s: float
    what: What
    characteristic: str
    payload: bytes


@dataclass
class Exchange:
    """A request to a control point, and what followed until it had answered."""

    control: str
    request: bytes
    answers: list[Cue] = field(default_factory=list)


@dataclass
class Script:
    """All that a device does. `values` are those that it had first."""

    services: list[Service]
    values: dict[str, bytes]
    cues: list[Cue]
    exchanges: list[Exchange]

    @property
    def lasts_s(self) -> float:
        return self.cues[-1].after_s if self.cues else 0.0


def script(device: Device, service: str) -> Script:
    """What a device does that is to play a sensor of this service."""
    events, exchanges = _sorted(device)
    cues = [Cue(one.at_s - device.begin_s, one.what, one.characteristic, one.payload) for one in events]
    values: dict[str, bytes] = {}
    for one in device.events:
        if one.what is What.READ:
            values.setdefault(one.characteristic, one.payload)
    return Script(list(_services(device, service)), values, cues, exchanges)


def _sorted(device: Device) -> tuple[list[Heard], list[Exchange]]:
    """What came by itself, and what was asked for."""
    controls = _controls(device)
    alone: list[Heard] = []
    exchanges: list[Exchange] = []
    open_s, open_one = 0.0, None
    for one in device.events:
        if one.what is What.WROTE:
            if one.characteristic in controls:
                open_s, open_one = one.at_s, Exchange(one.characteristic, one.payload)
            continue
        if open_one is not None and (one.what is What.DISCONNECTED or one.at_s - open_s > ANSWERED_S_MAX):
            open_one = None
        if one.what is not What.NOTIFIED:
            alone.append(one)
        elif open_one is not None:
            open_one.answers.append(Cue(one.at_s - open_s, one.what, one.characteristic, one.payload))
            if one.characteristic == open_one.control:
                exchanges.append(open_one)
                open_one = None
        elif one.characteristic not in controls:
            alone.append(one)
    return alone, exchanges


def _controls(device: Device) -> set[str]:
    written = {one.characteristic for one in device.events if one.what is What.WROTE}
    return written & set(device.notified()) | {uuids.RACP, uuids.CGM_SPECIFIC_OPS}


def _services(device: Device, service: str) -> Iterator[Service]:
    """The services, with what was heard of characteristics that no discovery names put into the one that is played."""
    known = [one for one in device.services if one.uuid not in _GENERIC | _OWN]
    named = {one.uuid for whole in device.services for one in whole.characteristics}
    loose = tuple(one for one in _used(device) if one.uuid not in named)
    if not any(one.uuid == service for one in known):
        known.append(Service(service, ()))
    for one in known:
        yield one._replace(characteristics=one.characteristics + loose) if one.uuid == service else one


def _used(device: Device) -> Iterator[Characteristic]:
    """Characteristics by what was done with them."""
    bits = {What.READ: READ, What.WROTE: WRITE, What.NOTIFIED: NOTIFY}
    properties: dict[str, int] = {}
    for one in device.events:
        if one.characteristic and not one.characteristic.startswith("0x"):
            properties[one.characteristic] = properties.get(one.characteristic, 0) | bits[one.what]
    for uuid, found in properties.items():
        # A control point indicates: whoever listens to it asks for that.
        is_control = found & WRITE and found & NOTIFY
        yield Characteristic(uuid, found & ~NOTIFY | INDICATE if is_control else found)
