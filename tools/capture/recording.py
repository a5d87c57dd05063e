"""Records what a running gateway hears, by its socket.

Contract: it ends after `for_s` of the gateway's time, when it is interrupted, or when the gateway ends; what was heard
until then is written. Times are what the gateway's clock said when the capture began, plus what went by since: a clock
that is set meanwhile moves nothing.

Not here: what is replaced (`pseudonyms`), and the form of files (`writing`, `hw_sim.capture`).
"""

import hashlib
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from edge import config
from edge.clock import NS_PER_S
from edge.errors import ConfigError, StoreUnavailable
from edge.kinds import KINDS, FoundBy, Reach
from edge.local.control import asked
from edge.local.recording import CLOCK_S, Clock, Listened
from edge.local.recording import Heard as Said
from edge.local.verbs import Refusal
from hw_sim.capture.heard import Characteristic, Device, Heard, Service, What, joined, octets_of
from tools.capture.pseudonyms import Pseudonyms
from tools.capture.writing import Writer, opened

_SILENT_S_MAX: Final = 4 * CLOCK_S
_COMPANY, _SERVICES, _DATA_16, _DATA_128, _NAME = 0xFF, 0x03, 0x16, 0x21, 0x09
_PROPERTIES: Final = {
    "broadcast": 0x01,
    "read": 0x02,
    "write-without-response": 0x04,
    "write": 0x08,
    "notify": 0x10,
    "indicate": 0x20,
}
_LINE: Final = msgspec.json.Decoder(Clock | Said)


@dataclass
class Outcome:
    """What was recorded: how many events, how many of which sensor, and how many could not be read in time."""

    events: int = 0
    by_sensor: dict[str, int] = field(default_factory=dict)
    missed: int = 0


def record(config_file: Path, outs: list[Path], for_s: float | None, replaced: Pseudonyms | None) -> Outcome:
    """Record to files, which must not be there yet.

    Raises:
        ConfigError: the configuration or the files are not right, or no gateway runs on it.
        StoreUnavailable: the gateway does not answer.
    """
    state_dir = config.load(config_file).gateway.state_dir
    outcome = Outcome()
    try:
        with closing(asked(state_dir, {"do": "record"}, _SILENT_S_MAX)) as lines:
            first = _first(lines)
            with opened(outs) as files, suppress(KeyboardInterrupt):
                writer = Writer(files, _utc_s(first), replaced)
                for event in _until(lines, first, for_s, outcome):
                    writer.write(*event)
    except (FileNotFoundError, ConnectionError, NotADirectoryError) as fault:
        raise ConfigError(str(config_file), "its gateway does not run", "start it: vitalgate run") from fault
    except PermissionError as fault:
        raise ConfigError(str(state_dir), "the gateway belongs to another user", "be that user") from fault
    except TimeoutError as fault:
        raise StoreUnavailable("the gateway does not answer") from fault
    return outcome


def _first(lines: Iterator[bytes]) -> Clock:
    line = next(lines, b"")
    with suppress(msgspec.DecodeError):
        if isinstance(said := _LINE.decode(line), Clock):
            return said
    with suppress(msgspec.DecodeError):
        refused = msgspec.json.decode(line, type=Refusal).error
        raise StoreUnavailable(f"{refused.cause}; {refused.remedy}")
    raise StoreUnavailable("the gateway ended")


def _utc_s(clock: Clock) -> float:
    return (clock.boot_ns if clock.utc_ns is None else clock.utc_ns) / NS_PER_S


def _until(
    lines: Iterable[bytes], first: Clock, for_s: float | None, outcome: Outcome
) -> Iterator[tuple[Device, Heard]]:
    sensors = Sensors(first)
    for line in lines:
        said = _LINE.decode(line)
        if for_s is not None and (said.boot_ns - first.boot_ns) / NS_PER_S > for_s:
            return
        if isinstance(said, Clock):
            outcome.missed = said.missed
        else:
            outcome.events += 1
            outcome.by_sensor[said.sensor] = outcome.by_sensor.get(said.sensor, 0) + 1
            yield sensors.event(said)


class Sensors:
    """The sensors of a gateway as devices of a capture."""

    def __init__(self, first: Clock) -> None:
        self._zero_s = _utc_s(first) - first.boot_ns / NS_PER_S
        self._kinds = {one.id: KINDS[one.kind] for one in first.sensors}
        self._devices = {one.id: _device(one) for one in first.sensors}

    def event(self, said: Said) -> tuple[Device, Heard]:
        """An event as a capture has it, and of which device."""
        device = self._devices[said.sensor]
        at_s = self._zero_s + said.boot_ns / NS_PER_S
        what, payload = What(said.what), bytes.fromhex(said.hex)
        if what is What.CONNECTED:
            device.services = tuple(
                Service(
                    uuid, tuple(Characteristic(one, _bits(properties)) for one, properties in characteristics)
                )
                for uuid, characteristics in said.services
            )
        if what is What.NOTIFIED and self._kinds[said.sensor].reach is Reach.ADVERTISEMENT:
            data = self._advertisement(said.sensor, said.characteristic, payload)
            return device, Heard(at_s, What.ADVERTISED, "", data)
        return device, Heard(at_s, what, said.characteristic, payload)

    def _advertisement(self, sensor: str, part: str, payload: bytes) -> bytes:
        """What was advertised, as far as it was heard: the part, the service of the kind, and the name."""
        company = part.removeprefix("company ")
        if company != part:
            data = _COMPANY, int(company, 16).to_bytes(2, "little") + payload
        else:
            octets = octets_of(part)
            data = _DATA_16 if len(octets) == 2 else _DATA_128, octets + payload
        name = self._devices[sensor].name
        named = [] if name is None else [(_NAME, name.encode())]
        return joined([(_SERVICES, octets_of(self._kinds[sensor].service)), data, *named])


def _device(sensor: Listened) -> Device:
    """One that is known by its name has an address in the capture that follows from it: its own may change."""
    if KINDS[sensor.kind].found_by is not FoundBy.SERIAL:
        return Device(sensor.address)
    digits = "F5" + hashlib.sha256(sensor.address.encode()).hexdigest()[:10].upper()
    return Device(":".join(textwrap.wrap(digits, 2)), sensor.address)


def _bits(properties: list[str]) -> int:
    return sum(_PROPERTIES.get(one, 0) for one in properties)
