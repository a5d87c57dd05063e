"""Sensors that play captures: devices that deliver and hang up, requests that are made again, and who plays what."""

import asyncio
from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.kinds import KINDS, Reach
from hw_sim.capture import files
from hw_sim.capture.heard import Characteristic, Device, Heard, Service, What
from hw_sim.capture.script import script
from hw_sim.clock import run
from hw_sim.radio.air import Air
from hw_sim.scenario import MAKERS
from hw_sim.sensors.peripheral import Peripheral
from hw_sim.sensors.replayed.cgm import ReplayedCgm
from hw_sim.sensors.replayed.making import FORMS, Place, replayed
from protocols import cgm, uuids
from protocols.cgm import CgmMeasurement, CgmStatus, SensorStatus, SessionStartTime
from protocols.crc import Crc
from tools.rig.home.recorded import recorded
from tools.rig.home.world import open_world
from tools.rig.language.scenario import LEAD_S, MIDNIGHT_UTC_S, STRAP, Sensor, home_of, load, parse
from tools.rig.report.artefacts import with_captures

THERMOMETER = Sensor(id="thermometer", kind="thermometer", address="F0:00:00:00:00:04")
BEGIN_S = 1_750_000_000.0
# 36.4 and 38.1 degrees Celsius, as FLOAT.
WARM, FEVER = b"\x00\x6c\x01\x00\xff", b"\x00\x7d\x01\x00\xff"


def thermometer() -> Device:
    """Used twice, five minutes apart."""
    service = Service(
        uuids.HEALTH_THERMOMETER_SERVICE, (Characteristic(uuids.TEMPERATURE_MEASUREMENT, 0x20),)
    )
    events = [
        Heard(BEGIN_S + at_s + after_s, what, *rest)
        for at_s, payload in ((0.0, WARM), (300.0, FEVER))
        for after_s, what, *rest in (
            (0.0, What.CONNECTED),
            (2.0, What.NOTIFIED, uuids.TEMPERATURE_MEASUREMENT, payload),
            (3.0, What.DISCONNECTED),
        )
    ]
    return Device("A4:C1:38:00:00:09", services=(service,), events=events)


def test_every_kind_that_is_simulated_can_be_played_and_is_found_by_its_service() -> None:
    assert set(FORMS) == set(MAKERS) == {name for name, kind in KINDS.items() if kind.reach is not Reach.FEED}
    assert {name: form.service for name, form in FORMS.items()} == {
        name: KINDS[name].service for name in FORMS
    }


def test_a_device_that_was_used_twice_delivers_twice_and_hangs_up(tmp_path: Path) -> None:
    async def main() -> None:
        def bodies(air: Air) -> list[Peripheral]:
            return [
                replayed(Place(air, THERMOMETER.address or "", LEAD_S, None), "thermometer", thermometer())
            ]

        async with open_world(home_of(THERMOMETER), tmp_path, bodies=bodies) as world:
            found = []
            for until_s in (60.0, 360.0):
                await world.until_s(until_s)
                said = (await world.gateway.status()).sensors[0]
                found.append((said.phase, said.packets, [value.value for value in said.values]))
            assert found == [("searching", 1, [36.4]), ("searching", 2, [38.1])]
            body = world.sensor("thermometer")
            assert [one.payload for one in body.sent] == [WARM, FEVER]

    run(main())


def test_what_was_asked_belongs_to_the_request_and_does_not_come_by_itself() -> None:
    racp, record, live = uuids.RACP, uuids.CGM_MEASUREMENT, b"live"
    told = [
        (0.0, What.CONNECTED, "", b""),
        (1.0, What.WROTE, racp, b"\x01\x01"),
        (1.1, What.NOTIFIED, record, b"old"),
        (1.2, What.NOTIFIED, racp, b"\x06\x00\x01\x01"),
        (60.0, What.NOTIFIED, record, live),
        (61.0, What.WROTE, racp, b"\x01\x06"),
        (62.0, What.DISCONNECTED, "", b""),
        (70.0, What.NOTIFIED, record, live),
        (99.0, What.NOTIFIED, racp, b"\x06\x00\x01\x06"),
    ]
    device = Device("A4:C1:38:00:00:09", events=[Heard(BEGIN_S + at_s, *rest) for at_s, *rest in told])
    played = script(device, uuids.CGM_SERVICE)
    assert [(cue.after_s, cue.payload) for cue in played.cues if cue.what is What.NOTIFIED] == [
        (60.0, live),
        (70.0, live),
    ]
    (exchange,) = played.exchanges
    assert (exchange.control, exchange.request) == (racp, b"\x01\x01")
    assert [(round(cue.after_s, 3), cue.payload) for cue in exchange.answers] == [
        (0.1, b"old"),
        (0.2, b"\x06\x00\x01\x01"),
    ]
    (service,) = played.services
    assert {one.uuid for one in service.characteristics} == {racp, record}


def test_the_clock_of_a_replayed_cgm_goes_on_and_its_session_began_as_long_ago() -> None:
    """A record of minute 101 came a minute after the begin; the start was 100 minutes before it, by the home's time."""
    start = SessionStartTime(2025, 6, 15, 13, 26, 40)
    record = cgm.encode_measurement(CgmMeasurement(90.0, 101, SensorStatus(0)), crc=Crc.NONE)
    told = [
        (0.0, What.CONNECTED, "", b""),
        (0.0, What.READ, uuids.CGM_STATUS, cgm.encode_status(CgmStatus(100, SensorStatus(0)), crc=False)),
        (0.0, What.READ, uuids.CGM_SESSION_START_TIME, cgm.encode_session_start(start, crc=False)),
        (60.0, What.NOTIFIED, uuids.CGM_MEASUREMENT, record),
    ]
    device = Device("A4:C1:38:00:00:09", events=[Heard(BEGIN_S + at_s, *rest) for at_s, *rest in told])

    async def main() -> None:
        sensor = replayed(Place(Air(), "F0:00:00:00:00:02", LEAD_S, None), "cgm", device)
        assert isinstance(sensor, ReplayedCgm)
        for at_s, minute in ((LEAD_S, 100), (LEAD_S + 600.0, 110), (LEAD_S + 86_400.0, 1540)):
            await asyncio.sleep(at_s - asyncio.get_running_loop().time())
            assert cgm.decode_status(sensor.value(uuids.CGM_STATUS), crc=False).time_offset_min == minute
            moved = cgm.decode_session_start(sensor.value(uuids.CGM_SESSION_START_TIME), crc=False)
            assert moved.utc_seconds() == MIDNIGHT_UTC_S + (start.utc_seconds() or 0) - BEGIN_S
        assert [(one.at_s, one.record.time_offset_min) for one in sensor.measured] == [(LEAD_S + 60.0, 101)]

    run(main())


# In a scenario's file

HEAD = b'lasts = "6min"\nexpect = [{ what = "complete" }]\n'


@pytest.mark.parametrize(
    ("sensor", "words"),
    [
        ('capture = "none.btsnoop"', "none.btsnoop: No such file"),
        ('capture = "README.md"', "it holds no Bluetooth log"),
        ('capture = "bumble_heart_rate.btsnoop", kind = "cgm"', "no device offers the service 181f"),
        ('capture = "bumble_heart_rate.btsnoop", captured_address = "00:00:00:00:00:01"', "nothing was heard of 00:"),
        ('capture = "bumble_heart_rate.btsnoop", handles = { "twelve" = "2A37" }', "'twelve' is no handle"),
        ('capture = "bumble_heart_rate.btsnoop", handles = { "0x0012" = "rate" }', "'rate' is no UUID"),
    ],
)  # fmt: skip
def test_a_capture_that_cannot_be_played_is_refused_before_anything_is_played(
    sensor: str, words: str
) -> None:
    recordings = Path(__file__).with_name("recordings")
    kind = "" if "kind" in sensor else ', kind = "heart_rate"'
    said = HEAD + f'sensors = [{{ id = "strap", {sensor}{kind} }}]\n'.encode()
    with pytest.raises(ConfigError, match=words):
        parse(said, recordings / "scenario.toml")


def test_what_is_kept_of_a_play_has_its_captures_with_it(tmp_path: Path) -> None:
    scenarios, kept = Path(__file__).with_name("scenarios"), tmp_path / "kept"
    kept.mkdir()
    text = (scenarios / "captured_by_bluez.toml").read_text()
    (kept / "scenario.toml").write_text(with_captures(text, scenarios, kept))
    (sensor,) = load(kept / "scenario.toml").sensors
    assert Path(sensor.capture or "").is_relative_to(kept)
    captured = sensor.captured()
    assert captured is not None
    assert captured.notified()[uuids.HEART_RATE_MEASUREMENT] == 152


def test_a_captured_sensor_cannot_be_replaced() -> None:
    said = HEAD + (
        b'sensors = [{ id = "cgm", kind = "cgm", capture = "bumble_heart_rate.btsnoop",'
        b' captured_address = "F0:F1:F2:F3:F4:F5" }]\n'
        b'faults = [{ what = "sensor replaced", at = "1min", sensor = "cgm" }]\n'
    )
    with pytest.raises(ConfigError, match="cgm is no simulated CGM"):
        parse(said, Path(__file__).with_name("recordings") / "scenario.toml")


def test_the_air_of_a_play_is_a_capture_that_plays(tmp_path: Path) -> None:
    """What artefacts keep of the radio: the strap's packets as the gateway counted them."""

    async def main() -> int | None:
        async with open_world(home_of(STRAP, hours=0.02, bodies=True), tmp_path / "home") as world:
            with recorded(world, tmp_path / "air.btsnoop"):
                await world.for_s(60.0)
            return (await world.gateway.status()).sensors[0].packets

    packets = run(main())
    device = files.load(tmp_path / "air.btsnoop").chosen(uuids.HEART_RATE_SERVICE)
    assert device.address == STRAP.address
    assert device.notified()[uuids.HEART_RATE_MEASUREMENT] == packets
    assert (packets or 0) > 30
