"""A Polar sensor's side of the gateway: a heart strap, and what its streams add.

What comes of the Heart Rate Service goes to the strap as it is, but for a sensor that sends no intervals there and
streams pulse intervals: its packets get those, and the skin contact that comes with them, as if the sensor had sent
them so. Of ECG and acceleration figures are kept, not the samples; nothing of them is kept while the kernels are not
ready. The wearer is at rest by the acceleration, and by the heart rate where there is none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from dsp.arrays import as_f64
from dsp.cardiac.qrs import RATE_HZ_MAX, RATE_HZ_MIN
from edge.clock import NS_PER_S
from edge.config import SensorConfig
from edge.history.beats import Beats
from edge.now.rhythm_state import Taken
from edge.radio.inbox import Notification
from edge.radio.link import Link
from edge.sensors.heart_strap import HeartStrap
from edge.sensors.means import Means
from edge.sensors.polar.insight import Insight
from edge.sensors.polar.intervals import Intervals
from edge.sensors.polar.motion import EPOCH_S, Motion
from edge.sensors.polar.streams import WANTED, Started, Streams
from edge.sensors.sensor import SensorLive
from edge.store.raw_chunks import NO_BEAT
from edge.store.sensors import SensorRow
from edge.store.stream_figures import Figures
from protocols import heart_rate, polar, polar_live, uuids
from protocols.errors import DecodeError
from protocols.heart_rate import RrUnit
from protocols.polar import Frame, Setting
from protocols.polar_time import Chain

_NAMES: Final[Mapping[int, str]] = {wanted.measurement: name for name, wanted in WANTED.items()}


class Polar:
    """Takes in what a Polar sensor sends."""

    def __init__(self, config: SensorConfig, row: SensorRow, means: Means) -> None:
        strap = self._strap = HeartStrap(config, row, means)
        self.config, self.kind, self.stale_s = strap.config, strap.kind, strap.stale_s
        self.battery_pct: int | None = None
        self._row_no = row.no
        self._boot_no = means.timekeeper.boot_no
        self._store = means.store
        self._clock = means.clock
        self._kernels = means.kernels
        names = self.kind.streams if config.streams is None else config.streams
        self._streams = Streams(config.id, names, means.clock, self._on_started)
        self._insight = means.insights[config.id] = Insight(strap.rhythm)
        self._chains: dict[str, Chain] = {}
        self._motion = Motion()
        self._acceleration_factor: float | None = None
        self._intervals: Intervals | None = None
        self._figures = Figures()
        self._take = {
            uuids.PMD_CONTROL_POINT: self._take_answer,
            uuids.PMD_DATA: self._take_frame,
            uuids.HEART_RATE_MEASUREMENT: self._take_heart,
        }
        self._take_samples: dict[str, Callable[[Frame, Chain, int], None]] = {
            "ecg": self._take_ecg,
            "acc": self._take_motion,
            "ppi": self._take_intervals,
        }
        strap.on_beats = self._on_beats
        strap.on_flush = self._keep

    async def converse(self, link: Link) -> None:
        self._chains, self._intervals = {}, None
        await self._strap.converse(link)
        self.battery_pct = self._strap.battery_pct
        await self._streams.run(link)

    def take(self, notification: Notification) -> None:
        self._take[notification.characteristic](notification)

    def flush(self) -> None:
        self._strap.flush()

    def live(self) -> SensorLive:
        return self._strap.live()._replace(streams=self._streams.live())

    # Streams

    def _on_started(self, name: str, started: Started) -> None:
        rate_hz = started.settings.get(Setting.SAMPLE_RATE_HZ, 0) or WANTED[name].rate_hz or 1
        self._chains[name] = Chain(float(rate_hz))
        if name == "ppi":
            self._intervals = Intervals()
        elif name == "acc":
            self._acceleration_factor = started.factor
        elif name == "ecg" and RATE_HZ_MIN <= rate_hz <= RATE_HZ_MAX:
            self._insight.begin_ecg(float(rate_hz))

    def _take_answer(self, notification: Notification) -> None:
        self._streams.on_indication(notification.payload)

    def _take_frame(self, notification: Notification) -> None:
        frame = polar.FRAME.decode(notification.payload)
        name = _NAMES.get(frame.measurement)
        if name is None:
            raise DecodeError("PMD Data", notification.payload, "nobody asked for this measurement")
        chain = self._chains.get(name)
        if chain is not None:
            self._take_samples[name](frame, chain, notification.boot_ns)
            self._streams.on_frame(name, notification.boot_ns)

    def _take_ecg(self, frame: Frame, chain: Chain, boot_ns: int) -> None:
        samples = polar_live.samples(frame)
        timed = chain.take(frame.timestamp_ns, len(samples))
        if self._kernels.is_ready:
            self._add(self._insight.take_ecg(as_f64(samples[:, 0]), timed, boot_ns))

    def _take_motion(self, frame: Frame, chain: Chain, boot_ns: int) -> None:
        if self._acceleration_factor is None:
            return
        samples_mg = polar_live.scaled(frame, self._acceleration_factor)
        for deviation_mg in self._motion.take(samples_mg, chain.take(frame.timestamp_ns, len(samples_mg))):
            is_still = self._insight.take_motion(deviation_mg, boot_ns)
            if is_still is not None:
                self._add(Figures(motion_s=EPOCH_S, still_s=EPOCH_S * is_still))

    def _take_intervals(self, frame: Frame, _chain: Chain, _boot_ns: int) -> None:
        if self._intervals is not None:
            self._intervals.take(polar_live.samples(frame))

    # Heart rate

    def _take_heart(self, notification: Notification) -> None:
        if self._intervals is not None:
            notification = notification._replace(
                payload=self._completed(notification.payload, self._intervals)
            )
        self._strap.take(notification)

    def _completed(self, payload: bytes, intervals: Intervals) -> bytes:
        """A packet without intervals with those of the stream."""
        reading, oddities = heart_rate.decode_lenient(payload)
        if reading.rr_ticks is not None or oddities:
            return payload
        run = intervals.next_run()
        if run is not None and not run.follows:
            self._strap.begin_chain()
        contact = intervals.contact if reading.contact is None else reading.contact
        ticks = tuple(run.ticks) if run is not None else None
        return heart_rate.encode(replace(reading, contact=contact, rr_ticks=ticks))

    def _on_beats(self, packets: Sequence[Taken], unit: RrUnit) -> None:
        beats = Beats(unit)
        for arrival_ns, last_beat_ns, reading in packets:
            if last_beat_ns != NO_BEAT and reading.rr_ticks:
                beats.add(reading.rr_ticks, arrival_ns, last_beat_ns)
        self._add(
            self._insight.take_beats(
                [(t_ns / NS_PER_S, rr_ms) for t_ns, rr_ms in zip(beats.t_ns, beats.rr_ms, strict=True)]
            )
        )

    # Figures

    def _add(self, figures: Figures) -> None:
        self._figures = self._figures.plus(figures)

    def _keep(self) -> None:
        """What was seen goes to the store, together with packets of that time."""
        figures, self._figures = self._figures, Figures()
        if figures == Figures():
            return
        no, boot_no, boot_ns = self._row_no, self._boot_no, self._clock.boot_ns()
        self._store.post(
            lambda tables: tables.stream_figures.put(no, boot_no, boot_ns, figures),
            otherwise=partial(self._add, figures),
        )
