"""A device that is off until somebody uses it: then it measures, advertises for a while, delivers, and hangs up.

Contract: it measures whether or not anybody is near. What was delivered is forgotten, or not, as its quirks say; a
measurement counts as delivered when its last indication was confirmed. Its clock shows what it shows: whoever reads a
stamp has to know by how much that is wrong.

Truth: `taken` are all measurements, with the moment in the loop's time and what the device's clock showed.

Not here: what is measured and how it is put into packets (the kinds).
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final, NamedTuple

from bumble.att import ATT_Error, AttributeValue
from bumble.core import UUID, BaseBumbleError
from bumble.device import Connection
from bumble.gatt import Characteristic, Service

from hw_sim.radio.sensor_air import SensorAir
from hw_sim.sensors.peripheral import ENCRYPTED, Peripheral, Permissions, Properties, uuid16
from protocols import caresens, current_time, date_time, uuids
from protocols.current_time import CurrentTime
from protocols.date_time import DateTime
from protocols.errors import DecodeError

MIDNIGHT_UTC_S: Final = round(datetime(2026, 3, 2, tzinfo=UTC).timestamp())
"""What a right clock shows at the midnight of the home."""
CARESENS_SERVICE: Final = "c4dea010-5a9d-11e9-8647-d663bd873d93"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_READY_S, _LOOK_S = 30.0, 0.1
_ERROR_OUT_OF_RANGE: Final = 0xFF
_OPEN: Final = Permissions.READABLE | Permissions.WRITEABLE


class ClockWay(Enum):
    """Which characteristic its clock is."""

    NONE = "it has none that others can reach"
    CURRENT_TIME = "2A2B"
    DATE_TIME = "2A08, in the service itself"
    CARESENS = "the maker's own, which can only be written"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """What a device does.

    Attributes:
        clock: how its clock is reached.
        clock_wrong_s: what its clock shows, less the right time.
        is_stamped: whether it sends when it measured.
        needs_bond: it tells nothing over a link that is not encrypted.
        needs_time: it tells nothing before it is told the time over the link.
        redelivers: it sends everything that it has each time, instead of what is new.
        advertises_s: for how long after a use.
        lingers_s: it hangs up so long after it has delivered; None: it waits for the other side.
    """

    clock: ClockWay = ClockWay.CURRENT_TIME
    clock_wrong_s: int = 0
    is_stamped: bool = True
    needs_bond: bool = False
    needs_time: bool = False
    redelivers: bool = False
    advertises_s: float = 60.0
    lingers_s: float | None = 1.0

    @property
    def permissions(self) -> Permissions:
        return ENCRYPTED if self.needs_bond else _OPEN


class Use(NamedTuple):
    """Somebody measures, at a moment of the loop's time: values by their names, and which user of the device it is."""

    at_s: float
    values: Mapping[str, float]
    user: int | None = None


class Taken(NamedTuple):
    """A measurement: when it was, what the device's clock showed in seconds, and the number that the device gave it."""

    at_s: float
    shown_s: int
    number: int
    values: Mapping[str, float]
    user: int | None


class Packet(NamedTuple):
    """What is sent, and how."""

    characteristic: Characteristic[bytes]
    payload: bytes


@dataclass
class _Contact:
    """A link, and what the other side has done over it."""

    link: Connection
    has_told_time: bool = False
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)


class SpotDevice(Peripheral):
    """Used at the moments of `uses`, and whenever `use` is called."""

    def __init__(
        self,
        air: SensorAir,
        address: str,
        model: str,
        service: Service,
        uses: Iterable[Use],
        *,
        begin_s: float,
        quirks: Quirks,
        others: Sequence[Service] = (),
        battery_pct: int = 100,
        passkey: int | None = None,
    ) -> None:
        """`others` are services beside the one that it advertises."""
        self.taken: list[Taken] = []
        self.quirks = quirks
        self.clock_wrong_s = quirks.clock_wrong_s
        self.times_told: list[int] = []
        self._uses = uses
        self._begin_s = begin_s
        self._undelivered: list[Taken] = []
        self._on_until_s = 0.0
        self._contact: _Contact | None = None
        clocks = self._clock_services(service)
        super().__init__(air, address, model, service, battery_pct=battery_pct, passkey=passkey)
        for other in (*others, *clocks):
            self._protect(other)
        self.device.add_services((*others, *clocks))

    # What the kinds say

    def packets(self, taken: Taken) -> list[Packet]:
        """How a measurement is told."""
        raise NotImplementedError

    def is_ready(self, link: Connection) -> bool:
        """Whether the other side has done what it needs to deliver."""
        subscribable = Properties.NOTIFY | Properties.INDICATE
        data = [one for one in self._data if one.properties & subscribable]
        return all(link in self.subscribed(one) for one in data)

    _data: Sequence[Characteristic[bytes]] = ()

    # Time

    def shown_s(self, at_s: float | None = None) -> int:
        """What its clock shows, in seconds."""
        now_s = asyncio.get_running_loop().time() if at_s is None else at_s
        return int(MIDNIGHT_UTC_S + now_s - self._begin_s) + self.clock_wrong_s

    def date_time(self, shown_s: int) -> DateTime:
        moment = _EPOCH + timedelta(seconds=shown_s)
        return DateTime(moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)

    def _clock_services(self, service: Service) -> list[Service]:
        """The services of the clock; one of the device's own service is added to that."""
        permissions = self.quirks.permissions
        both = Properties.READ | Properties.WRITE
        match self.quirks.clock:
            case ClockWay.CURRENT_TIME:
                value = AttributeValue[bytes](read=self._read_current, write=self._write_current)
                clock = Characteristic[bytes](uuid16(uuids.CURRENT_TIME), both, permissions, value)
                return [Service(uuid16(uuids.CURRENT_TIME_SERVICE), [clock])]
            case ClockWay.DATE_TIME:
                value = AttributeValue[bytes](read=self._read_date, write=self._write_date)
                clock = Characteristic[bytes](uuid16(uuids.DATE_TIME), both, permissions, value)
                service.characteristics.append(clock)
            case ClockWay.CARESENS:
                value = AttributeValue[bytes](write=self._write_caresens)
                clock = Characteristic[bytes](UUID(caresens.TIME_UUID), Properties.WRITE, permissions, value)
                return [Service(UUID(CARESENS_SERVICE), [clock])]
        return []

    def _read_current(self, _: Connection) -> bytes:
        time = CurrentTime(self.date_time(self.shown_s()), 0, 0, current_time.AdjustReason(0))
        return current_time.CURRENT_TIME.encode(time)

    def _write_current(self, _: Connection, payload: bytes) -> None:
        self._set_clock(lambda: current_time.CURRENT_TIME.decode(payload).date_time)

    def _read_date(self, _: Connection) -> bytes:
        return date_time.DATE_TIME_VALUE.encode(self.date_time(self.shown_s()))

    def _write_date(self, _: Connection, payload: bytes) -> None:
        self._set_clock(lambda: date_time.DATE_TIME_VALUE.decode(payload))

    def _write_caresens(self, _: Connection, payload: bytes) -> None:
        self._set_clock(lambda: caresens.decode_time(payload))

    def _set_clock(self, told: Callable[[], DateTime]) -> None:
        try:
            time = told()
            moment = datetime(*_parts(time), tzinfo=UTC)
        except (DecodeError, ValueError) as error:
            raise ATT_Error(_ERROR_OUT_OF_RANGE) from error
        told_s = (moment - _EPOCH) // timedelta(seconds=1)
        self.clock_wrong_s += told_s - self.shown_s()
        self.times_told.append(told_s)
        if self._contact is not None:
            self._contact.has_told_time = True

    # Life

    async def start(self) -> None:
        self._life = asyncio.create_task(self._live())
        await self.device.power_on()

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        for use in self._uses:
            if use.at_s > loop.time():
                await asyncio.sleep(use.at_s - loop.time())
            await self.use(use.values, use.user)

    async def use(self, values: Mapping[str, float], user: int | None = None) -> Taken:
        """Somebody measures: it has something to tell, and is on for a while."""
        taken = self.take(values, user)
        await self.switch_on()
        return taken

    def take(self, values: Mapping[str, float], user: int | None = None, ago_s: float = 0.0) -> Taken:
        """A measurement, perhaps of some time ago when nobody was near."""
        at_s = asyncio.get_running_loop().time() - ago_s
        number = self.taken[-1].number + 1 if self.taken else 1
        taken = Taken(at_s, self.shown_s(at_s), number, dict(values), user)
        self.taken.append(taken)
        self._undelivered.append(taken)
        return taken

    async def switch_on(self) -> None:
        """It advertises from now on, for a while."""
        loop = asyncio.get_running_loop()
        self._on_until_s = loop.time() + self.quirks.advertises_s
        await self._advertise()
        loop.call_at(self._on_until_s, lambda: asyncio.ensure_future(self._rest()))

    async def _advertise(self) -> None:
        if not self.device.connections and not self.device.is_advertising:
            with suppress(BaseBumbleError):
                await self.device.start_advertising(auto_restart=False)

    async def _rest(self) -> None:
        if asyncio.get_running_loop().time() >= self._on_until_s and self.device.is_advertising:
            with suppress(BaseBumbleError):
                await self.device.stop_advertising()

    # A link

    def _on_connection(self, link: Connection) -> None:
        super()._on_connection(link)
        self._contact = contact = _Contact(link)
        self._spawn(contact, self._serve(contact))

    def _spawn(self, contact: _Contact, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        contact.tasks.add(task)
        task.add_done_callback(contact.tasks.discard)

    def _on_disconnection(self, link: Connection) -> None:
        contact = self._contact
        if contact is not None and contact.link is link:
            self._contact = None
            for task in list(contact.tasks):
                task.cancel()
        if self.quirks.lingers_s is None or self._undelivered:
            asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(self._come_back()))

    async def _come_back(self) -> None:
        """It goes on advertising as long as it is on."""
        if asyncio.get_running_loop().time() < self._on_until_s:
            await self._advertise()

    async def _serve(self, contact: _Contact) -> None:
        """Wait until the other side is ready, deliver, and hang up."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + _READY_S
        while not self._may_deliver(contact) and loop.time() < until_s:
            await asyncio.sleep(_LOOK_S)
        if self._may_deliver(contact):
            await self.deliver(contact.link)
            if self.quirks.lingers_s is None:
                return
            await asyncio.sleep(self.quirks.lingers_s)
        with suppress(BaseBumbleError):
            await contact.link.disconnect()

    def _may_deliver(self, contact: _Contact) -> bool:
        is_told = contact.has_told_time or not self.quirks.needs_time
        return is_told and not self.is_silent and self.is_ready(contact.link)

    async def deliver(self, link: Connection) -> None:
        """Tell what there is to tell, the oldest first."""
        for taken in list(self.taken if self.quirks.redelivers else self._undelivered):
            for packet in self.packets(taken):
                if not await self.send(link, packet):
                    return
            if taken in self._undelivered:
                self._undelivered.remove(taken)

    async def send(self, link: Connection, packet: Packet) -> bool:
        """Whether it arrived, as far as that can be told."""
        characteristic, payload = packet
        if not characteristic.properties & Properties.INDICATE:
            self.notify(link, characteristic, payload)
            return True
        try:
            await self.device.gatt_server.indicate_subscriber(link, characteristic, payload)
        except (TimeoutError, BaseBumbleError):
            return False
        return True


def _parts(time: DateTime) -> tuple[int, int, int, int, int, int]:
    return time.year, time.month, time.day, time.hours, time.minutes, time.seconds
