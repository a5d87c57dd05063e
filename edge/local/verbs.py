"""What the gateway's socket can be asked: each request with its form and the function that answers it.

Contract: an answer is a line, or several. `watch` answers with the status now and then, and with each event of an alert
at once, as {"alert": ...}: a client that has read the line has been told. A request that cannot be met is answered with
{"error": {"cause": ..., "remedy": ...}}. What the answers say is not decided here.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager, aclosing
from typing import Annotated, Any, Final, NamedTuple, Protocol

import msgspec
from msgspec import Meta, Struct

from edge.alerts.channels import Listener
from edge.alerts.delivery import Result
from edge.alerts.message import Message
from edge.alerts.snooze import Refusal as SnoozeRefusal
from edge.errors import StoreCorrupt, StoreUnavailable
from edge.local.status import AlertStatus, PairingStatus, SnoozeStatus, StatusDocument


class AlertList(Struct, frozen=True):
    """The alerts that have not ended, and the snoozes."""

    alerts: list[AlertStatus]
    snoozes: list[SnoozeStatus]


class Served(Protocol):
    """What the socket needs of the gateway."""

    async def status(self) -> StatusDocument:
        """The status document of this moment."""
        ...

    def listen(self) -> AbstractContextManager[Listener]:
        """Be told what happens to alerts."""
        ...

    def alert_list(self) -> AlertList: ...

    def snooze(
        self, rule: str, sensor: str | None, for_s: float, unless: float | None
    ) -> SnoozeRefusal | None:
        """Begin a snooze, or end it if it is for no time; why not, if it cannot be."""
        ...

    def acknowledge(self, rule: str, sensor: str) -> SnoozeRefusal | None:
        """Take note of an alert; why not, if it cannot be."""
        ...

    async def test_alerts(self) -> list[Result]:
        """What came of telling a test on each channel."""
        ...

    def pair(self, sensor: str, passkey: int | None) -> AsyncGenerator[Struct, None]:
        """Pair a sensor anew: news, and at the end `Paired` or a refusal."""
        ...

    def tell_passkey(self, sensor: str, passkey: int) -> Struct:
        """Answer a sensor that waits for its passkey; news, or a refusal."""
        ...

    def recorded(self) -> AsyncGenerator[Struct, None]:
        """What is heard from now on, and what time it is."""
        ...

    async def calibrate(self, sensor: str, glucose_mg_dl: float, reason: str) -> "Calibration | Refusal":
        """Have a sensor calibrate itself; what became of it, or why it was not asked to."""
        ...


class Plain(Struct, frozen=True, forbid_unknown_fields=True):
    """A request without arguments."""

    do: str


class Watch(Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for the status now and then every `every_s` seconds, until the client disconnects."""

    do: str
    every_s: Annotated[float, Meta(ge=0.2, le=3600.0)] = 1.0


class Ack(Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody takes note of an alert."""

    do: str
    alert: str
    sensor: str


class SnoozeAlert(Struct, frozen=True, forbid_unknown_fields=True):
    """An alert is to tell nobody for so long, of one sensor or of all; 0 ends the snooze.

    `unless` is a value, in the unit of the alert, that breaks it.
    """

    do: str
    alert: str
    for_s: Annotated[float, Meta(ge=0.0, le=86_400.0)]
    sensor: str | None = None
    unless: float | None = None


SixDigits = Annotated[str, Meta(pattern=r"\A[0-9]{6}\Z")]


class Pair(Struct, frozen=True, forbid_unknown_fields=True):
    """A person asks to pair a sensor now; without a passkey, with that of the configuration, or one told meanwhile."""

    do: str
    sensor: str
    passkey: SixDigits | None = None


class Passkey(Struct, frozen=True, forbid_unknown_fields=True):
    """The passkey for which a sensor waits that is being paired."""

    do: str
    sensor: str
    passkey: SixDigits


class PairingNews(Struct, frozen=True):
    """What happens while a sensor is paired."""

    sensor: str
    phase: str
    pairing: PairingStatus


class Paired(Struct, frozen=True):
    """A sensor is paired; `made` is by passkey, or just works."""

    paired: str
    made: str | None


class Calibrate(Struct, frozen=True, forbid_unknown_fields=True):
    """A person has measured glucose in blood just now, and a sensor is to calibrate itself by it."""

    do: str
    sensor: str
    glucose_mg_dl: Annotated[float, Meta(ge=20.0, le=600.0)]
    reason: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]


class Calibration(Struct, frozen=True):
    """What became of a calibration.

    `result` is accepted, pending, rejected, out of range or unsure. `next_in_min` is null if none is due any more, or
    the sensor does not tell.
    """

    sensor: str
    glucose_mg_dl: float
    result: str
    record_number: int | None
    next_in_min: int | None


class Told(Struct, frozen=True):
    """An event of an alert, as it happens."""

    alert: Message


class ChannelTest(Struct, frozen=True):
    """What came of a test of a channel; `trouble` is null if it told it."""

    channel: str
    trouble: str | None


class Tested(Struct, frozen=True):
    """What came of a test of the channels."""

    channels: list[ChannelTest]


class Error(Struct, frozen=True):
    """Why a request was not answered."""

    cause: str
    remedy: str


class Refusal(Struct, frozen=True):
    """The answer to such a request."""

    error: Error


class Verb(NamedTuple):
    """A request that clients may make: its form, and the function that answers it, with a line for each item."""

    request: type[Struct]
    answer: Callable[[Served, Any], AsyncGenerator[Struct, None]]


async def _status(served: Served, _: Plain) -> AsyncGenerator[Struct, None]:
    yield await served.status()


async def _watch(served: Served, request: Watch) -> AsyncGenerator[Struct, None]:
    loop = asyncio.get_running_loop()
    with served.listen() as listener:
        while True:
            yield await served.status()
            next_s = loop.time() + request.every_s
            while (left_s := next_s - loop.time()) > 0.0:
                async with aclosing(listener.until(left_s)) as messages:
                    async for message in messages:
                        yield Told(message)


async def _alerts(served: Served, _: Plain) -> AsyncGenerator[Struct, None]:
    yield served.alert_list()


async def _snooze(served: Served, request: SnoozeAlert) -> AsyncGenerator[Struct, None]:
    yield _done(served, served.snooze(request.alert, request.sensor, request.for_s, request.unless))


async def _ack(served: Served, request: Ack) -> AsyncGenerator[Struct, None]:
    yield _done(served, served.acknowledge(request.alert, request.sensor))


def _done(served: Served, refused: SnoozeRefusal | None) -> Struct:
    """What stands now, or why nothing was done."""
    if refused is None:
        return served.alert_list()
    cause, _, remedy = refused.value.partition("; ")
    return Refusal(Error(cause, remedy or "`vitalgate alert list` shows what stands"))


async def _test(served: Served, _: Plain) -> AsyncGenerator[Struct, None]:
    yield Tested([ChannelTest(*result) for result in await served.test_alerts()])


async def _pair(served: Served, request: Pair) -> AsyncGenerator[Struct, None]:
    passkey = None if request.passkey is None else int(request.passkey)
    async with aclosing(served.pair(request.sensor, passkey)) as lines:
        async for line in lines:
            yield line


async def _passkey(served: Served, request: Passkey) -> AsyncGenerator[Struct, None]:
    yield served.tell_passkey(request.sensor, int(request.passkey))


async def _calibrate(served: Served, request: Calibrate) -> AsyncGenerator[Struct, None]:
    yield await served.calibrate(request.sensor, request.glucose_mg_dl, request.reason)


async def _record(served: Served, _: Plain) -> AsyncGenerator[Struct, None]:
    async with aclosing(served.recorded()) as lines:
        async for line in lines:
            yield line


VERBS: Final[Mapping[str, Verb]] = {
    "status": Verb(Plain, _status),
    "watch": Verb(Watch, _watch),
    "alerts": Verb(Plain, _alerts),
    "snooze": Verb(SnoozeAlert, _snooze),
    "ack": Verb(Ack, _ack),
    "test": Verb(Plain, _test),
    "pair": Verb(Pair, _pair),
    "passkey": Verb(Passkey, _passkey),
    "record": Verb(Plain, _record),
    "calibrate": Verb(Calibrate, _calibrate),
}


class _Envelope(Struct, frozen=True):
    do: str


async def answers(served: Served, line: bytes) -> AsyncGenerator[Struct, None]:
    """The answers to one request."""
    try:
        verb = VERBS.get(msgspec.json.decode(line, type=_Envelope).do)
        if verb is None:
            yield Refusal(Error("nothing of that name can be asked", f"ask for one of: {', '.join(VERBS)}"))
            return
        request = msgspec.json.decode(line, type=verb.request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        yield Refusal(Error(f"not a request: {fault}", 'send a line of JSON like {"do": "status"}'))
        return
    try:
        async with aclosing(verb.answer(served, request)) as lines:
            async for answer in lines:
                yield answer
    except (StoreUnavailable, StoreCorrupt) as fault:
        yield Refusal(Error(fault.reason, "mend the disk; the gateway goes on meanwhile"))
