"""Has a Polar sensor stream what is wanted of it, and stop before it is left: a stream keeps it on otherwise.

Contract: nothing here ends a link. What fails is noted for the status page, and tried again after a pause that doubles
up to `PAUSE_S_MAX`; the heart rate comes all the same. Whatever way the conversation ends, each stream that may run is
told to stop, as long as there is a link to say it over, for `STOP_S` at most. What is said about one stream is in
`protocols.polar_procedure`; one is talked about at a time.

    a stream | event                                        | and becomes
    ---------|----------------------------------------------|-----------------------------------------------------
    resting  | its pause is over                            | asked for its settings, stopped, and started
    resting  | the device has none of it, or the link is    | resting until the next link
             | too narrow                                   |
    started  | the device says so, or that it runs already  | streaming
    started  | it is refused, or not answered               | resting
    streaming| the device stops it                          | resting
    streaming| no frame comes for `SILENT_S`                | resting
    any      | the link is left                             | stopped

It is stopped before it is started for the first time over a link, because it may run since an earlier link, with
settings that nobody remembers. So is what is not wanted.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from edge.clock import NS_PER_S, Clock, rest_s
from edge.errors import one_line
from edge.radio.diagnosis import CONVERSING, FORESEEN, diagnose
from edge.radio.link import Link
from protocols import polar, uuids
from protocols.polar import MeasurementType, Message, Setting, Settings
from protocols.polar_procedure import Phase, Stream

log = logging.getLogger(__name__)

MTU_MIN: Final = 232
PAUSE_S_MIN, PAUSE_S_MAX = 2.0, 300.0
# Pulse intervals come 25 s after their start, and then every few seconds.
SILENT_S: Final = 90.0
# A stream that held for so long is started again after the shortest pause.
HELD_S: Final = 60.0
STOP_S: Final = 3.0
# Each is an integer, and the device is given one of those that it offers.
_CHOSEN: Final = (Setting.SAMPLE_RATE_HZ, Setting.RESOLUTION_BITS, Setting.RANGE, Setting.CHANNELS)


class Wanted(NamedTuple):
    """How a measurement is asked for.

    Attributes:
        measurement: which.
        rate_hz: the slowest rate that serves.
        has_settings: whether it can be asked for settings.
    """

    measurement: MeasurementType
    rate_hz: int
    has_settings: bool = True


WANTED: Final[Mapping[str, Wanted]] = {
    "ecg": Wanted(MeasurementType.ECG, 130),
    "acc": Wanted(MeasurementType.ACCELERATION, 25),
    "ppi": Wanted(MeasurementType.PULSE_INTERVAL, 0, has_settings=False),
}
"""By the name in the configuration."""


class Started(NamedTuple):
    """A stream that has just begun: what was chosen, and what a count is worth; None: unknown."""

    settings: Mapping[int, int]
    factor: float | None


@dataclass
class _Kept:
    """What is known of one stream over a link."""

    name: str
    stream: Stream | None = None
    is_over: bool = False  # nothing more can come of it over this link
    trouble: str | None = None
    pause_s: float = PAUSE_S_MIN
    due_ns: int = 0
    started_ns: int = 0
    heard_ns: int = 0

    @property
    def is_streaming(self) -> bool:
        return self.stream is not None and self.stream.phase is Phase.STREAMING


class Streams:
    """The streams of one sensor."""

    def __init__(
        self,
        sensor_id: str,
        names: Sequence[str],
        clock: Clock,
        on_started: Callable[[str, Started], None],
    ) -> None:
        """`names`: the streams that are wanted; `on_started` is told of each that begins."""
        self._sensor_id = sensor_id
        self._names = names
        self._clock = clock
        self._on_started = on_started
        self._kept = {name: _Kept(name) for name in WANTED}
        self._asked: Stream | None = None
        self._changed = asyncio.Event()

    def live(self) -> dict[str, str]:
        """Of each stream that is wanted whether it runs, or why it does not."""
        kept = [self._kept[name] for name in self._names]
        return {one.name: "streaming" if one.is_streaming else one.trouble or "starting" for one in kept}

    # What comes of it

    def on_indication(self, payload: bytes) -> None:
        """The control point said something.

        Raises:
            DecodeError: it makes no sense.
        """
        self._changed.set()
        if payload[:1] == bytes([Message.FEATURES]):
            return  # some systems tell of a value that was read as if the sensor had sent it
        now_s = self._clock.boot_ns() / NS_PER_S
        if payload[:1] == bytes([Message.STREAM_STOPPED]):
            for one in self._kept.values():
                if one.stream is not None:
                    one.stream.on_indication(payload, now_s)
        elif self._asked is not None:
            self._asked.on_indication(payload, now_s)
        else:
            polar.decode_response(payload)

    def on_frame(self, name: str, boot_ns: int) -> None:
        """A frame of a stream came."""
        one = self._kept[name]
        one.heard_ns = boot_ns
        if boot_ns - one.started_ns >= HELD_S * NS_PER_S:
            one.pause_s = PAUSE_S_MIN

    # Over a link

    async def run(self, link: Link) -> None:
        """Keep up what is wanted until the link is left or cannot stream."""
        self._kept = {name: _Kept(name) for name in WANTED}
        if not self._names:
            return
        try:
            if await self._open(link):
                while not all(self._kept[name].is_over for name in self._names):
                    for one in self._kept.values():
                        await self._look(link, one)
                    await self._pause()
        finally:
            await self._stop_all(link)

    async def _open(self, link: Link) -> bool:
        """Listen, and find out what there is; whether anything can be streamed."""
        try:
            mtu = link.mtu(uuids.PMD_DATA)
            if mtu is not None and mtu < MTU_MIN:
                self._give_up(
                    f"the link carries {mtu} octets at a time, a stream needs {MTU_MIN}", *self._kept
                )
                return False
            # A write before both are enabled is refused.
            await link.subscribe(uuids.PMD_CONTROL_POINT)
            await link.subscribe(uuids.PMD_DATA)
            features = polar.decode_features(await link.read(uuids.PMD_CONTROL_POINT))
        except FORESEEN as error:
            self._give_up(_said(error), *self._kept)
            return False
        lacks = [name for name, wanted in WANTED.items() if not features.supports(wanted.measurement)]
        self._give_up("the sensor has none", *lacks)
        return True

    def _give_up(self, trouble: str, *names: str) -> None:
        for name in names:
            self._kept[name].trouble, self._kept[name].is_over = trouble, True

    async def _look(self, link: Link, one: _Kept) -> None:
        """Do what is due for one stream."""
        now_ns = self._clock.boot_ns()
        if one.is_streaming:
            if now_ns - max(one.heard_ns, one.started_ns) >= SILENT_S * NS_PER_S:
                self._rest(one, f"nothing came for {SILENT_S:.0f} s")
            return
        if one.started_ns:
            one.started_ns = 0
            self._rest(one, "the sensor stopped it")
        if one.is_over or now_ns < one.due_ns:
            return
        try:
            await self._bring_up(link, one)
        except FORESEEN as error:
            self._rest(one, _said(error))

    async def _bring_up(self, link: Link, one: _Kept) -> None:
        wanted, is_first, is_wanted = WANTED[one.name], one.stream is None, one.name in self._names
        asks = wanted.has_settings and is_wanted
        stream = one.stream = Stream(wanted.measurement, self._now_s(), has_settings=asks)
        await self._ask(link, stream)
        if stream.phase is Phase.READY and is_first:
            stream.stop(self._now_s())
            await self._ask(link, stream)
        if not is_wanted:
            one.is_over = True
            return
        settings = chosen(stream.offered, wanted.rate_hz)
        if stream.phase in (Phase.READY, Phase.STOPPED):
            stream.start(settings, self._now_s())
            await self._ask(link, stream)
        if stream.phase is not Phase.STREAMING:
            self._rest(one, _refusal(stream))
            return
        one.trouble, one.started_ns = None, self._clock.boot_ns()
        self._on_started(one.name, Started(settings, None if stream.unread else stream.factor))

    async def _ask(self, link: Link, stream: Stream) -> None:
        """Say what is to be said, and wait until it is answered, or will not be."""
        self._asked = stream
        payload = stream.take()
        if payload is not None:
            await link.write(uuids.PMD_CONTROL_POINT, payload)
        while stream.deadline_s is not None:
            await self._changes(stream.deadline_s)
            stream.on_time(self._now_s())

    def _rest(self, one: _Kept, trouble: str) -> None:
        """It does not run: it is tried again later."""
        if one.trouble != trouble:
            log.warning("%s: no %s: %s", self._sensor_id, one.name, trouble)
        one.trouble, one.started_ns = trouble, 0
        one.due_ns = self._clock.boot_ns() + round(one.pause_s * NS_PER_S)
        one.pause_s = min(2 * one.pause_s, PAUSE_S_MAX)
        if one.stream is not None and one.stream.phase is Phase.STREAMING:
            one.stream = None  # and is stopped before it is started again

    async def _pause(self) -> None:
        """Until something changes, or is due."""
        due = [one.due_ns for one in self._kept.values() if not one.is_streaming and not one.is_over]
        silent_ns = round(SILENT_S * NS_PER_S)
        due += [
            max(one.heard_ns, one.started_ns) + silent_ns for one in self._kept.values() if one.is_streaming
        ]
        await self._changes(min(due) / NS_PER_S if due else self._now_s() + SILENT_S)

    async def _changes(self, until_s: float) -> None:
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(rest_s(until_s, self._now_s())):
                await self._changed.wait()

    async def _stop_all(self, link: Link) -> None:
        """The link is about to be left. Nobody waits for answers: that the sensor has taken it is enough."""
        running = [one for one in self._kept.values() if one.stream is not None and not one.is_over]
        with suppress(*FORESEEN):
            async with asyncio.timeout(STOP_S):
                for one in running:
                    stop = polar.Request(polar.OpCode.STOP, WANTED[one.name].measurement)
                    await link.write(uuids.PMD_CONTROL_POINT, polar.REQUEST.encode(stop))
        self._asked = None
        for one in running:
            one.stream = None

    def _now_s(self) -> float:
        return self._clock.boot_ns() / NS_PER_S


def chosen(offered: Settings, rate_hz: int) -> dict[int, int]:
    """Of each setting that is offered one value: of rates the slowest that serves, of the rest the largest."""
    settings: dict[int, int] = {}
    for kind in _CHOSEN:
        values = sorted(value for value in offered.get(kind, ()) if isinstance(value, int))
        if values:
            enough = [value for value in values if kind is not Setting.SAMPLE_RATE_HZ or value >= rate_hz]
            settings[kind] = (enough or values)[0 if kind is Setting.SAMPLE_RATE_HZ and enough else -1]
    return settings


def _refusal(stream: Stream) -> str:
    if stream.status is None:
        return "the sensor did not answer"
    known = polar.Status._value2member_map_
    name = polar.Status(stream.status).name.lower().replace("_", " ") if stream.status in known else "unknown"
    return f"the sensor refused: {name} ({stream.status})"


def _said(error: Exception) -> str:
    trouble, detail = diagnose(error, CONVERSING)
    return one_line(f"{trouble.cause}: {detail}")
