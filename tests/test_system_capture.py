"""A gateway's capture of one home is played in another, and the same comes out upstream.

Recorded is by the socket's own answers; played are the files that `vitalgate capture` writes of them.
"""

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from edge.local.status import StatusDocument
from hw_sim.capture import files
from hw_sim.capture.heard import Capture, What
from hw_sim.clock import run
from hw_sim.radio.air import Air
from hw_sim.sensors.peripheral import Peripheral
from hw_sim.sensors.replayed.connected import ReplayedSensor
from hw_sim.sensors.replayed.making import FORMS, Place, replayed
from hw_sim.sensors.xiaomi_scale import Step, XiaomiScale
from protocols import uuids
from tools.capture.pseudonyms import Pseudonyms
from tools.capture.recording import Sensors, _utc_s
from tools.capture.writing import Writer
from tools.rig.home.world import Bodies, World, open_world
from tools.rig.language.scenario import CGM, LEAD_S, STRAP, Sensor, home_of
from tools.rig.verdict.received import receive

AIDEX = Sensor(id="aidex", kind="aidex", address="LinX-22222DXJ9C")
SCALE = Sensor(id="scale", kind="xiaomi_scale", address="F0:00:00:00:00:05")
NAMES = {"jsonl": Path("out.jsonl"), "btsnoop": Path("out.btsnoop")}


class Kept(io.BytesIO):
    """A file that can be read after it was closed."""


def recorded(
    directory: Path, sensors: Sequence[Sensor], minutes: float, form: str, bodies: Bodies | None = None, **how
) -> tuple[bytes, dict]:
    """What the gateway of a home has recorded, and what it had upstream, or knew when the recording ended."""

    async def main() -> tuple[bytes, dict]:
        file = Kept()
        scenario = home_of(*sensors, hours=minutes / 60, bodies=True, **how)
        async with open_world(scenario, directory, bodies=bodies) as world:
            recording = asyncio.ensure_future(record(world, file, form))
            await world.for_s(60 * minutes + 120)
            recording.cancel()
            await asyncio.wait({recording})
            then = known(await world.gateway.status())
            return file.getvalue(), await told(world) | then

    return run(main())


async def record(world: World, file: io.BytesIO, form: str, replaced: Pseudonyms | None = None) -> None:
    """As `tools.capture.recording` does with the lines of the socket."""
    sensors = writer = None
    async for line in world.gateway.reception.recorded():
        said = msgspec.json.decode(msgspec.json.encode(line), type=type(line))
        if sensors is None:
            sensors, writer = Sensors(said), Writer({NAMES[form]: file}, _utc_s(said), replaced)
        elif hasattr(said, "what"):
            writer.write(*sensors.event(said))


def known(said: StatusDocument) -> dict:
    """The newest values, and how many packets of each sensor could be read."""
    return {
        "packets": {one.id: one.packets for one in said.sensors},
        "values": {one.id: {v.measurement: v.value for v in one.values} for one in said.sensors},
    }


async def told(world: World) -> dict:
    """What is upstream at the end, and known."""
    await world.until_settled()
    received = receive(world.bundles)
    said = await world.gateway.status()
    return {
        "glucose": sorted(reading.value_mg_dl for reading in received.readings.get("patient-jo", [])),
        "beats": sum(window.beats for window in received.windows.get("patient-jo", [])),
    } | known(said)


def played(
    directory: Path, capture: Capture, sensors: Sequence[Sensor], minutes: float
) -> tuple[list[Peripheral], dict]:
    async def main() -> tuple[list[Peripheral], dict]:
        def bodies(air: Air) -> list[Peripheral]:
            found = []
            for one in sensors:
                address = one.address or ""
                device = capture.chosen(FORMS[one.kind].service)
                found.append(replayed(Place(air, address, 60.0, None), one.kind, device))
            return found

        async with open_world(home_of(*sensors, hours=minutes / 60), directory, bodies=bodies) as world:
            await world.for_s(60 * minutes + 420)
            return list(world.home.sensors.values()), await told(world)

    return run(main())


@pytest.mark.parametrize("form", ["jsonl", "btsnoop"])
def test_a_strap_that_was_recorded_is_played_beat_by_beat(tmp_path: Path, form: str) -> None:
    content, before = recorded(tmp_path / "one", [STRAP], 6, form)
    capture = files.parse(content)
    (strap,), after = played(tmp_path / "two", capture, [STRAP], 8)
    device = capture.chosen(uuids.HEART_RATE_SERVICE)
    assert before["packets"]["strap"] > 300
    sent = [one.payload for one in device.events if one.what is What.NOTIFIED]
    assert isinstance(strap, ReplayedSensor)
    assert [one.payload for one in strap.sent] == sent
    assert after["beats"] == len(strap.carried) > 200


@pytest.mark.parametrize("form", ["jsonl", "btsnoop"])
def test_a_glucose_sensor_that_was_recorded_is_fetched_and_heard_as_it_was(tmp_path: Path, form: str) -> None:
    """It was worn for two hours when the recording began; the gateway fetched those, and so does the other."""
    content, before = recorded(tmp_path / "one", [CGM], 60, form, history_s=7200.0)
    capture = files.parse(content)
    _, after = played(tmp_path / "two", capture, [CGM], 60)
    assert len(before["glucose"]) > 30
    assert after["glucose"] == before["glucose"]


def steps(air: Air) -> list[Peripheral]:
    """Somebody steps onto a scale, twice."""
    told = iter([Step(120.0, 70.5), Step(400.0, 71.0)])
    return [XiaomiScale(air, SCALE.address, told, begin_s=LEAD_S)]


@pytest.mark.parametrize("form", ["jsonl", "btsnoop"])
@pytest.mark.parametrize(("sensor", "bodies"), [(AIDEX, None), (SCALE, steps)], ids=["aidex", "scale"])
def test_what_was_advertised_is_advertised_again(
    tmp_path: Path, sensor: Sensor, bodies: Bodies | None, form: str
) -> None:
    content, before = recorded(tmp_path / "one", [sensor], 8, form, bodies)
    capture = files.parse(content)
    _, after = played(tmp_path / "two", capture, [sensor], 9)
    (device,) = capture.devices.values()
    assert {one.what for one in device.events} == {What.ADVERTISED}
    assert after["packets"] == before["packets"] != {sensor.id: 0}
    assert after["values"] == before["values"] != {sensor.id: {}}
