"""Does what the recovery ladder decides: to a device, the adapter, the service, the machine; counts it and says it.

Contract: each rung that was taken is counted with its reason, its time and why it failed, if it did. None raises: what
cannot be done is said, and the ladder goes on. Whatever becomes of it, an adapter that was switched off here is
switched on again. A device with a bond is never dropped: it is only disconnected.

When a rung is taken is decided in `recovery`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge.config_radio import RadioUse
from edge.radio.bluez.bus import ADAPTER, BLUEZ, DEVICE, PROPERTIES
from edge.radio.bluez.watch import Watch, device_path
from edge.radio.deadline import leave
from edge.radio.diagnosis import FORESEEN, Doing, diagnose
from edge.radio.health import Adapter, Health
from edge.radio.recovery import Evidence, Ladder, Rung, Seen
from edge.radio.trouble import Trouble

log = logging.getLogger(__name__)

LOOK_S: Final = 10.0
OFF_S: Final = 2.0
SWITCH_TRIES: Final = 5
RESET_S_MAX: Final = 60.0

_MENDING: Final = Doing(Trouble.SERVICE_SILENT, Trouble.NOT_ALLOWED, Trouble.SERVICE_SILENT)
_SYSTEMD: Final = (
    "org.freedesktop.systemd1",
    "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager",
)
_LOGIN: Final = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
_NOT_ALLOWED: Final = "not allowed: see `The recovery ladder` in edge/README.md"

ResetAdapter = Callable[[Adapter], Awaitable[None]]
"""Resets an adapter by the kernel or by USB; raises OSError if it cannot."""


@dataclass(slots=True)
class Done:
    """How often a rung was taken, and how it was the last time: why, when in the loop's time, and why it failed."""

    times: int
    reason: str
    at_s: float
    failure: str | None


class Mending:
    """Climbs the ladder of this machine.

    Attributes:
        done: the rungs that were taken since the process began.
        adapters: those that are used, by what the watch knew last.
    """

    def __init__(self, watch: Watch, health: Health, use: RadioUse, reset_adapter: ResetAdapter) -> None:
        self.done: dict[Rung, Done] = {}
        self.adapters: tuple[Adapter, ...] = ()
        self._watch = watch
        self._health = health
        self._reset_adapter = reset_adapter
        top = (
            Rung.REBOOT if use.reboot else Rung.RESTART_SERVICE if use.restart_service else Rung.RESET_ADAPTER
        )
        self._ladder = Ladder(top)
        self._doers: Mapping[Rung, Callable[[], Awaitable[None]]] = {
            Rung.POWER_CYCLE: self._power_cycle,
            Rung.RESET_ADAPTER: self._reset,
            Rung.RESTART_SERVICE: self._restart_service,
            Rung.REBOOT: self._reboot,
        }

    async def run(self, evidence: Evidence, is_connected: Callable[[], bool]) -> None:
        """Look at the radio every `LOOK_S`, and do what is due, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            trouble, now_s = self._health.trouble, loop.time()
            if self._health.is_watched:
                evidence.on_health(None if trouble is None else trouble.trouble, now_s)
            if trouble is None and self._health.adapters:
                self.adapters = self._health.adapters
            found = evidence.ailment()
            ailment, since_s = found or (None, now_s)
            seen = Seen(ailment, since_s, evidence.data_s, is_connected())
            self._ladder, rung = self._ladder.step(seen, now_s)
            if rung is not None and ailment is not None:
                await self.take(rung, f"{ailment.words}, for {now_s - since_s:.0f} s")

    async def take(self, rung: Rung, reason: str) -> None:
        """Do one rung of the machine's."""
        log.warning("%s: %s follows", reason, rung.name.lower().replace("_", " "))
        failure = None
        try:
            await self._doers[rung]()
        except FORESEEN as error:
            trouble, words = diagnose(error, _MENDING)
            failure = f"{_NOT_ALLOWED} ({words})" if trouble is Trouble.NOT_ALLOWED else words
            log.warning("%s failed: %s", rung.name.lower().replace("_", " "), failure)
        self.count(rung, reason, failure)

    def count(self, rung: Rung, reason: str, failure: str | None = None) -> None:
        """A rung was taken."""
        before = self.done.get(rung)
        times = 1 if before is None else before.times + 1
        self.done[rung] = Done(times, reason, asyncio.get_running_loop().time(), failure)

    async def drop(self, name: str, address: str, reason: str) -> None:
        """Let the system forget a device, unless there is a bond with it; `name` is said in its place."""
        failure = None
        is_dropped = False
        for adapter in self._health.adapters:
            try:
                is_dropped |= await self._drop_at(adapter.name, address)
            except FORESEEN as error:
                _, failure = diagnose(error, _MENDING)
        if is_dropped or failure:
            log.info(
                "%s: %s; the system is made to forget it%s", name, reason, f": {failure}" if failure else ""
            )
            self.count(Rung.DROP_DEVICE, f"{name}: {reason}", failure)

    async def _drop_at(self, adapter: str, address: str) -> bool:
        is_paired = await self._watch.device(adapter, address, "Paired")
        if is_paired is None:
            return False
        path = device_path(adapter, address)
        await self._watch.call(BLUEZ, path, DEVICE, "Disconnect")
        if is_paired:
            return False
        await self._watch.call(BLUEZ, f"/org/bluez/{adapter}", ADAPTER, "RemoveDevice", "o", path)
        return True

    # The rungs

    async def _power_cycle(self) -> None:
        for adapter in self.adapters:
            await self._switch(adapter, is_on=False)
            try:
                await asyncio.sleep(OFF_S)
            finally:
                switching = asyncio.ensure_future(self._switch_on(adapter))
                leave(switching)
                await asyncio.shield(switching)

    async def _switch_on(self, adapter: Adapter) -> None:
        for tries_left in reversed(range(SWITCH_TRIES)):
            try:
                await self._switch(adapter, is_on=True)
                return
            except FORESEEN:
                if not tries_left:
                    raise
                await asyncio.sleep(OFF_S)

    async def _switch(self, adapter: Adapter, *, is_on: bool) -> None:
        path = f"/org/bluez/{adapter.name}"
        await self._watch.call(BLUEZ, path, PROPERTIES, "Set", "ssv", ADAPTER, "Powered", is_on)

    async def _reset(self) -> None:
        for adapter in self.adapters:
            async with asyncio.timeout(RESET_S_MAX):
                await self._reset_adapter(adapter)

    async def _restart_service(self) -> None:
        await self._call(_SYSTEMD, "RestartUnit", "ss", "bluetooth.service", "replace")

    async def _reboot(self) -> None:
        await self._call(_LOGIN, "Reboot", "b", False)

    async def _call(self, whom: tuple[str, str, str], member: str, signature: str, *body: Any) -> None:
        await self._watch.call(*whom, member, signature, *body)


async def reset_adapter(adapter: Adapter) -> None:
    """Reset an adapter of this machine by `bluetooth-auto-recovery`: by the kernel's management, rfkill, or USB.

    Raises:
        OSError: it is not installed, or could not do it.
    """
    try:
        from bluetooth_auto_recovery import recover_adapter
    except ImportError as error:
        raise OSError(
            None, "the package bluetooth-auto-recovery is not installed; edge/README.md says how"
        ) from error
    number = adapter.name.removeprefix("hci")
    if not number.isdecimal() or not await recover_adapter(int(number), adapter.address):
        raise OSError(None, "bluetooth-auto-recovery could not reset it; it needs CAP_NET_ADMIN")
