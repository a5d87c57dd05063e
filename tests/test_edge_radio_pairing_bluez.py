"""The agent and what is asked of BlueZ, over real D-Bus messages with a stand-in for BlueZ."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDBusError
from dbus_fast import MessageType
from fake_bluez import FakeBluez, RefusedError, fake_bluez, path_of

from edge.errors import SensorLost
from edge.radio.pairing import bluez
from edge.radio.pairing.agent import CAPABILITY, PATH
from edge.radio.pairing.bluez import BluezPairing
from edge.radio.pairing.ceremony import Asked, Ceremony
from edge.radio.trouble import Trouble

SENSOR, OTHER = "F0:00:00:00:00:02", "F0:00:00:00:00:99"
FAILED = "org.bluez.Error.AuthenticationFailed"
REJECTED = "org.bluez.Error.Rejected"
WAIT_S = 10.0


def device(address: str = SENSOR) -> BLEDevice:
    return BLEDevice(address, None, {"path": path_of(address)})


def ceremony(passkey: int | None = 12_345, *, confirms: bool = False, by_person: bool = False) -> Ceremony:
    return Ceremony(SENSOR, passkey, confirms=confirms, by_person=by_person)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[tuple[FakeBluez, BluezPairing]]:
    async with fake_bluez(directory) as fake:
        fake.know(SENSOR, Paired=False, Bonded=False, Trusted=False)
        pairing = BluezPairing(fake.open_bus)
        running = asyncio.ensure_future(pairing.run())
        try:
            await until(lambda: fake.agent is not None)
            await until(lambda: "RequestDefaultAgent" in [call[0] for call in fake.calls])
            yield fake, pairing
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def refused(fake: FakeBluez, member: str, signature: str, *body: Any) -> str | None:
    """The error with which the agent answers; None if it agrees."""
    answer = await fake.ask_agent(member, signature, *body)
    return answer.error_name if answer.message_type is MessageType.ERROR else None


def test_the_agent_has_a_keyboard_and_a_display(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as (fake, _):
            assert fake.agent == (PATH, "KeyboardDisplay")
            assert CAPABILITY == "KeyboardDisplay"

    asyncio.run(main())


def test_a_passkey_is_told_to_the_sensor_that_is_being_paired(tmp_path: Path) -> None:
    answers = []

    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):

            async def on_pair(path: str) -> None:
                answers.append((await fake.ask_agent("RequestPasskey", "o", path)).body)

            fake.on_pair = on_pair
            one = ceremony()
            await pairing.pair(device(), one)
            assert answers == [[12_345]]
            assert one.is_authenticated
            assert await pairing.standing(device()) == (True, False, None)
            await pairing.trust(device())
            assert (await pairing.standing(device())).is_trusted

    asyncio.run(main())


def test_sensors_are_paired_one_after_the_other_whatever_the_adapter(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):
            pairing_now: list[str] = []

            async def on_pair(path: str) -> None:
                pairing_now.append(path)
                assert len(pairing_now) == 1
                assert (await fake.ask_agent("RequestPasskey", "o", path)).body == [12_345]
                pairing_now.remove(path)

            fake.on_pair = on_pair
            await asyncio.gather(*(pairing.pair(device(), ceremony()) for _ in range(2)))

    asyncio.run(main())


def test_a_sensor_is_trusted_only_after_it_was_paired(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):

            async def on_pair(_: str) -> None:
                assert not fake.told(SENSOR, "Trusted")
                raise RefusedError(FAILED)

            fake.on_pair = on_pair
            with pytest.raises(BleakDBusError, match=FAILED):
                await pairing.pair(device(), ceremony())
            assert not fake.told(SENSOR, "Trusted")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("member", "signature", "body"),
    [
        ("RequestPasskey", "o", ()),
        ("RequestConfirmation", "ou", (123_456,)),
        ("RequestAuthorization", "o", ()),
        ("DisplayPasskey", "ouq", (123_456, 0)),
        ("AuthorizeService", "os", ("0000180d-0000-1000-8000-00805f9b34fb",)),
        ("RequestPinCode", "o", ()),
        ("DisplayPinCode", "os", ("0000",)),
    ],
)
def test_whoever_is_not_being_paired_is_rejected(
    tmp_path: Path, member: str, signature: str, body: tuple[Any, ...]
) -> None:
    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):
            assert await refused(fake, member, signature, path_of(SENSOR), *body) == REJECTED

            async def on_pair(_: str) -> None:
                assert await refused(fake, member, signature, path_of(OTHER), *body) == REJECTED

            fake.on_pair = on_pair
            await pairing.pair(device(), ceremony(confirms=True))
            assert await refused(fake, member, signature, path_of(SENSOR), *body) == REJECTED

    asyncio.run(main())


@pytest.mark.parametrize("confirms", [True, False])
@pytest.mark.parametrize(
    ("member", "signature", "body"),
    [("RequestConfirmation", "ou", (123_456,)), ("RequestAuthorization", "o", ())],
)
def test_what_nobody_can_check_is_agreed_to_if_the_policy_says_so(
    tmp_path: Path, member: str, signature: str, body: tuple[Any, ...], *, confirms: bool
) -> None:
    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):
            said = []

            async def on_pair(path: str) -> None:
                said.append(await refused(fake, member, signature, path, *body))

            fake.on_pair = on_pair
            one = ceremony(confirms=confirms)
            await pairing.pair(device(), one)
            assert said == [None if confirms else REJECTED]
            assert not one.is_authenticated

    asyncio.run(main())


def test_a_service_is_not_offered_even_to_the_sensor_that_is_being_paired(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):

            async def on_pair(path: str) -> None:
                assert await refused(fake, "AuthorizeService", "os", path, "180d") == REJECTED

            fake.on_pair = on_pair
            await pairing.pair(device(), ceremony(confirms=True))

    asyncio.run(main())


def test_a_passkey_to_be_entered_on_the_sensor_is_shown(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):
            one = ceremony()

            async def on_pair(path: str) -> None:
                for entered in range(3):
                    assert await refused(fake, "DisplayPasskey", "ouq", path, 42, entered) is None
                assert (one.shown, one.asked) == (42, Asked.SHOWN)

            fake.on_pair = on_pair
            await pairing.pair(device(), one)
            assert one.is_authenticated

    asyncio.run(main())


def test_a_person_is_waited_for_and_without_one_the_answer_is_no(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):
            one, answers = ceremony(None, by_person=True), []

            async def on_pair(path: str) -> None:
                answers.append(await fake.ask_agent("RequestPasskey", "o", path))

            fake.on_pair = on_pair
            pairs = asyncio.ensure_future(pairing.pair(device(), one))
            await until(lambda: one.awaits_passkey)
            assert one.answer(999_999)
            await pairs
            fake.know(SENSOR, Paired=False)
            await pairing.pair(device(), ceremony(None))
            assert answers[0].body == [999_999]
            assert answers[1].error_name == REJECTED

    asyncio.run(main())


def test_what_bluez_calls_off_is_not_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):
            one = ceremony(None, by_person=True)

            async def on_pair(path: str) -> None:
                asking = asyncio.ensure_future(fake.ask_agent("RequestPasskey", "o", path))
                await until(lambda: one.awaits_passkey)
                assert await refused(fake, "Cancel", "") is None
                assert (await asking).error_name == REJECTED
                raise RefusedError("org.bluez.Error.AuthenticationCanceled")

            fake.on_pair = on_pair
            with pytest.raises(BleakDBusError, match="Canceled"):
                await pairing.pair(device(), one)

    asyncio.run(main())


def test_a_pairing_without_end_is_called_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bluez, "CEREMONY_S_MAX", 0.1)

    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):

            async def on_pair(_: str) -> None:
                await asyncio.get_running_loop().create_future()

            fake.on_pair = on_pair
            with pytest.raises(BleakDBusError, match="AuthenticationTimeout"):
                await pairing.pair(device(), ceremony())
            assert fake.calls[-1][:2] == ("CancelPairing", path_of(SENSOR))
            assert await refused(fake, "RequestPasskey", "o", path_of(SENSOR)) == REJECTED

    asyncio.run(main())


def test_who_is_paired_already_is_no_failure(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):
            fake.refuses["Pair"] = "org.bluez.Error.AlreadyExists"
            await pairing.pair(device(), ceremony())

    asyncio.run(main())


@pytest.mark.parametrize(
    ("properties", "is_bonded"),
    [
        ({"Paired": True, "Bonded": True}, True),
        ({"Paired": True}, True),
        # With a key that is for debugging, a device is paired as long as the link lasts, and not bonded.
        ({"Paired": True, "Bonded": False}, False),
        ({"Paired": False, "Bonded": False}, False),
    ],
)
def test_a_bond_is_a_key_that_is_kept(
    tmp_path: Path, properties: dict[str, bool], *, is_bonded: bool
) -> None:
    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):
            fake.know(SENSOR, **properties)
            assert (await pairing.standing(device())).is_bonded is is_bonded
            assert not (await pairing.standing(device(OTHER))).is_bonded

    asyncio.run(main())


def test_a_device_is_forgotten_by_its_address(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):
            fake.know(OTHER, Paired=True)
            assert await pairing.forget(SENSOR)
            assert not await pairing.forget(SENSOR)
            assert list(fake.devices) == [path_of(OTHER)]

    asyncio.run(main())


def test_links_that_come_up_and_end_are_counted_for_the_device_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):
            fake.know(OTHER)
            async with pairing.watch(device()) as trial:
                for is_connected in (True, False, True, False):
                    fake.change(SENSOR, Connected=is_connected)
                    fake.change(OTHER, Connected=is_connected)
                await until(lambda: trial.came_up == 2)
                assert not trial.flapping.is_set()
                fake.change(SENSOR, Connected=False)
                await trial.flapping.wait()
            assert not any("PropertiesChanged" in rule for rule in fake.rules)

    asyncio.run(main())


def test_the_agent_is_registered_again_when_bluetoothd_returns(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as (fake, _):
            fake.restart()
            await until(lambda: fake.agent is not None)

    asyncio.run(main())


def test_the_agent_is_registered_again_when_the_bus_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bluez, "RETRY_S", 0.05)

    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):
            await fake.close()
            await asyncio.sleep(0.2)
            with pytest.raises(OSError, match="bus"):
                await pairing.standing(device())
            await fake.open()
            await until(lambda: fake.agent is not None)
            await until(lambda: "again" in caplog.text)

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert caplog.text.count("cannot ask this gateway for passkeys") == 1


def test_a_service_that_comes_late_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bluez, "RETRY_S", 0.05)

    async def main() -> None:
        async with fake_bluez(tmp_path) as fake:
            fake.refuses["RegisterAgent"] = "org.freedesktop.DBus.Error.ServiceUnknown"
            running = asyncio.ensure_future(BluezPairing(fake.open_bus).run())
            await until(lambda: len(fake.calls) > 3)
            del fake.refuses["RegisterAgent"]
            await until(lambda: fake.agent is not None)
            running.cancel()
            await asyncio.wait({running})

    asyncio.run(main())


def test_a_service_that_says_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bluez, "ANSWER_S_MAX", 0.1)

    async def main() -> None:
        async with world(tmp_path) as (fake, pairing):
            fake.is_silent = True
            with pytest.raises(SensorLost) as lost:
                await pairing.standing(device())
            assert lost.value.trouble is Trouble.SERVICE_SILENT

    asyncio.run(main())
