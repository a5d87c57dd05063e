"""Captures of others are read: what Bumble wrote of Bumble's own sensor, and the forms around it."""

import csv
import gzip
import random
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from capture_parts import BEGIN, STRAP, archive, bumble_capture, summary

from hw_sim.capture import btsnoop, bug_report, files, traffic
from hw_sim.capture.btsnoop import Kind, Packet
from hw_sim.capture.heard import Capture, CaptureError, Device, What
from protocols import heart_rate, uuids

TOLD = [(60 + n, [1.0, 0.5 + n / 128] if n % 3 else []) for n in range(40)]


@pytest.fixture(scope="module")
def content() -> bytes:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return bumble_capture(monkeypatch, TOLD)


def strap(capture: Capture) -> Device:
    return capture.chosen(uuids.HEART_RATE_SERVICE)


def notified(device: Device) -> list[tuple[float, bytes]]:
    name = uuids.HEART_RATE_MEASUREMENT
    return [
        (one.at_s, one.payload)
        for one in device.events
        if one == one._replace(what=What.NOTIFIED, characteristic=name)
    ]


def assert_told(device: Device) -> None:
    """All that Bumble's sensor told is there, once a second."""
    found = notified(device)
    readings = [heart_rate.decode(payload) for _, payload in found]
    assert [(one.heart_rate_bpm, list(one.rr_ticks or ())) for one in readings] == [
        (bpm, [round(1024 * rr_s) for rr_s in rr]) for bpm, rr in TOLD
    ]
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(found)]
    assert all(0.9 < gap_s < 1.1 for gap_s in gaps)
    assert 0 < found[0][0] - BEGIN.timestamp() < 10


def test_what_bumble_wrote_is_read(content: bytes) -> None:
    device = strap(files.parse(content))
    assert (device.address, device.name) == (STRAP, "Bumble HR")
    assert uuids.HEART_RATE_SERVICE in device.advertised
    table = {one.uuid: {c.uuid for c in one.characteristics} for one in device.services}
    assert table[uuids.HEART_RATE_SERVICE] >= {uuids.HEART_RATE_MEASUREMENT, uuids.BODY_SENSOR_LOCATION}
    read = [one for one in device.events if one.what is What.READ]
    assert [one.payload for one in read if one.characteristic == uuids.BODY_SENSOR_LOCATION] == [b"\x01"]
    whats = [one.what for one in device.events if one.what is not What.ADVERTISED]
    assert (whats[0], whats[-1]) == (What.CONNECTED, What.DISCONNECTED)
    assert_told(device)


def as_monitor(content: bytes, adapter: int = 3) -> bytes:
    """The same as btmon would write it, by its manual: an adapter's number and an opcode in the place of the flags."""
    opcodes = {(1, True): 2, (4, False): 3, (2, True): 4, (2, False): 5}
    out = bytearray(struct.pack(">8sII", b"btsnoop\0", 1, 2001))
    for packet in btsnoop.packets(content):
        flags = adapter << 16 | opcodes[int(packet.kind), packet.is_sent]
        octets, us = packet.octets, round(packet.at_s * 1e6) + 0x00DCDDB30F2F8000
        out += struct.pack(">IIIIQ", len(octets), len(octets), flags, 0, us) + octets
        note = b"bluetoothd: a line of its log\0"
        out += struct.pack(">IIIIQ", len(note), len(note), adapter << 16 | 13, 0, us) + note
    return bytes(out)


def as_h1(content: bytes) -> bytes:
    out = bytearray(struct.pack(">8sII", b"btsnoop\0", 1, 1001))
    for packet in btsnoop.packets(content):
        flags = (not packet.is_sent) | (packet.kind in (1, 4)) << 1
        octets, us = packet.octets, round(packet.at_s * 1e6) + 0x00DCDDB30F2F8000
        out += struct.pack(">IIIIQ", len(octets), len(octets), flags, 0, us) + octets
    return bytes(out)


@pytest.mark.parametrize("form", [as_monitor, as_h1])
def test_other_kinds_of_packets_bring_the_same(content: bytes, form) -> None:
    assert_told(strap(files.parse(form(content))))


@pytest.mark.parametrize("version", [1, 2])
def test_a_bug_report_brings_the_same_with_its_times(content: bytes, version: int) -> None:
    text = summary(list(btsnoop.packets(content)), version=version)
    for report in (text, archive({"version.txt": b"1", "dumpstate.txt": text, "main_entry.txt": b"d"})):
        assert_told(strap(files.parse(report)))


def test_an_archive_with_the_log_in_two_parts_is_read_in_order(content: bytes) -> None:
    cut = packet_begins(content)[len(packet_begins(content)) // 2]
    logs = "FS/data/misc/bluetooth/logs/btsnoop_hci.log"
    report = archive({logs: content[:16] + content[cut:], f"{logs}.last": content[:cut], "x.txt": b"-"})
    assert_told(strap(files.parse(report)))


def packet_begins(content: bytes) -> list[int]:
    begins, at = [], 16
    while at < len(content):
        begins.append(at)
        at += 24 + int.from_bytes(content[at + 4 : at + 8], "big")
    return begins


def test_data_of_which_a_report_kept_only_the_begin_are_not_taken_for_whole(content: bytes) -> None:
    """Android keeps 14 octets of data: of a measurement with intervals that is flags, rate and a half interval."""
    text = summary(list(btsnoop.packets(content)), data_max=14)
    found = traffic.devices(bug_report.packets(text), {})
    told = [payload for _, payload in notified(found.devices[STRAP])]
    assert all(len(payload) <= 3 for payload in told)
    assert found.cut[STRAP] >= sum(1 for _, rr in TOLD if rr)


def test_without_a_discovery_handles_are_named_by_a_map(monkeypatch: pytest.MonkeyPatch) -> None:
    content = bumble_capture(monkeypatch, TOLD, discovers=False)
    device = strap(files.parse(content))
    (handle,) = device.notified()
    assert handle.startswith("0x")
    named = files.parse(content, {int(handle, 16): uuids.HEART_RATE_MEASUREMENT})
    assert_told(strap(named))


def test_data_in_pieces_are_joined_and_what_has_no_begin_is_left_out() -> None:
    value = bytes(range(60))
    pdu = b"\x1b\x03\x00" + value
    frame = len(pdu).to_bytes(2, "little") + b"\x04\x00" + pdu

    def data(octets: bytes, boundary: int) -> Packet:
        header = (0x40 | boundary << 12).to_bytes(2, "little") + len(octets).to_bytes(2, "little")
        return Packet(1.0, 0, False, Kind.ACL, header + octets)

    pieces = [data(frame[:27], 2), data(frame[27:54], 1), data(frame[54:], 1)]
    found = traffic.devices(pieces).devices["link 0x0040"]
    assert [(one.characteristic, one.payload) for one in found.events] == [("0x0003", value)]
    headless = traffic.devices([data(frame[27:], 1), *pieces]).devices["link 0x0040"]
    assert [one.payload for one in headless.events] == [value]
    lost = traffic.devices([pieces[0], *pieces])
    assert ([one.payload for one in lost.devices["link 0x0040"].events], lost.cut["link 0x0040"]) == (
        [value],
        1,
    )


def test_two_adapters_keep_their_links_apart(content: bytes) -> None:
    """The same handle on another adapter is another link."""
    one, other = as_monitor(content, 0), as_monitor(content, 1)
    both = one + other[16:]
    found = notified(strap(files.parse(both)))
    assert len(found) == 2 * len(TOLD)


RECORDINGS = Path(__file__).with_name("recordings")


@pytest.mark.parametrize(("name", "intervals"), [("bumble", 304), ("bluez", 154)])
def test_captures_that_others_wrote_hold_the_beats_that_were_told(name: str, intervals: int) -> None:
    """What btmon and Bumble wrote of Bumble's sensor, which told the recorded beats; it cuts to whole 1/1024 s."""
    device = strap(files.load(RECORDINGS / f"{name}_heart_rate.btsnoop"))
    told = [ticks for _, payload in notified(device) for ticks in heart_rate.decode(payload).rr_ticks or ()]
    with gzip.open(RECORDINGS / "nsr2db_nsr001_rr.csv.gz", "rt") as file:
        rr_ms = [float(row["rr_ms"]) for row in csv.DictReader(file)]
    assert len(told) == intervals
    assert all(abs(ticks - ms * 1.024) <= 1 for ticks, ms in zip(told, rr_ms, strict=False))
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(notified(device))]
    assert all(0.7 < gap_s < 1.3 for gap_s in gaps)


# Which device


def test_a_device_is_chosen_by_its_service_or_named(content: bytes) -> None:
    capture = files.parse(content)
    assert capture.chosen(uuids.CGM_SERVICE, STRAP.lower()).address == STRAP
    with pytest.raises(
        CaptureError, match=r"no device offers the service 181f; name the device .* F0:F1:F2:F3:F4:F5"
    ):
        capture.chosen(uuids.CGM_SERVICE)
    with pytest.raises(CaptureError, match="nothing was heard of 00:00:00:00:00:00"):
        capture.chosen(uuids.CGM_SERVICE, "00:00:00:00:00:00")
    twin = Device("AA:AA:AA:AA:AA:AA", services=strap(capture).services, events=strap(capture).events)
    capture.devices[twin.address] = twin
    with pytest.raises(CaptureError, match=r"several devices .* AA:AA:AA:AA:AA:AA, F0:F1:F2:F3:F4:F5"):
        capture.chosen(uuids.HEART_RATE_SERVICE)


# What is no capture


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no Bluetooth log; name a capture, a btsnoop file or an Android bug report"),
        (b"PK\x03\x04" + b"\0" * 40, "archive is damaged"),
        (b"btsnoop\0\0\0\0\1\0\0\3\xec", "of kind 1004"),
        (b"btsnoop\0\0\0\0\2\0\0\3\xea", "version 2"),
        (b"btsnoop\0\0\0\0\1\0\0\3\xea" + b"\xff" * 24, "damaged at octet 16"),
        (b"--- BEGIN:BTSNOOP_LOG_SUMMARY (3 bytes in) ---\nA?==\n", "damaged"),
        (b"--- BEGIN:BTSNOOP_LOG_SUMMARY (3 bytes in) ---\nAwAAAAAAAAAAeJwDAAAAAAE=\n", "of version 3"),
        (b'{"capture": "other 1"}\n', "does not say that it is a capture"),
        (b"{nonsense\n", "line 1 is no JSON"),
        (b"[1]\n", "no Bluetooth log"),
        (b'{"capture": "vitalgate 1", "begin_utc_s": 1}\n{"at_s": 0}\n', "line 2 is no event"),
        (b'{"capture": "vitalgate 1", "begin_utc_s": 1}\n7\n', "line 2 is no event"),
    ],
)
def test_what_is_no_capture_is_refused_in_words(content: bytes, words: str) -> None:
    with pytest.raises(CaptureError, match=words):
        files.parse(content)


def test_a_file_that_cannot_be_read_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="No such file"):
        files.load(tmp_path / "none")
    with pytest.raises(CaptureError, match="directory"):
        files.load(tmp_path)


def test_a_capture_whose_writer_was_killed_ends_with_the_last_whole_packet(content: bytes) -> None:
    begins = packet_begins(content)
    whole = len(list(btsnoop.packets(content[: begins[80]])))
    for at in range(begins[80], begins[81]):
        assert len(list(btsnoop.packets(content[:at]))) == whole


# Our own form


def test_our_own_form_says_the_same_again(content: bytes) -> None:
    capture = files.parse(content)
    text = "".join(files.lines(capture.devices.values(), is_pseudonymous=True))
    again = files.parse(text.encode())
    assert again.is_pseudonymous
    assert_told(strap(again))
    one, other = strap(capture), strap(again)
    assert (one.address, one.name, one.services, one.advertised) == (
        other.address, other.name, other.services, other.advertised,
    )  # fmt: skip
    assert [event[1:] for event in one.events] == [event[1:] for event in other.events]
    assert all(abs(a.at_s - b.at_s) < 1e-5 for a, b in zip(one.events, other.events, strict=True))


def test_our_own_form_that_was_cut_off_ends_with_the_last_whole_line(content: bytes) -> None:
    text = "".join(files.lines(files.parse(content).devices.values(), is_pseudonymous=False)).encode()
    cut = files.parse(text[: len(text) // 2])
    assert 5 < len(notified(strap(cut))) < len(TOLD)
    assert not cut.is_pseudonymous


# Anything at all


def spoilt(content: bytes, rng: random.Random) -> bytes:
    """Octets that were changed, doubled, cut out or put in."""
    out = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(out))
        match rng.randrange(4):
            case 0:
                out[at] = rng.randrange(256)
            case 1:
                out[at] ^= 1 << rng.randrange(8)
            case 2:
                del out[at : at + rng.randint(1, 40)]
            case _:
                out[at:at] = out[at : at + rng.randint(1, 40)]
        if not out:
            return b""
    return bytes(out)


def fuzz(seeds: range, contents: list[bytes]) -> int:
    """How many could be read all the same."""
    read = 0
    for seed in seeds:
        rng = random.Random(seed)
        try:
            capture = files.parse(spoilt(rng.choice(contents), rng))
            read += 1
        except CaptureError:
            continue
        for device in capture.devices.values():
            device.notified(), device.offers(uuids.HEART_RATE_SERVICE)
    return read


def forms(content: bytes) -> list[bytes]:
    short = content[: packet_begins(content)[100]]
    text = "".join(files.lines(files.parse(short).devices.values(), is_pseudonymous=False)).encode()
    report = summary(list(btsnoop.packets(short)))
    return [short, as_monitor(short), as_h1(short), text, report, archive({"a.txt": report})]


def test_spoilt_captures_are_read_or_refused(content: bytes) -> None:
    """The seed that fails plays again: each spoils by itself."""
    read = fuzz(range(600), forms(content))
    assert 100 < read < 600


@pytest.mark.soak
def test_a_hundred_thousand_spoilt_captures_are_read_or_refused(content: bytes) -> None:
    assert fuzz(range(100_000), forms(content)) > 10_000
