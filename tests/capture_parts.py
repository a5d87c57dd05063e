"""Captures that others write: Bumble's own heart-rate sensor, heard by Bumble's client, noted by Bumble's snooper."""

import asyncio
import base64
import io
import struct
import types
import zipfile
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import bumble.snoop
import pytest
from bumble.core import AdvertisingData
from bumble.device import Device, DeviceConfiguration, Peer
from bumble.hci import Address
from bumble.host import Host
from bumble.profiles.heart_rate_service import HeartRateService, HeartRateServiceProxy

from hw_sim.capture.btsnoop import Packet
from hw_sim.clock import run
from hw_sim.radio.air import Air

BEGIN = datetime(2025, 6, 1, 12, tzinfo=UTC)
STRAP = "F0:F1:F2:F3:F4:F5"


class Moment(datetime):
    """What Bumble takes for the time, in virtual time."""

    @classmethod
    def now(cls, tz=None):
        return BEGIN + timedelta(seconds=asyncio.get_running_loop().time())


def bumble_capture(
    monkeypatch: pytest.MonkeyPatch, told: Sequence[tuple[int, Sequence[float]]], *, discovers: bool = True
) -> bytes:
    """A btsnoop file of a strap that tells a rate and intervals (s) each second."""
    file = io.BytesIO()
    stand_in = types.SimpleNamespace(datetime=Moment, timedelta=timedelta, UTC=UTC)
    monkeypatch.setattr(bumble.snoop, "datetime", stand_in)
    snooper = bumble.snoop.BtSnooper(file)

    async def main() -> None:
        air = Air()
        strap = _device("Bumble HR", STRAP, air)
        turn = iter(told)
        service = HeartRateService(
            read_heart_rate_measurement=lambda _: measurement(*next(turn)),
            body_sensor_location=HeartRateService.BodySensorLocation.CHEST,
        )
        strap.add_service(service)
        parts = [(AdvertisingData.COMPLETE_LOCAL_NAME, b"Bumble HR"), (0x03, b"\x0d\x18")]
        strap.advertising_data = bytes(AdvertisingData(parts))
        await strap.power_on()
        await strap.start_advertising()
        central = _device("central", "C0:00:00:00:00:01", air)
        central.host.snooper = snooper
        await central.power_on()
        await central.start_scanning()
        await asyncio.sleep(1.0)
        await central.stop_scanning()
        connection = await central.connect(Address(STRAP))
        if not discovers:
            central.host.snooper = None
        peer = Peer(connection)
        await peer.discover_services()
        for one in peer.services:
            await one.discover_characteristics()
        proxy = peer.create_service_proxy(HeartRateServiceProxy)
        await proxy.body_sensor_location.read_value()
        central.host.snooper = snooper
        await proxy.heart_rate_measurement.subscribe(lambda _: None)
        for _ in told:
            await asyncio.sleep(1.0)
            await strap.notify_subscribers(service.heart_rate_measurement_characteristic)
        await asyncio.sleep(1.0)
        await connection.disconnect()
        await asyncio.sleep(1.0)

    run(main())
    return file.getvalue()


def measurement(bpm: int, rr_s: Sequence[float]) -> HeartRateService.HeartRateMeasurement:
    return HeartRateService.HeartRateMeasurement(bpm, True, None, list(rr_s) or None)


def _device(name: str, address: str, air: Air) -> Device:
    controller = air.controller(name)
    return Device(
        config=DeviceConfiguration(name=name, address=Address(address)), host=Host(controller, controller)
    )


# Android, as btif_debug_btsnoop.cc has it: the octets are written here anew, from its structures.

_TYPES = {(4, False): 0x10, (2, False): 0x11, (1, True): 0x20, (2, True): 0x21}


def summary(packets: Sequence[Packet], *, version: int = 2, data_max: int = 1 << 16) -> bytes:
    """The text that a bug report has: the packets, of whose data no more than so many octets are kept."""
    entries, before_us = bytearray(), 0
    for packet in packets:
        us = round(packet.at_s * 1e6)
        kept = packet.octets if packet.kind != 2 else packet.octets[:data_max]
        kind = _TYPES[int(packet.kind), packet.is_sent]
        delta_us = us - before_us if before_us else 0
        if version == 1:
            entries += struct.pack("<HIB", len(kept) + 1, delta_us, kind) + kept
        else:
            entries += struct.pack("<HHIB", len(kept) + 1, len(packet.octets) + 1, delta_us, kind) + kept
        before_us = us
    packed = struct.pack("<BQ", version, before_us) + zlib.compress(bytes(entries))
    text = base64.b64encode(packed)
    lines = b"\n".join(text[at : at + 128] for at in range(0, len(text), 128))
    said = b"--- BEGIN:BTSNOOP_LOG_SUMMARY (%d bytes in) ---\n" % len(entries)
    return (
        b"Bluetooth Status\n  enabled: true\n" + said + lines + b"\n--- END:BTSNOOP_LOG_SUMMARY ---\nmore\n"
    )


def archive(members: dict[str, bytes]) -> bytes:
    """A bug report as a zip file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return file.getvalue()
