"""Real Bluetooth controllers in place of simulated ones, a dongle for each sensor: links on them can fade, too.

    the dongle is | what its host says                              | what the controller says
    --------------|-------------------------------------------------|---------------------------------
    in reach      | goes to the controller                          | goes to the host
    fading        | waits until it has faded                        | goes to the host, but for answers
                  |                                                 | to what is said here
    out of reach  | goes to the controller; but what begins         | goes to the host
                  | advertising is answered here, and remembered    |
    failed        | goes nowhere                                    | goes to the host

Contract: no controller can be told to let a link fade. It is reset instead, which ends its links without a word to
their other ends, and is told anew what its host had told it; then its host hears that each link has timed out (0x08).
So both ends see a supervision timeout. A dongle has `failed` when its controller is gone or does not answer, and when
`refusal`, which is asked before each packet, gives an error: nothing is sent any more then.

Not here: how a dongle is opened. A sensor that advertises behind its host's back (`Advertiser`) cannot be on one.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from bumble import hci
from bumble.transport.common import TransportSink, TransportSource

ANSWER_S: Final = 5.0
"""How long a controller may take to answer a command."""

_TIMEOUT: Final = hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR
_BEGINS: Final = (
    hci.HCI_LE_SET_ADVERTISING_ENABLE_COMMAND,
    hci.HCI_LE_SET_EXTENDED_ADVERTISING_ENABLE_COMMAND,
)
_SETTINGS: Final = (
    hci.HCI_SET_EVENT_MASK_COMMAND,
    hci.HCI_SET_EVENT_MASK_PAGE_2_COMMAND,
    hci.HCI_HOST_BUFFER_SIZE_COMMAND,
    hci.HCI_SET_CONTROLLER_TO_HOST_FLOW_CONTROL_COMMAND,
    hci.HCI_WRITE_LE_HOST_SUPPORT_COMMAND,
    hci.HCI_LE_SET_EVENT_MASK_COMMAND,
    hci.HCI_LE_SET_RANDOM_ADDRESS_COMMAND,
    hci.HCI_LE_WRITE_SUGGESTED_DEFAULT_DATA_LENGTH_COMMAND,
    hci.HCI_LE_SET_DEFAULT_PHY_COMMAND,
    hci.HCI_LE_SET_ADVERTISING_PARAMETERS_COMMAND,
    hci.HCI_LE_SET_ADVERTISING_DATA_COMMAND,
    hci.HCI_LE_SET_SCAN_RESPONSE_DATA_COMMAND,
    hci.HCI_LE_SET_EXTENDED_ADVERTISING_PARAMETERS_COMMAND,
    hci.HCI_LE_SET_ADVERTISING_SET_RANDOM_ADDRESS_COMMAND,
    hci.HCI_LE_SET_EXTENDED_ADVERTISING_DATA_COMMAND,
    hci.HCI_LE_SET_EXTENDED_SCAN_RESPONSE_DATA_COMMAND,
)
"""What a reset makes a controller forget."""


_EVENT, _COMMAND = hci.HCI_EVENT_PACKET, hci.HCI_COMMAND_PACKET
_HANDLE: Final = 0x0FFF
_CONNECTION_COMPLETE: Final = (
    hci.HCI_LE_CONNECTION_COMPLETE_EVENT,
    hci.HCI_LE_ENHANCED_CONNECTION_COMPLETE_EVENT,
)


class DongleLost(Exception):  # noqa: N818 - a state of the hardware, not a defect
    """A controller is gone, or does not answer."""


class Dongle:
    """A controller behind an HCI source and sink: itself the source and sink of one sensor's host.

    Attributes:
        failed: never done but by an error, which says why nothing more can be expected of it.
        address: the one that its host has given it; None before that.
        links: the handles of the links that its host knows.
        is_reachable: whether it can be heard, or shall be as soon as what goes on is over.
    """

    def __init__(
        self,
        name: str,
        source: TransportSource,
        sink: TransportSink,
        refusal: Callable[[], Exception | None] = lambda: None,
    ) -> None:
        """`refusal` says why the controller must not be used any more; None while it may."""
        self.name = name
        self.terminated = source.terminated
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.address: hci.Address | None = None
        self.links: set[int] = set()
        self.is_reachable = True
        self._controller = sink
        self._refusal = refusal
        self._host: TransportSink | None = None
        self._settings: dict[int, bytes] = {}
        self._advertising: bytes | None = None
        # The command that is not answered yet, if it is the host's, or one of ours.
        self._asked: int | None = None
        self._own: int | None = None
        self._answered = asyncio.Event()
        self._held_back: deque[bytes] | None = None
        self._turn = asyncio.Lock()
        source.set_packet_sink(_FromController(self))

    @property
    def owes_answer(self) -> bool:
        """Whether its host has said something that it has not answered."""
        return self._asked is not None

    # What its host says

    def set_packet_sink(self, sink: TransportSink) -> None:
        self._host = sink

    def on_packet(self, packet: bytes) -> None:
        if self._held_back is not None:
            self._held_back.append(packet)
            return
        if packet[0] == _COMMAND:
            opcode = int.from_bytes(packet[1:3], "little")
            self._remember(opcode, packet)
            if opcode in _BEGINS and not self.is_reachable:
                self._tell_host(_completed(opcode))
                return
            self._asked = opcode
        if packet[0] == hci.HCI_ACL_DATA_PACKET and not self._has_link(packet):
            return  # its host does not know yet that the link has faded
        self._send(packet)

    def _has_link(self, packet: bytes) -> bool:
        return int.from_bytes(packet[1:3], "little") & _HANDLE in self.links

    def _remember(self, opcode: int, packet: bytes) -> None:
        if opcode == hci.HCI_RESET_COMMAND:
            self._settings.clear()
            self._advertising = None
        elif opcode in _SETTINGS:
            self._settings[opcode] = packet
        elif opcode in _BEGINS:
            self._advertising = packet if packet[4] else None
        if opcode == hci.HCI_LE_SET_RANDOM_ADDRESS_COMMAND:
            self.address = hci.Address(packet[4:10], hci.AddressType.RANDOM_DEVICE)

    def _send(self, packet: bytes) -> None:
        refusal = None if self.failed.done() else self._refusal()
        if refusal is not None:
            self.fail(refusal)
        if not self.failed.done():
            self._controller.on_packet(packet)

    # What the controller says

    def on_controller_packet(self, packet: bytes) -> None:
        """Of the controller, for the host or for who speaks here."""
        if packet[0] == _EVENT:
            answered = _answered(packet)
            if answered is not None and answered == self._own:
                self._own = None
                self._answered.set()
                return
            if answered is not None and answered == self._asked:
                self._asked = None
                self._answered.set()
            self._note_links(packet)
        self._tell_host(packet)

    def _note_links(self, packet: bytes) -> None:
        code = packet[1]
        if code == hci.HCI_LE_META_EVENT and packet[3] in _CONNECTION_COMPLETE and packet[4] == 0:
            self.links.add(int.from_bytes(packet[5:7], "little"))
            self._advertising = None  # a connection ends it
        elif code == hci.HCI_DISCONNECTION_COMPLETE_EVENT and packet[3] == 0:
            self.links.discard(int.from_bytes(packet[4:6], "little"))

    def _tell_host(self, packet: bytes) -> None:
        if self._host is not None:
            asyncio.get_running_loop().call_soon(self._host.on_packet, packet)

    def on_lost(self) -> None:
        """The controller is gone."""
        self.fail(DongleLost(f"{self.name} is gone"))
        tell: Callable[[], None] | None = getattr(self._host, "on_transport_lost", None)
        if tell is not None:
            tell()

    def fail(self, error: Exception) -> None:
        """Nothing more can be expected of it."""
        if not self.failed.done():
            self.failed.set_exception(error)
            self.failed.exception()  # nobody has to look
        self._answered.set()

    # What is said here

    def lose_power(self) -> None:
        """It is heard no more, and its host hears nothing more."""
        self._host = None
        self._send(bytes(hci.HCI_Reset_Command()))

    async def set_reachable(self, reachable: bool) -> None:
        """Be heard again, or fade and be heard no more."""
        async with self._alone():
            self.is_reachable = reachable
            if not reachable:
                await self._begin_anew()
            elif self._advertising is not None:
                await self._say(self._advertising)

    async def fade(self) -> None:
        """Let the links fade."""
        async with self._alone():
            await self._begin_anew()

    async def _begin_anew(self) -> None:
        again = [self._advertising] if self._advertising and self.is_reachable else []
        for command in [bytes(hci.HCI_Reset_Command()), *self._settings.values(), *again]:
            await self._say(command)
        faded, self.links = self.links, set()
        for handle in sorted(faded):
            self._tell_host(_timed_out(handle))

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Speak to the controller; what the host says waits."""
        async with self._turn:
            self._held_back = deque()
            try:
                async with asyncio.timeout(ANSWER_S):
                    while self._asked is not None and not self.failed.done():
                        await self._hear()
                    yield
            except TimeoutError:
                self.fail(DongleLost(f"{self.name} does not answer"))
            finally:
                self._own = None
                waited, self._held_back = self._held_back, None
                for packet in waited:
                    self.on_packet(packet)

    async def _say(self, command: bytes) -> None:
        """Have one command answered."""
        self._own = int.from_bytes(command[1:3], "little")
        self._send(command)
        while self._own is not None and not self.failed.done():
            await self._hear()

    async def _hear(self) -> None:
        """Wait for an answer."""
        self._answered.clear()
        await self._answered.wait()


class _FromController:
    """What a controller's packets go to."""

    def __init__(self, dongle: Dongle) -> None:
        self._dongle = dongle

    def on_packet(self, packet: bytes) -> None:
        self._dongle.on_controller_packet(packet)

    def on_transport_lost(self) -> None:
        self._dongle.on_lost()


class DongleAir:
    """Where sensors are that have a dongle each: a `SensorAir`. A sensor gets the next dongle that is left."""

    def __init__(self, dongles: Iterable[Dongle]) -> None:
        self._left = deque(dongles)
        self.dongles = tuple(self._left)
        self._work: set[asyncio.Task[None]] = set()

    def controller(self, name: str) -> Dongle:  # noqa: ARG002 - a real one has its own
        return self._left.popleft()

    def carries(self, address: str) -> bool:
        """As far as anybody can know: whether its host knows of a link."""
        dongle = self._find(address)
        return dongle is not None and dongle.is_reachable and bool(dongle.links)

    def lose_link(self, address: str) -> int:
        dongle = self._required(address)
        links = len(dongle.links)
        self._begin(dongle.fade())
        return links

    def set_reachable(self, address: str, reachable: bool) -> int:
        dongle = self._required(address)
        links = 0 if reachable else len(dongle.links)
        self._begin(dongle.set_reachable(reachable))
        return links

    async def settled(self) -> None:
        """When everything that was begun here has been done."""
        while self._work:
            await asyncio.wait(self._work)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _find(self, address: str) -> Dongle | None:
        wanted = hci.Address(address)
        return next((one for one in self.dongles if one.address == wanted), None)

    def _required(self, address: str) -> Dongle:
        dongle = self._find(address)
        if dongle is None:
            raise ValueError(f"no dongle is {address}")
        return dongle


def _answered(event: bytes) -> int | None:
    """The command that an event answers."""
    if event[1] == hci.HCI_COMMAND_COMPLETE_EVENT:
        return int.from_bytes(event[4:6], "little")
    if event[1] == hci.HCI_COMMAND_STATUS_EVENT:
        return int.from_bytes(event[5:7], "little")
    return None


def _completed(opcode: int) -> bytes:
    """The answer to a command that succeeds and returns nothing else."""
    said = bytes([1, *opcode.to_bytes(2, "little"), hci.HCI_ErrorCode.SUCCESS])
    return bytes([_EVENT, hci.HCI_COMMAND_COMPLETE_EVENT, len(said)]) + said


def _timed_out(handle: int) -> bytes:
    """The end of a link that has faded."""
    said = bytes([hci.HCI_ErrorCode.SUCCESS, *handle.to_bytes(2, "little"), _TIMEOUT])
    return bytes([_EVENT, hci.HCI_DISCONNECTION_COMPLETE_EVENT, len(said)]) + said
