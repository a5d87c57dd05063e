"""The connection to the message bus, against a real dbus-daemon and a program that calls itself BlueZ."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bleak.exc import BleakDBusError
from dbus_fast import BusType
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_method
from dbus_fast.service import dbus_property as property_of

from edge.radio.bluez.bus import ADAPTER, BLUEZ, PEER, PROPERTIES
from edge.radio.bluez.system_bus import SystemBus
from edge.radio.bluez.watch import Watch
from edge.radio.deadline import leave
from edge.radio.health import Health
from edge.radio.trouble import Trouble

needs_a_bus = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="dbus-daemon is not installed")
ADDRESS = "00:1B:DC:F2:44:01"


class FakeAdapter(ServiceInterface):
    """org.bluez.Adapter1, as far as it is watched."""

    def __init__(self) -> None:
        super().__init__(ADAPTER)
        self.is_powered = True

    @property_of()
    def Address(self) -> "s":  # type: ignore[name-defined] # noqa: F821, N802
        return ADDRESS

    @Address.setter
    def Address(self, _: "s") -> None:  # type: ignore[name-defined] # noqa: F821, N802
        raise NotImplementedError

    @property_of()
    def Powered(self) -> "b":  # type: ignore[name-defined] # noqa: F821, N802
        return self.is_powered

    @Powered.setter
    def Powered(self, is_on: "b") -> None:  # type: ignore[name-defined] # noqa: F821, N802
        self.is_powered = is_on
        self.emit_properties_changed({"Powered": is_on})

    @dbus_method()
    def RemoveDevice(self, _: "o") -> None:  # type: ignore[name-defined] # noqa: F821, N802
        raise NotImplementedError


@contextlib.asynccontextmanager
async def message_bus(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncio.subprocess.Process]:
    daemon = await asyncio.create_subprocess_exec(
        "dbus-daemon",
        "--session",
        "--nofork",
        "--print-address",
        f"--address=unix:path={directory}/bus",
        stdout=asyncio.subprocess.PIPE,
    )
    assert daemon.stdout is not None
    address = (await daemon.stdout.readline()).decode().strip()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    try:
        yield daemon
    finally:
        with contextlib.suppress(ProcessLookupError):
            daemon.kill()
        await daemon.wait()


async def bluez(adapter: FakeAdapter) -> MessageBus:
    """A program that owns the name of BlueZ and has an adapter."""
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    # dbus-fast complains about an end that nobody has asked for.
    leave(asyncio.ensure_future(bus.wait_for_disconnect()))  # type: ignore[no-untyped-call]
    bus.export("/org/bluez/hci0", adapter)
    await bus.request_name(BLUEZ)
    return bus


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


@needs_a_bus
def test_what_becomes_of_a_real_service_on_a_real_bus_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        health = Health()
        ended: list[Trouble] = []
        async with message_bus(tmp_path, monkeypatch) as daemon:
            adapter = FakeAdapter()
            service = await bluez(adapter)
            watching = asyncio.ensure_future(Watch(SystemBus, health).run())
            with health.told(lambda lost: ended.append(lost.trouble)):
                await until(lambda: health.adapters)
                assert [tuple(one) for one in health.adapters] == [("hci0", ADDRESS, True)]
                adapter.Powered = False
                await until(lambda: ended == [Trouble.ADAPTER_OFF])
                adapter.Powered = True
                await until(lambda: health.trouble is None)
                service.disconnect()
                await until(lambda: ended[1:2] == [Trouble.NO_SERVICE])
                service = await bluez(adapter)
                await until(lambda: health.trouble is None)
                ended.clear()
                daemon.kill()
                await until(lambda: ended[:1] == [Trouble.NO_SERVICE])
            watching.cancel()
            await asyncio.wait({watching})
            service.disconnect()

    asyncio.run(main())


@needs_a_bus
def test_answers_and_refusals_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with message_bus(tmp_path, monkeypatch):
            adapter = FakeAdapter()
            service = await bluez(adapter)
            bus = SystemBus()
            await bus.connect(lambda *_: None)
            assert await bus.call(BLUEZ, "/org/bluez", PEER, "Ping") == []
            await bus.call(BLUEZ, "/org/bluez/hci0", PROPERTIES, "Set", "ssv", ADAPTER, "Powered", False)
            assert not adapter.is_powered
            with pytest.raises(BleakDBusError, match="UnknownObject"):
                await bus.call(BLUEZ, "/nowhere", PROPERTIES, "Get", "ss", ADAPTER, "Powered")
            bus.close()
            service.disconnect()

    asyncio.run(main())


def test_without_a_bus_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")

    async def main() -> None:
        health = Health()
        watching = asyncio.ensure_future(Watch(SystemBus, health).run())
        await until(lambda: health.trouble)
        assert health.trouble is not None
        assert (health.trouble.trouble, health.trouble.reason) == (
            Trouble.NO_SERVICE,
            "the message bus (D-Bus) is not there: No such file or directory",
        )
        watching.cancel()
        await asyncio.wait({watching})

    asyncio.run(main())
