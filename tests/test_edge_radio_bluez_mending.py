"""What the ladder decides is done, counted and said; in virtual time, on a machine that only that helps."""

import asyncio
import logging

import pytest
from radio_parts import ADDRESS, own_lines
from watched_parts import Watched, watched

from edge.radio.recovery import Rung
from edge.radio.trouble import Trouble

STRANGER = "F0:00:00:00:00:99"


@pytest.mark.parametrize(
    ("remedy", "asked", "limit_s"),
    [
        ("power cycle", ["Powered False", "Powered True"], 400),
        ("reset", ["Powered False", "Powered True", "reset"], 500),
        ("restart", ["Powered False", "Powered True", "reset", "RestartUnit"], 600),
    ],
)
def test_a_deaf_adapter_is_mended_by_the_first_rung_that_helps(
    remedy: str, asked: list[str], limit_s: float
) -> None:
    async def scene(w: Watched) -> None:
        w.bluetoothd.refuses.clear()
        w.hear_stranger()
        w.bluetoothd.deaf_until = remedy
        w.stack.cut(ADDRESS)
        await w.until_data(limit_s)
        assert w.bluetoothd.asked == asked
        await asyncio.sleep(3600)
        assert w.bluetoothd.asked == asked

    watched(scene)


def test_a_sensor_out_of_reach_costs_nobody_anything_while_others_are_heard() -> None:
    async def scene(w: Watched) -> None:
        w.bluetoothd.refuses.clear()
        w.stranger()
        w.stack.lose(ADDRESS)
        await asyncio.sleep(2 * 3600)
        assert w.bluetoothd.asked == []
        w.stack.regain(ADDRESS)
        assert await w.until_data(15) <= 5

    watched(scene)


def test_a_service_that_stays_frozen_is_restarted(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(w: Watched) -> None:
        caplog.set_level(logging.INFO)
        w.bluetoothd.refuses.clear()
        w.bluetoothd.freeze()
        assert await w.until_data(200) >= 100
        assert w.bluetoothd.asked == ["RestartUnit"]
        done = w.mending.done[Rung.RESTART_SERVICE]
        assert (done.times, done.failure) == (1, None)
        assert done.reason.startswith("the Bluetooth service does not answer, for ")
        assert any("restart service follows" in line for line in own_lines(caplog))

    watched(scene)


def test_what_is_not_allowed_is_said_and_counted() -> None:
    async def scene(w: Watched) -> None:
        w.bluetoothd.kill()
        await asyncio.sleep(200)
        done = w.mending.done[Rung.RESTART_SERVICE]
        assert done.failure == (
            "not allowed: see `The recovery ladder` in edge/README.md"
            " ([org.freedesktop.DBus.Error.InteractiveAuthorizationRequired] not without a password)"
        )
        assert Rung.REBOOT not in w.mending.done
        assert w.live.state.trouble is Trouble.NO_SERVICE

    watched(scene)


def test_an_adapter_that_has_vanished_is_reset() -> None:
    async def scene(w: Watched) -> None:
        w.bluetoothd.refuses.clear()
        w.bluetoothd.gone_until = "reset"
        w.bluetoothd.unplug()
        assert await w.until_data(120) >= 60
        assert w.bluetoothd.asked == ["reset"]

    watched(scene)


def test_an_adapter_that_somebody_has_switched_off_stays_off() -> None:
    async def scene(w: Watched) -> None:
        w.bluetoothd.refuses.clear()
        w.bluetoothd.power_off()
        await asyncio.sleep(6 * 3600)
        assert w.bluetoothd.asked == []
        w.bluetoothd.power_on()
        assert await w.until_data(10) <= 5

    watched(scene)


def test_the_machine_is_restarted_only_if_that_is_allowed_and_has_been_up_for_a_day() -> None:
    async def scene(w: Watched) -> None:
        w.bluetoothd.refuses.clear()
        w.hear_stranger()
        w.stack.lose(ADDRESS)
        await asyncio.sleep(23 * 3600)
        assert "Reboot" not in w.bluetoothd.asked
        await asyncio.sleep(2 * 3600)
        assert w.bluetoothd.asked.count("Reboot") == 1

    watched(scene, reboot=True)


# The device


def test_a_device_at_which_the_system_hangs_is_dropped_at_once() -> None:
    async def scene(w: Watched) -> None:
        w.stack.blocked.add(ADDRESS)
        w.stack.cut(ADDRESS)
        assert await w.until_data(30) <= 15
        assert w.bluetoothd.asked == [f"Disconnect {ADDRESS}", f"RemoveDevice {ADDRESS}"]
        assert w.mending.done[Rung.DROP_DEVICE].times == 1

    watched(scene)


def test_a_bond_is_never_dropped() -> None:
    async def scene(w: Watched) -> None:
        w.stack.bonds.add(ADDRESS)
        w.stack.blocked.add(ADDRESS)
        w.stack.cut(ADDRESS)
        await asyncio.sleep(600)
        assert f"Disconnect {ADDRESS}" in w.bluetoothd.asked
        assert not any(asked.startswith("RemoveDevice") for asked in w.bluetoothd.asked)

    watched(scene)


def test_silent_links_are_counted_with_their_reason() -> None:
    async def scene(w: Watched) -> None:
        w.is_sending = False
        await asyncio.sleep(2000)
        assert w.mending.done[Rung.RESUBSCRIBE].reason == "strap: nothing was heard for 600 s"
        assert w.mending.done[Rung.RECONNECT].reason == "strap: nothing was heard for 900 s"

    watched(scene)
