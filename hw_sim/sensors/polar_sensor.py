"""A Polar sensor: a heart strap with Polar Measurement Data (PMD) beside it, in the form of an H10 or an OH1.

A stream runs from its start until it is stopped, whether or not anybody is connected, and keeps the sensor on. What it
measures while nobody listens is lost. As real ones do, it refuses a control point that is written before its
indications and the data's notifications are enabled, a start over a link with a small MTU, and a start of what runs
already. The form of an OH1 sends no intervals with its rate, and a rate off the skin, too; its rate stands still while
the wearer moves; its pulse intervals come 25 s after their start.

Must not be here: what is felt (`polar_signals`), and where the beats come from.
"""

import asyncio
import struct
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np
from bumble.att import ATT_Error, Attribute, AttributeValue
from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import Characteristic, Service
from numpy.typing import NDArray

from hw_sim.radio.sensor_air import SensorAir
from hw_sim.sensors.cgm_sensor import ERROR_CCCD_IMPROPERLY_CONFIGURED, ERROR_INVALID_LENGTH
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from hw_sim.sensors.peripheral import Permissions, Properties
from hw_sim.sensors.polar_signals import BeatTimes, Moves, acceleration_mg, delta_frame, ecg_uv, still
from protocols import heart_rate, polar, uuids
from protocols.errors import DecodeError
from protocols.polar import MeasurementType, Message, OpCode, Setting, Status

MTU_MIN: Final = 232
PPI_AFTER_S: Final = 25.0
PPI_PERIOD_S: Final = 5.0
PPI_ERROR_MS: Final = 8
_BLOCKER, _CONTACT, _CONTACT_SUPPORTED = 1, 2, 4
# What its clock shows when the loop's time is 0: it was set some day, and not by the gateway.
_CLOCK_NS: Final = 599_616_017 * 10**9 + 123_456_789
_INTEGER: Final = {
    Setting.SAMPLE_RATE_HZ: 2,
    Setting.RESOLUTION_BITS: 2,
    Setting.RANGE: 2,
    Setting.CHANNELS: 1,
}


@dataclass(frozen=True, slots=True)
class Form:
    """A model.

    Attributes:
        model: its name.
        settings: of each measurement that it streams, what it offers.
        has_intervals: whether its Heart Rate Service sends RR intervals.
        factor: of its acceleration, which is delta-compressed; None: it sends milli-g as they are.
    """

    model: str
    settings: Mapping[int, Mapping[int, tuple[int, ...]]]
    has_intervals: bool
    factor: float | None


H10: Final = Form(
    "Polar H10 (simulated)",
    {
        MeasurementType.ECG: {Setting.SAMPLE_RATE_HZ: (130,), Setting.RESOLUTION_BITS: (14,)},
        MeasurementType.ACCELERATION: {
            Setting.SAMPLE_RATE_HZ: (200, 100, 50, 25),
            Setting.RESOLUTION_BITS: (16,),
            Setting.RANGE: (2, 4, 8),
        },
    },
    has_intervals=True,
    factor=None,
)
OH1: Final = Form(
    "Polar OH1 (simulated)",
    {
        MeasurementType.ACCELERATION: {
            Setting.SAMPLE_RATE_HZ: (52,),
            Setting.RESOLUTION_BITS: (16,),
            Setting.RANGE: (8,),
            Setting.CHANNELS: (3,),
        },
        MeasurementType.PULSE_INTERVAL: {},
    },
    has_intervals=False,
    factor=0.244140625,
)


class PolarSensor(HeartRateStrap):
    """Worn as a strap is.

    Truth: `running` are the measurements that stream, whether or not anybody listens; `beat_times` when the beats are,
    in s since it was put on; `refused` counts the requests that it refused, by status; `is_on_skin` may be changed.
    """

    def __init__(
        self,
        air: SensorAir,
        address: str,
        beats: Iterator[float],
        *,
        begin_s: float,
        form: Form = H10,
        moves: Moves = still,
        seed: int = 0,
        true_rates_hz: Mapping[int, float] | None = None,
        splits_settings: bool = False,
        clock_steps_back: bool = False,
    ) -> None:
        """`true_rates_hz`: of measurements whose rate is not what the sensor says, as a Verity Sense's 55 Hz are for
        135. With `splits_settings` they come in two indications. With `clock_steps_back` its clock is set back by an
        hour a minute after the start."""
        self.beat_times = BeatTimes(beats)
        self.running: dict[int, asyncio.Task[None]] = {}
        self.refused: dict[int, int] = {}
        self.is_on_skin = True
        self._form = form
        self._moves = moves
        self._seed = seed
        self._true_rates_hz = {MeasurementType.ECG: 130.16, **(true_rates_hz or {})}
        self._splits_settings = splits_settings
        self._clock_steps_back = clock_steps_back
        self._frozen_bpm = 0
        self._tasks: set[asyncio.Task[None]] = set()
        super().__init__(air, address, self.beat_times, begin_s=begin_s)
        self._point = Characteristic[bytes](
            UUID(uuids.PMD_CONTROL_POINT),
            Properties.READ | Properties.WRITE | Properties.INDICATE,
            Permissions.READABLE | Permissions.WRITEABLE,
            AttributeValue(read=lambda _: self._features(), write=self._on_request),
        )
        self._data = Characteristic[bytes](UUID(uuids.PMD_DATA), Properties.NOTIFY, Attribute.Permissions(0))
        self.device.add_services((Service(UUID(uuids.PMD_SERVICE), [self._point, self._data]),))

    async def stop(self) -> None:
        for task in (*self.running.values(), *self._tasks):
            if task.done() and not task.cancelled():
                task.result()  # a defect of this simulator is no silence of the sensor
            task.cancel()
        self.running.clear()
        await super().stop()

    # Heart rate

    def _packet(self, link: Connection, t_s: float) -> heart_rate.HeartRateMeasurement:
        packet = super()._packet(link, t_s)
        if self._form.has_intervals:
            return replace(packet, contact=None)
        if not self._moves(t_s) or not self._frozen_bpm:
            self._frozen_bpm = packet.heart_rate_bpm or self._frozen_bpm
        self.carried.clear()
        return heart_rate.HeartRateMeasurement(self._frozen_bpm)

    # The control point

    def _features(self) -> bytes:
        bits = sum(1 << measurement for measurement in self._form.settings)
        return polar.FEATURES.encode(polar.Features(Message.FEATURES, bits.to_bytes(2, "little")))

    def _on_request(self, link: Connection, payload: bytes) -> None:
        if not all(link in self.subscribed(each) for each in (self._point, self._data)):
            raise ATT_Error(ERROR_CCCD_IMPROPERLY_CONFIGURED)
        try:
            request = polar.REQUEST.decode(payload)
        except DecodeError as error:
            raise ATT_Error(ERROR_INVALID_LENGTH) from error
        status, parameters = self._answer(link, request)
        if status is not Status.SUCCESS:
            self.refused[status] = self.refused.get(status, 0) + 1
        parts = [parameters]
        if self._splits_settings and len(parameters) > 1:
            parts = [parameters[:5], parameters[5:]]
        head = bytes([Message.RESPONSE, request.op, request.measurement, status])
        answers = [head + bytes([n + 1 < len(parts)]) + part for n, part in enumerate(parts)]
        self._spawn(self._say(link, answers))

    def _answer(self, link: Connection, request: polar.Request) -> tuple[Status, bytes]:
        offered = self._form.settings.get(request.measurement)
        if offered is None:
            return Status.NOT_SUPPORTED, b""
        if request.op == OpCode.GET_SETTINGS:
            return Status.SUCCESS, _encoded(offered)
        if request.op == OpCode.START:
            return self._start(link, request, offered)
        if request.op == OpCode.STOP:
            task = self.running.pop(request.measurement, None)
            if task is None:
                return Status.ALREADY_IN_STATE, b""
            task.cancel()
            return Status.SUCCESS, b""
        return Status.INVALID_OP_CODE, b""

    def _start(
        self, link: Connection, request: polar.Request, offered: Mapping[int, tuple[int, ...]]
    ) -> tuple[Status, bytes]:
        if link.att_mtu < MTU_MIN:
            return Status.INVALID_MTU, b""
        if request.measurement in self.running:
            return Status.ALREADY_IN_STATE, b""
        try:
            asked = polar.decode_settings(request.parameters)
        except DecodeError:
            return Status.INVALID_PARAMETER, b""
        if set(asked) != set(offered) or any(
            len(asked[kind]) != 1 or asked[kind][0] not in offered[kind] for kind in offered
        ):
            return Status.INVALID_PARAMETER, b""
        named_hz = float(cast("int", asked[Setting.SAMPLE_RATE_HZ][0])) if offered else 0.0
        rate_hz = self._true_rates_hz.get(request.measurement, named_hz)
        self.running[request.measurement] = asyncio.create_task(
            self._streams[request.measurement](self, rate_hz)
        )
        is_scaled = request.measurement == MeasurementType.ACCELERATION and self._form.factor is not None
        factor = struct.pack("<BBf", Setting.FACTOR, 1, self._form.factor) if is_scaled else b""
        return Status.SUCCESS, factor

    def stop_stream(self, measurement: int) -> None:
        """Stop a stream by itself, and say so."""
        self.running.pop(measurement).cancel()
        for link in self.subscribed(self._point):
            self._spawn(self._say(link, [bytes([Message.STREAM_STOPPED, measurement])]))

    async def _say(self, link: Connection, payloads: list[bytes]) -> None:
        for payload in payloads:
            await self.indicate(link, self._point, payload)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def say_data(self, payload: bytes) -> None:
        """Notify whoever listens to its streams of something else."""
        for link in self.subscribed(self._data):
            self.notify(link, self._data, payload)

    # Streams

    async def _stream_frames(
        self, measurement: int, rate_hz: float, count: int, frame_type: int, content: Callable[..., bytes]
    ) -> None:
        """Frames of so many samples, each sent when its last sample was taken."""
        loop = asyncio.get_running_loop()
        start_s, taken = loop.time(), 0
        while True:
            taken += count
            last_s = start_s + (taken - 1) / rate_hz
            await asyncio.sleep(last_s - loop.time())
            at_s = start_s + (np.arange(taken - count, taken)) / rate_hz - self._begin_s
            self._send_frame(measurement, last_s, frame_type, content(at_s), since_s=last_s - start_s)

    def _send_frame(
        self, measurement: int, last_s: float, frame_type: int, content: bytes, *, since_s: float
    ) -> None:
        stepped_s = 3600.0 if self._clock_steps_back and since_s > 60.0 else 0.0
        stamp_ns = _CLOCK_NS + round((last_s - stepped_s) * 1e9)
        head = bytes([measurement]) + stamp_ns.to_bytes(8, "little") + bytes([frame_type])
        if not self.is_silent:
            self.say_data(head + content)

    async def _ecg(self, rate_hz: float) -> None:
        def content(at_s: NDArray[np.float64]) -> bytes:
            samples = ecg_uv(self.beat_times, at_s, self._seed).tolist()
            return b"".join(value.to_bytes(3, "little", signed=True) for value in samples)

        await self._stream_frames(MeasurementType.ECG, rate_hz, 73, 0, content)

    async def _acceleration(self, rate_hz: float) -> None:
        factor = self._form.factor

        def content(at_s: NDArray[np.float64]) -> bytes:
            rows = acceleration_mg(self._moves, at_s, self._seed)
            if factor is None:
                return rows.astype("<i2").tobytes()
            return delta_frame(np.rint(rows / factor).astype(np.int64).tolist(), 2)

        frame_type = 1 if factor is None else 0x81
        await self._stream_frames(MeasurementType.ACCELERATION, rate_hz, 36, frame_type, content)

    async def _pulse_intervals(self, _: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(PPI_AFTER_S)
        from_s = loop.time() - self._begin_s
        while True:
            await asyncio.sleep(PPI_PERIOD_S)
            now_s = loop.time() - self._begin_s
            beats_s, from_s = self.beat_times.between(from_s, now_s), now_s
            content = b"".join(map(self._pulse_interval, beats_s))
            if content:
                self._send_frame(MeasurementType.PULSE_INTERVAL, loop.time(), 0, content, since_s=0.0)

    def _pulse_interval(self, beat_s: float) -> bytes:
        earlier = self.beat_times.between(beat_s - 5.0, beat_s)
        interval_ms = round(1000 * (beat_s - earlier[-1])) if earlier else 0
        flags = _CONTACT_SUPPORTED | (_CONTACT if self.is_on_skin else 0)
        is_moving = bool(self._moves(beat_s))
        rate_bpm = min(round(60_000 / interval_ms), 255) if interval_ms else 0
        error_ms = 100 if is_moving else PPI_ERROR_MS
        return struct.pack("<BHHB", rate_bpm, interval_ms, error_ms, flags | (_BLOCKER if is_moving else 0))

    _streams: Final[Mapping[int, Callable[["PolarSensor", float], Coroutine[Any, Any, None]]]] = {
        MeasurementType.ECG: _ecg,
        MeasurementType.ACCELERATION: _acceleration,
        MeasurementType.PULSE_INTERVAL: _pulse_intervals,
    }


def _encoded(offered: Mapping[int, tuple[int, ...]]) -> bytes:
    return b"".join(
        bytes([kind, len(values)])
        + b"".join(value.to_bytes(_INTEGER[Setting(kind)], "little") for value in values)
        for kind, values in offered.items()
    )
