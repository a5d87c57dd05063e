"""The client's procedure on a Polar control point, without I/O: ask for settings, start, stop.

Contract: the procedure is told what was indicated and when, and tells what to write (`to_write`), until when
it waits (`deadline_s`), and where it is (`phase`). A stream that is already in the state asked for is in it.
Features are read, notifications enabled and an MTU of at least 232 settled before it begins; devices refuse
otherwise.

Source: Polar Measurement Data Specification 1.0; public Polar BLE SDK.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from protocols import polar
from protocols.polar import Message, OpCode, Request, Setting, Status

TIMEOUT_S: Final = 30.0
PARTS_MAX: Final = 16
"""So many indications may make up one response; a device that never ends is not waited for."""


class Phase(Enum):
    """Where a stream is."""

    QUERYING = auto()
    READY = auto()
    STARTING = auto()
    STREAMING = auto()
    STOPPING = auto()
    STOPPED = auto()
    FAILED = auto()


class Event(Enum):
    """What can happen to a stream."""

    SUCCESS = auto()
    ALREADY = auto()
    REFUSAL = auto()
    START = auto()
    STOP = auto()
    STOPPED_BY_DEVICE = auto()
    SILENCE = auto()


TABLE: Final[Mapping[Phase, Mapping[Event, Phase]]] = {
    Phase.QUERYING: {
        Event.SUCCESS: Phase.READY,
        Event.REFUSAL: Phase.FAILED,
        Event.SILENCE: Phase.FAILED,
    },
    Phase.READY: {Event.START: Phase.STARTING, Event.STOP: Phase.STOPPING},
    Phase.STARTING: {
        Event.STOP: Phase.STOPPING,
        Event.SUCCESS: Phase.STREAMING,
        Event.ALREADY: Phase.STREAMING,
        Event.REFUSAL: Phase.FAILED,
        Event.SILENCE: Phase.FAILED,
        Event.STOPPED_BY_DEVICE: Phase.STOPPED,
    },
    Phase.STREAMING: {Event.STOP: Phase.STOPPING, Event.STOPPED_BY_DEVICE: Phase.STOPPED},
    # Until it has answered, a device that was told to stop may still send, and must not be left on.
    Phase.STOPPING: {
        Event.SUCCESS: Phase.STOPPED,
        Event.ALREADY: Phase.STOPPED,
        Event.REFUSAL: Phase.FAILED,
        Event.SILENCE: Phase.FAILED,
        Event.STOPPED_BY_DEVICE: Phase.STOPPED,
    },
    Phase.STOPPED: {Event.START: Phase.STARTING, Event.STOP: Phase.STOPPING},
    Phase.FAILED: {Event.STOP: Phase.STOPPING},
}
_OP_IN_FLIGHT: Final = {
    Phase.QUERYING: OpCode.GET_SETTINGS,
    Phase.STARTING: OpCode.START,
    Phase.STOPPING: OpCode.STOP,
}


class Stream:
    """One kind of measurement of one device, from asking for its settings on.

    Attributes:
        phase: where it is.
        to_write: what to write now; None when nothing is due. Taken with `take`.
        offered: the settings the device offers, once READY.
        factor: of the samples, as the device gave it when it started.
        unread: why the settings of that answer could not be read to the end, so that a factor may be unknown.
        status: the device's reason for FAILED; None if it kept silent.
        deadline_s: when to call `on_time`; None while nothing is awaited.
    """

    def __init__(self, measurement: int, now_s: float, *, has_settings: bool = True) -> None:
        """What has no settings, as pulse intervals, is not asked for them: it is READY."""
        self._measurement = measurement
        self._parameters = b""
        self._parts = 0
        self.phase = Phase.QUERYING if has_settings else Phase.READY
        self.offered: polar.Settings = {}
        self.factor = 1.0
        self.unread: str | None = None
        self.status: int | None = None
        self.to_write: bytes | None = self._request(OpCode.GET_SETTINGS) if has_settings else None
        self.deadline_s: float | None = now_s + TIMEOUT_S if has_settings else None

    def take(self) -> bytes | None:
        """What to write now, once."""
        payload, self.to_write = self.to_write, None
        return payload

    def start(self, settings: Mapping[int, int], now_s: float) -> None:
        """Have the device stream with one value of each kind of setting that it offers.

        Raises:
            ValueError: it is not the time to, or the settings cannot be expressed.
        """
        payload = self._request(OpCode.START, polar.encode_settings(settings))
        self._ask(Event.START, payload, now_s)

    def stop(self, now_s: float) -> None:
        """Have the device stop, which saves its battery; also before leaving it.

        Raises:
            ValueError: it is not the time to.
        """
        self._ask(Event.STOP, self._request(OpCode.STOP), now_s)

    def on_indication(self, payload: bytes, now_s: float) -> None:
        """The control point indicated something; what is about other measurements is none of our business.

        Raises:
            DecodeError: nothing that a device says, or offered settings that cannot be read: they may be said again.
        """
        if payload[:1] == bytes([Message.STREAM_STOPPED]):
            if self._measurement in polar.STREAM_STOPPED.decode(payload).measurements:
                self._take(Event.STOPPED_BY_DEVICE)
            return
        response = polar.decode_response(payload)
        is_ours = response.measurement == self._measurement and not response.offline
        if not is_ours or response.op != _OP_IN_FLIGHT.get(self.phase):
            return
        self._parts += 1
        self._parameters += response.parameters
        if response.status == Status.SUCCESS and response.more and self._parts < PARTS_MAX:
            self.deadline_s = now_s + TIMEOUT_S
            return
        parameters, self._parameters, self._parts = self._parameters, b"", 0
        if response.status == Status.SUCCESS:
            self._note(parameters)
            self._take(Event.SUCCESS)
        elif response.status == Status.ALREADY_IN_STATE:
            self._take(Event.ALREADY)
        else:
            self.status = response.status
            self._take(Event.REFUSAL)

    def on_time(self, now_s: float) -> None:
        """Time has passed; nothing happens before the deadline."""
        if self.deadline_s is not None and now_s >= self.deadline_s:
            self._take(Event.SILENCE)

    def _request(self, op: OpCode, parameters: bytes = b"") -> bytes:
        return polar.REQUEST.encode(Request(op, self._measurement, parameters=parameters))

    def _ask(self, event: Event, payload: bytes, now_s: float) -> None:
        if event not in TABLE[self.phase]:
            raise ValueError(f"A stream that is {self.phase.name} cannot {event.name}.")
        self.phase = TABLE[self.phase][event]
        self._parameters, self._parts, self.status = b"", 0, None
        self.to_write, self.deadline_s = payload, now_s + TIMEOUT_S

    def _take(self, event: Event) -> None:
        step = TABLE[self.phase].get(event)
        if step is not None:
            self.phase, self.deadline_s = step, None

    def _note(self, parameters: bytes) -> None:
        if self.phase is Phase.QUERYING:
            self.offered = polar.decode_settings(parameters)
            return
        # A device that says that it has started has started, whatever it says beside that.
        settings, self.unread = polar.read_settings(parameters)
        factors = settings.get(Setting.FACTOR, ())
        if factors and isinstance(factors[0], float):
            self.factor = factors[0]
