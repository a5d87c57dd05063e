"""`vitalgate capture`: pseudonyms, files of the user's own, what is shown of captures of others."""

import json
import random
import stat
from pathlib import Path

import pytest
from capture_parts import STRAP, archive, bumble_capture, summary
from typer.testing import CliRunner

from hw_sim.capture import btsnoop, files
from hw_sim.capture.hci_log import HciLog
from hw_sim.capture.heard import Characteristic, Device, Heard, Service, What, joined, long, octets_of, parts
from protocols import uuids
from tools.capture.pseudonyms import Pseudonyms
from tools.cli import app

TOLD = [(60 + n, [1.0, 0.5 + n / 128] if n % 3 else []) for n in range(20)]
HEART = uuids.HEART_RATE_MEASUREMENT


@pytest.fixture(scope="module")
def content() -> bytes:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return bumble_capture(monkeypatch, TOLD)


@pytest.fixture
def capture(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "theirs.btsnoop"
    path.write_bytes(content)
    return path


def typed(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["capture", *map(str, words)])
    assert result.exit_code == code, result.output
    return result.output if code == 0 else result.stderr


def rates(path: Path) -> list[bytes]:
    device = files.load(path).chosen(uuids.HEART_RATE_SERVICE)
    return [one.payload for one in device.events if one.characteristic == HEART and one.what is What.NOTIFIED]


# Showing


def test_a_capture_of_others_is_shown(capture: Path, tmp_path: Path, content: bytes) -> None:
    said = typed("show", capture)
    assert f"{STRAP} 'Bumble HR'" in said
    assert "20 notifications of 2a37 Heart Rate Measurement" in said
    report = tmp_path / "bugreport.zip"
    report.write_bytes(archive({"dumpstate.txt": summary(list(btsnoop.packets(content)))}))
    (device,) = json.loads(typed("show", report, "--json"))["devices"]
    assert (device["address"], device["notified"]) == (STRAP, {"2a37": 20})
    assert "180d" in device["services"]


def test_handles_that_no_discovery_names_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "resumed.btsnoop"
    path.write_bytes(bumble_capture(monkeypatch, TOLD, discovers=False))
    said = typed("show", path)
    handle = said.partition("--handle ")[2].partition("=")[0]
    assert "20 notifications of 2a37" in typed("show", path, "--handle", f"{handle}=2A37")
    assert "'0x12' is no handle with a UUID" in typed("show", path, "--handle", "0x12", code=2)


@pytest.mark.parametrize("words", [("show",), ("convert", "--out", "out.jsonl")])
def test_what_is_no_capture_is_one_line(tmp_path: Path, words: tuple[str, ...], monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_bytes(b"\x7fELF")
    command, *rest = words
    assert typed(command, "x", *rest, code=2).count("\n") == 1
    assert typed(command, "none", *rest, code=2).count("\n") == 1
    assert not (tmp_path / "out.jsonl").exists()


# Pseudonyms


def test_a_converted_capture_tells_nobody_and_plays_the_same(capture: Path, tmp_path: Path) -> None:
    for name in ("own.jsonl", "own.btsnoop"):
        out = tmp_path / name
        typed("convert", capture, "--out", out)
        octets = out.read_bytes()
        for real in (STRAP, STRAP.replace(":", "").lower(), "Bumble"):
            assert real.encode() not in octets
        address = bytes.fromhex(STRAP.replace(":", ""))
        assert address not in octets
        assert address[::-1] not in octets
        assert rates(out) == rates(capture)
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "it is there already" in typed("convert", capture, "--out", out, code=2)


def test_one_key_gives_one_pseudonym_and_no_key_another_each_time(capture: Path, tmp_path: Path) -> None:
    def address(name: str, *words: object) -> str:
        typed("convert", capture, "--out", tmp_path / name, *words)
        (found,) = files.load(tmp_path / name).devices
        return found

    key = "--key-file", tmp_path / "key"
    kept = address("1.jsonl", *key)
    assert address("2.jsonl", *key) == kept
    assert len({address("3.jsonl"), address("4.jsonl"), kept}) == 3
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert address("5.jsonl", "--identified") == STRAP
    (tmp_path / "short").write_bytes(b"1234")
    said = typed("convert", capture, "--out", tmp_path / "6", "--key-file", tmp_path / "short", code=2)
    assert "fewer than 32 octets" in said


SERIAL, SYSTEM, NAME = uuids.SERIAL_NUMBER, long("2a23"), long("2a00")


def test_what_tells_whose_it_is_is_replaced_wherever_it_stands() -> None:
    pseudonyms = Pseudonyms(b"k" * 32)
    address = bytes.fromhex(STRAP.replace(":", ""))
    device = Device(STRAP, "Jo's strap")
    shown = pseudonyms.device(device)
    assert shown.address != STRAP
    assert shown.name is not None
    assert "Jo" not in shown.name
    new = bytes.fromhex(shown.address.replace(":", ""))
    told = {
        Heard(0, What.READ, SERIAL, b"SN12345678"): lambda payload: b"123" not in payload and len(payload) == 10,
        Heard(0, What.READ, SYSTEM, address + b"\0\0"): lambda payload: address not in payload and len(payload) == 8,
        Heard(0, What.READ, NAME, b"Jo's strap"): lambda payload: b"Jo" not in payload,
        Heard(0, What.NOTIFIED, HEART, b"\0" + address + b"\1"): lambda payload: payload == b"\0" + new + b"\1",
        Heard(0, What.NOTIFIED, HEART, address[::-1]): lambda payload: payload == new[::-1],
        Heard(0, What.WROTE, uuids.USER_CONTROL_POINT, b"\x02\x01\xd2\x04"): lambda payload: (
            payload[:2] == b"\x02\x01" and payload[2:] != b"\xd2\x04" and len(payload) == 4
        ),
        Heard(0, What.NOTIFIED, HEART, b"\x16\x48\x34\x03"): lambda payload: payload == b"\x16\x48\x34\x03",
    }  # fmt: skip
    for event, is_right in told.items():
        assert is_right(pseudonyms.event(event).payload), event
    data = joined([(0xFF, b"\x59\0" + address[::-1]), (0x09, b"Jo's strap"), (0x03, b"\x0d\x18")])
    found = dict(parts(pseudonyms.event(Heard(0, What.ADVERTISED, "", data)).payload))
    assert found[0xFF] == b"\x59\0" + new[::-1]
    assert found[0x09] == shown.name.encode()
    assert found[0x03] == b"\x0d\x18"


# As a btsnoop file


def random_device(rng: random.Random) -> Device:
    uuids_left = [long(f"{n:04x}") for n in range(0x2A00, 0x2A40)] + [
        f"{n:08x}-1234-5678-9abc-def012345678" for n in range(8)
    ]
    rng.shuffle(uuids_left)
    services = tuple(
        Service(
            long(f"{0x1800 + n:04x}"),
            tuple(
                Characteristic(uuids_left.pop(), rng.choice([2, 8, 10, 16, 32, 18]))
                for _ in range(rng.randint(0, 6))
            ),
        )
        for n in range(rng.randint(1, 4))
    )
    return Device(rng.randbytes(6).hex(":").upper(), services=services)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_as_a_btsnoop_file_is_read_as_it_was(seed: int) -> None:
    rng = random.Random(seed)
    devices = [random_device(rng) for _ in range(3)]
    at_s, log, octets = 1_750_000_000.0, HciLog(), btsnoop.header()
    for device in devices:
        device.events.append(Heard(at_s, What.CONNECTED))
    for _ in range(60):
        at_s = round(at_s + rng.random(), 6)
        device = rng.choice(devices)
        names = [one.uuid for service in device.services for one in service.characteristics]
        what = rng.choice(
            [What.READ, What.WROTE, What.NOTIFIED, What.ADVERTISED] if names else [What.ADVERTISED]
        )
        payload = rng.randbytes(rng.randint(1, 100))
        if what is What.ADVERTISED:
            device.events.append(Heard(at_s, what, "", joined([(0xFF, payload)])))
        else:
            device.events.append(Heard(at_s, what, rng.choice(names), payload))
    for device in devices:
        device.events.append(Heard(at_s + 1, What.DISCONNECTED))
    every = sorted(
        ((one.at_s, n, one) for n, device in enumerate(devices) for one in device.events), key=lambda e: e[:2]
    )
    for _, n, event in every:
        octets += b"".join(btsnoop.record(packet) for packet in log.packets(devices[n], event))
    read = files.parse(octets)
    for device in devices:
        found = read.devices[device.address]
        assert found.services == device.services
        assert [one[1:] for one in found.events] == [one[1:] for one in device.events]
        assert all(abs(a.at_s - b.at_s) < 2e-6 for a, b in zip(found.events, device.events, strict=True))


def test_uuids_go_over_the_air_as_they_came() -> None:
    assert octets_of(long("2a37")) == b"\x37\x2a"
    other = "fb005c80-02e7-f387-1cad-8acd2d8df0c8"
    assert octets_of(other)[::-1].hex() == other.replace("-", "")
