"""What bluetoothd is on a machine, without a radio: it holds the links of simulated sensors, whoever uses them.

Contract: a `DirectStack` outlives the processes that use it through `direct_radio.backends`. After `abandon_clients()`
everything those processes had is dead, while the links stay up and the attempt to connect that was under way goes on.
A connected sensor does not advertise. Connecting takes `connect_s` and each request `request_s`; with 0 nothing is
waited for.

A sensor is a `Peripheral`; it learns of its link when it is connected. Every request, answer and notification is a
packet, and a link can be cut at any of them (`cut_after`): what was to pass then has not passed.

Not here: bleak's classes (`direct_radio`), what sensors say (`sensors`), pairing, bytes on the air (`central`).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol

from bleak.exc import BleakDBusError, BleakDeviceNotFoundError, BleakError

from hw_sim.radio.bluetoothd import Bluetoothd
from hw_sim.radio.process import Process

ADVERTISE_S: Final = 1.0
ATTEMPT_S: Final = 25.0
"""How long the machine tries to reach a sensor that does not answer."""

Callback = Callable[[bytearray], None]


class Peripheral(Protocol):
    """A sensor behind the stack. It is told of its link, and may refuse what is asked by raising a BleakError."""

    @property
    def address(self) -> str: ...

    @property
    def services(self) -> Mapping[str, tuple[str, ...]]:
        """UUID of a service -> UUIDs of its characteristics, all lower-case."""
        ...

    def on_connected(self, link: "DirectLink") -> None: ...

    def on_disconnected(self) -> None: ...

    def read(self, characteristic: str) -> bytes: ...

    def write(self, characteristic: str, payload: bytes) -> None: ...


class Client(Protocol):
    """A process's side of a link."""

    def on_link_ended(self) -> None: ...


class Scanner(Protocol):
    """A process's ear."""

    adapter: str

    def hear(self, peripheral: Peripheral) -> None: ...


class DirectLink:
    """A connection as the stack holds it: who listens to it, and whether a packet still passes."""

    def __init__(
        self, peripheral: Peripheral, on_end: Callable[["DirectLink"], None], bluetoothd: Bluetoothd
    ) -> None:
        self.peripheral = peripheral
        self.is_up = True
        self.is_lost = False
        self.is_forgotten = False
        self.packets = 0
        self.cut_at: int | None = None
        self._on_end = on_end
        self._bluetoothd = bluetoothd
        self._clients: list[Client] = []
        self._listeners: dict[str, tuple[tuple[Client, Callback], ...]] = {}

    def listens(self, characteristic: str) -> bool:
        """Whether the sensor's notifications are switched on."""
        return characteristic in self._listeners

    def notify(self, characteristic: str, payload: bytes) -> bool:
        """Send a notification to whoever listens; whether it passed."""
        listeners = self._listeners.get(characteristic)
        if listeners is None or not self.passes():
            return False
        if self._bluetoothd.is_frozen:
            self._bluetoothd.when_answering(partial(_call, listeners, payload))
        else:
            _call(listeners, payload)
        return True

    def passes(self) -> bool:
        """One more packet; False if the link is down, or has been cut at this one."""
        if not self.is_up:
            return False
        self.packets += 1
        if self.packets == self.cut_at:
            self.cut()
        return self.is_up

    def cut(self) -> None:
        """The link is lost."""
        if self.is_up:
            self.is_lost = True
            self.end()

    def end(self) -> None:
        """The link goes down, and everybody at either end is told."""
        if not self.is_up:
            return
        self.is_up = False
        self._listeners.clear()
        clients, self._clients = self._clients, []
        self._on_end(self)
        self.peripheral.on_disconnected()
        for client in clients:
            client.on_link_ended()

    def join(self, client: Client) -> None:
        self._clients.append(client)

    def listen(self, client: Client, characteristic: str, callback: Callback) -> None:
        others = self._listeners.get(characteristic, ())
        kept = tuple(pair for pair in others if pair[0] is not client)
        self._listeners[characteristic] = (*kept, (client, callback))

    def ignore(self, client: Client, characteristic: str) -> None:
        kept = tuple(pair for pair in self._listeners.get(characteristic, ()) if pair[0] is not client)
        if kept:
            self._listeners[characteristic] = kept
        else:
            self._listeners.pop(characteristic, None)

    def die(self) -> None:
        """The link is lost with the service, and whoever uses it is not told."""
        self.is_forgotten = True
        self.forget_clients()
        self.cut()

    def forget_listeners(self) -> None:
        """The sensor has lost what was configured: it notifies nobody."""
        self._listeners.clear()

    def forget_clients(self) -> None:
        """Whoever listened is no more; the link stays."""
        self._clients.clear()
        self._listeners.clear()


def _call(listeners: tuple[tuple[Client, Callback], ...], payload: bytes) -> None:
    for _, callback in listeners:
        callback(bytearray(payload))


class DirectStack:
    """The machine's Bluetooth.

    Truth: `links` is what is connected, `adapter_of` by which adapter; `connects` and `losses` count connections made
    and lost, by address; `connects_while_scanning` those that were begun while somebody scanned, which some adapters
    abort. Each adapter holds `slots` connections, and does not hear whom it is `deaf_to`. To connect to one that is
    `blocked` fails until the device is forgotten, as if a client had been killed in the midst of it. `untold` is
    how many of the next clients of a sensor are told of no services. Of those in `loses_answer` the next answer to a
    request never comes.
    """

    def __init__(self, *, connect_s: float = 0.0, request_s: float = 0.0) -> None:
        self.connect_s = connect_s
        self.request_s = request_s
        self.peripherals: dict[str, Peripheral] = {}
        self.links: dict[str, DirectLink] = {}
        self.connects: Counter[str] = Counter()
        self.losses: Counter[str] = Counter()
        self.connects_while_scanning = 0
        self.bonds: set[str] = set()
        self.hangs_on_disconnect: set[str] = set()
        self.bluetoothd = Bluetoothd(self)
        self.adapter_of: dict[str, str] = {}
        self.slots: int | None = None
        self.deaf_to: set[tuple[str, str]] = set()
        self.blocked: set[str] = set()
        self.untold: Counter[str] = Counter()
        self.loses_answer: set[str] = set()
        self._away: set[str] = set()
        self._cut_after: dict[str, int] = {}
        self._processes: list[Process] = []
        self._scanners: list[Scanner] = []
        self._advertising: asyncio.TimerHandle | None = None
        self._attempts: dict[str, _Attempt] = {}

    def add(self, *peripherals: Peripheral) -> None:
        """Switch sensors on, in reach."""
        self.peripherals.update((peripheral.address, peripheral) for peripheral in peripherals)

    def start_process(self) -> Process:
        process = Process(self.bluetoothd)
        self._processes.append(process)
        return process

    def abandon_clients(self) -> None:
        """Every process so far is killed: its scans end, its links stay, and an attempt to connect goes on."""
        for process in self._processes:
            process.is_alive = False
        self._processes.clear()
        self._scanners.clear()
        for link in self.links.values():
            link.forget_clients()

    # What happens to links

    def cut(self, address: str) -> None:
        """The link is lost, if there is one."""
        link = self.links.get(address)
        if link is not None:
            link.cut()

    def cut_after(self, address: str, packets: int) -> None:
        """Lose the link at so many packets from now, or of the next link if there is none."""
        link = self.links.get(address)
        if link is None:
            self._cut_after[address] = packets
        else:
            link.cut_at = link.packets + packets

    def lose(self, address: str) -> None:
        """The sensor goes out of reach."""
        self._away.add(address)
        self.cut(address)

    def regain(self, address: str) -> None:
        """The sensor is in reach again."""
        self._away.discard(address)
        self._advertise_later()

    def reaches(self, address: str) -> bool:
        return address in self.peripherals and address not in self._away and self.bluetoothd.hears

    # What becomes of the links with the service

    def connected(self) -> list[str]:
        return list(self.links)

    async def bonded(self) -> list[str]:
        return sorted(self.bonds)

    def hears(self, adapter: str, address: str) -> bool:
        """Whether a sensor is in the reach of this adapter, too."""
        return (adapter, address) not in self.deaf_to

    def require_slot(self, adapter: str, address: str) -> None:
        """Raises what bleak does if an adapter holds as many connections as it can."""
        held = sum(self.adapter_of.get(one) == adapter for one in self.links if one != address)
        if self.slots is not None and held >= self.slots:
            limit = "le-connection-concurrent-connection-limit"
            raise BleakDBusError("org.bluez.Error.Failed", [limit])

    def lose_all(self, *, told: bool) -> None:
        # A scan dies with the service, and a new one hears again.
        self._scanners.clear()
        for attempt in list(self._attempts.values()):
            attempt.fail()
        for link in list(self.links.values()):
            if told:
                link.cut()
            else:
                link.die()

    def drop_device(self, address: str) -> None:
        self.blocked.discard(address)
        self.bonds.discard(address)

    def disconnect(self, address: str) -> None:
        link = self.links.get(address)
        if link is not None:
            link.end()

    # What processes ask of it

    def scan(self, scanner: Scanner) -> None:
        """Report every sensor in reach that is not connected, now and then every second."""
        self._scanners.append(scanner)
        self._advertise()
        self._advertise_later()

    def end_scan(self, scanner: Scanner) -> None:
        if scanner in self._scanners:
            self._scanners.remove(scanner)

    def _advertisers(self) -> list[Peripheral]:
        sensors = self.peripherals.values()
        return [s for s in sensors if s.address not in self._away and s.address not in self.links]

    def _advertise(self) -> None:
        if not self.bluetoothd.hears:
            return
        for peripheral in self._advertisers():
            self.bluetoothd.stale.discard(peripheral.address)
            for scanner in list(self._scanners):
                scanner.hear(peripheral)

    def _advertise_later(self) -> None:
        """As long as there is somebody to hear, and something to be heard."""
        if self._advertising is None and self._scanners and self._advertisers():
            self._advertising = asyncio.get_running_loop().call_later(ADVERTISE_S, self._advertise_again)

    def _advertise_again(self) -> None:
        self._advertising = None
        self._advertise()
        self._advertise_later()

    async def connect(self, process: Process, address: str, timeout_s: float, adapter: str) -> DirectLink:
        """The link to a sensor, which may be one that another process has left behind.

        Raises:
            TimeoutError: the caller's time is up.
            BleakError: it does not answer, or another attempt of the adapter is under way.
        """
        link = self.links.get(address)
        if link is not None:
            return link
        if address not in self.peripherals:
            raise BleakDeviceNotFoundError(address, f"Device with address {address} was not found.")
        if adapter in self._attempts or address in self.blocked:
            raise BleakDBusError("org.bluez.Error.InProgress", ["Operation already in progress"])
        self.connects_while_scanning += any(scanner.adapter == adapter for scanner in self._scanners)
        if self.connect_s == 0 and self.reaches(address):
            return self.made(address)
        attempt = self._attempts[adapter] = _Attempt(self, address, adapter)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(attempt.link)
        except BaseException:
            # Who gives up calls it off; who was killed does not.
            if process.is_alive:
                attempt.call_off()
            raise

    def made(self, address: str) -> DirectLink:
        """The sensor has answered."""
        peripheral = self.peripherals[address]
        link = self.links[address] = DirectLink(peripheral, self._on_link_end, self.bluetoothd)
        link.cut_at = self._cut_after.pop(address, None)
        self.connects[address] += 1
        peripheral.on_connected(link)
        return link

    def _on_link_end(self, link: DirectLink) -> None:
        del self.links[link.peripheral.address]
        self.adapter_of.pop(link.peripheral.address, None)
        self.losses[link.peripheral.address] += link.is_lost
        self._advertise_later()

    def on_attempt_over(self, adapter: str) -> None:
        del self._attempts[adapter]


class _Attempt:
    """To connect: goes on until it succeeds, its time is up or it is called off, whoever waits for it."""

    def __init__(self, stack: DirectStack, address: str, adapter: str) -> None:
        loop = asyncio.get_running_loop()
        self.link: asyncio.Future[DirectLink] = loop.create_future()
        self.link.add_done_callback(lambda link: link.cancelled() or link.exception())
        self._stack = stack
        self._address = address
        self._adapter = adapter
        self._deadline_s = loop.time() + ATTEMPT_S
        self._timer = loop.call_later(stack.connect_s, self._try)

    def _try(self) -> None:
        loop = asyncio.get_running_loop()
        if self._stack.reaches(self._address):
            self._stack.on_attempt_over(self._adapter)
            self.link.set_result(self._stack.made(self._address))
        elif loop.time() >= self._deadline_s:
            self._stack.on_attempt_over(self._adapter)
            self.link.set_exception(BleakError("le-connection-abort-by-local"))
        else:
            self._timer = loop.call_later(ADVERTISE_S, self._try)

    def fail(self) -> None:
        """It ends with the service."""
        self._timer.cancel()
        self._stack.on_attempt_over(self._adapter)
        self.link.set_exception(BleakDBusError("org.freedesktop.DBus.Error.NoReply", ["no reply"]))

    def call_off(self) -> None:
        if not self.link.done():
            self._timer.cancel()
            self.link.cancel()
            self._stack.on_attempt_over(self._adapter)
        elif not self.link.cancelled() and self.link.exception() is None:
            self.link.result().end()
