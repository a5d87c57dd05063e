"""Answers who wants to record what the gateway hears: each event as a line, and the time now and then.

Contract: the first line is `Clock`, which says which sensors there are and what time it is; it comes again every
`CLOCK_S`, so that whoever records learns when the wall clock was set, and that the gateway lives. `Heard` are the
events in their order. `missed` counts those that were dropped because they were not read in time.

Not here: what a capture looks like, and what is left out of it (`tools.capture`).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

from msgspec import Struct

from edge.config import SensorConfig
from edge.radio.tap import Overheard, Tap

CLOCK_S: Final = 5.0


class Listened(Struct, frozen=True):
    """A sensor of the configuration."""

    id: str
    kind: str
    address: str


class Clock(Struct, frozen=True, tag="clock", tag_field="say"):
    """What time it is: since the machine was switched on, and UTC as far as it is known."""

    boot_ns: int
    utc_ns: int | None
    missed: int
    sensors: list[Listened]


class Heard(Struct, frozen=True, tag="heard", tag_field="say", omit_defaults=True):
    """An event. `services` are those of a sensor that was connected: UUID, characteristics, what each can."""

    sensor: str
    what: str
    boot_ns: int
    characteristic: str = ""
    hex: str = ""
    services: list[tuple[str, list[tuple[str, list[str]]]]] = []


async def recorded(
    tap: Tap,
    sensors: Sequence[SensorConfig],
    boot_ns: Callable[[], int],
    utc_ns: Callable[[], int | None],
) -> AsyncGenerator[Struct, None]:
    """Everything from now on, until whoever listens has gone."""
    listened = [Listened(one.id, one.kind, one.address) for one in sensors]
    loop = asyncio.get_running_loop()
    # No event is before the first line.
    clock = Clock(boot_ns(), utc_ns(), 0, listened)
    with tap.listen(boot_ns) as ear:
        while True:
            yield clock
            next_s = loop.time() + CLOCK_S
            while (left_s := next_s - loop.time()) > 0.0:
                for event in await ear.until(left_s):
                    yield _line(event)
            clock = Clock(boot_ns(), utc_ns(), ear.missed, listened)


def _line(event: Overheard) -> Heard:
    services = [
        (one.uuid, [(uuid, list(properties)) for uuid, properties in one.characteristics])
        for one in event.services
    ]
    return Heard(
        event.sensor_id, event.what.value, event.boot_ns, event.characteristic, event.payload.hex(), services
    )
