"""What the system's Bluetooth does is known within a moment, ends the links that died, and wakes whoever waits."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from radio_parts import own_lines
from watched_parts import Watched, watched

from edge.radio.bluez.watch import FROZEN_S, PING_S, RETRY_S
from edge.radio.trouble import Trouble
from hw_sim.radio.bluetoothd import Bluetoothd


def test_a_link_ends_in_the_moment_in_which_bluetoothd_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(w: Watched) -> None:
        caplog.set_level(logging.INFO)
        w.bluetoothd.kill()
        await asyncio.sleep(0.1)
        assert w.live.state.phase != "streaming"
        assert w.live.state.trouble is Trouble.NO_SERVICE
        assert own_lines(caplog)[0] == (
            "the system's Bluetooth service cannot be reached: "
            "[org.freedesktop.DBus.Error.NameHasNoOwner] BlueZ has ended; " + Trouble.NO_SERVICE.remedy
        )
        await asyncio.sleep(20)
        w.bluetoothd.start()
        assert await w.until_data(10) <= 4

    watched(scene)


def test_after_bluetoothd_was_frozen_data_flow_again_at_once() -> None:
    async def scene(w: Watched) -> None:
        w.bluetoothd.freeze()
        await asyncio.sleep(PING_S + FROZEN_S + 1)
        assert w.live.state.trouble is Trouble.SERVICE_SILENT
        await asyncio.sleep(60)
        assert w.live.state.phase in ("waiting", "searching")
        # Nobody asks anew what would hang, too.
        assert w.live.state.detail == "no answer in 15 s when asked whether it is there"
        w.bluetoothd.thaw()
        assert await w.until_data(15) <= 8

    watched(scene)


def test_a_bluetoothd_that_is_merely_slow_costs_no_link() -> None:
    async def scene(w: Watched) -> None:
        w.bluetoothd.freeze()
        await asyncio.sleep(FROZEN_S - 1)
        w.bluetoothd.thaw()
        await asyncio.sleep(100)
        assert (w.live.state.connects, w.live.state.losses) == (1, 0)

    watched(scene)


@pytest.mark.parametrize(
    ("away", "back", "trouble"),
    [
        (Bluetoothd.power_off, Bluetoothd.power_on, Trouble.ADAPTER_OFF),
        (Bluetoothd.unplug, Bluetoothd.plug, Trouble.NO_ADAPTER),
        (Bluetoothd.end_bus, Bluetoothd.begin_bus, Trouble.NO_SERVICE),
        (Bluetoothd.kill, Bluetoothd.start, Trouble.NO_SERVICE),
    ],
)
@pytest.mark.parametrize("for_s", [0.3, 8, 3600])
def test_the_moment_the_radio_is_back_data_flow(
    away: Callable[[Bluetoothd], None], back: Callable[[Bluetoothd], None], trouble: Trouble, for_s: float
) -> None:
    async def scene(w: Watched) -> None:
        away(w.bluetoothd)
        await asyncio.sleep(for_s)
        assert w.live.state.phase != "streaming"
        # A link that is reported lost is said to be lost, before it is known why.
        assert for_s < 1 or w.live.state.trouble is trouble
        back(w.bluetoothd)
        assert await w.until_data(10) <= 4 + RETRY_S

    watched(scene)
