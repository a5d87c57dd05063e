"""Generated decoder, columnar kernel and interpreted layout agree on every packet, and packets on nothing else."""

import math
import os
import random
import time

import numpy as np
import pytest
from protocol_codecs import CODECS, reading_of, status_of
from protocol_vectors import VECTORS, all_rows, octets

from protocols.codec import Codec, RecordsCodec
from protocols.columnar import Kernel, flatten
from protocols.errors import DecodeError
from protocols.medfloat import Special
from protocols.program import Status

PACKETS = [octets(row) for row in all_rows()]
# FUZZ_PACKETS=1000000 pytest -m soak tests/test_protocols_codec.py
PACKETS_EACH = int(os.environ.get("FUZZ_PACKETS", "100000"))
SEED = int(os.environ.get("FUZZ_SEED", "20261122"))
BATCH = 20_000
COMPILED = (
    "heart_rate.MEASUREMENT",
    "cgm.MEASUREMENT[0][1]",
    "cgm_control.RESPONSE[2]",
    "glucose_meter.CONTEXT",
    "device_information.STRING",
)


def grown(rng: random.Random, codec: Codec, seeds: list[bytes]) -> bytes:
    """A packet: noise, a foreign one, or a fitting one; then perhaps changed, cut, extended or joined."""
    kind = rng.random()
    packet = bytearray(
        rng.randbytes(rng.choice((0, 1, 2, 3, 5, 8, 13, 21, 40))) if kind < 0.2 else rng.choice(seeds)
    )
    if kind > 0.3:
        for _ in range(rng.randrange(3)):
            if packet:
                packet[rng.randrange(len(packet))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    if kind > 0.6:
        change = rng.randrange(4)
        if change == 0:
            del packet[rng.randrange(len(packet) + 1) :]
        elif change == 1:
            packet += rng.randbytes(rng.randrange(4))
        elif change == 2:
            packet += rng.choice(seeds)
    if isinstance(codec, RecordsCodec) and packet and rng.random() < 0.3:
        packet[0] = min(len(packet), 255)
    if rng.random() < 0.001:
        packet += bytes(rng.randrange(480, 540))
    return bytes(packet)


def resealed(rng: random.Random, codec: Codec, packet: bytes) -> bytes:
    """Often a packet is to get past the checksum: made right by what the interpreter says it should be."""
    if rng.random() < 0.5:
        return packet
    try:
        codec.interpret(packet)
    except DecodeError as error:
        if "should be " in error.reason:
            return packet[:-2] + int(error.reason.split("should be ")[1][:4], 16).to_bytes(2, "little")
    return packet


def expected_of(codec: Codec, packet: bytes):
    """Readings and status, by interpretation."""
    if isinstance(codec, RecordsCodec):
        readings, errors = codec.decode_all(packet, codec.interpret)
        if not errors:
            return readings, Status.OK
        if errors[0].__cause__ is None:
            length = "no notification" in errors[0].reason
            status = Status.SIZE if not length else Status.TOO_LONG if packet else Status.TOO_SHORT
            return readings, status
        return readings, status_of(errors[0])
    try:
        return [codec.interpret(packet)], Status.OK
    except DecodeError as error:
        return [], status_of(error)


def live_of(codec: Codec, packet: bytes):
    if isinstance(codec, RecordsCodec):
        return codec.decode_all(packet)[0]
    try:
        return [codec.decode(packet)]
    except DecodeError:
        return []


def check(codec: Codec, packets: list[bytes]) -> int:
    """All three on all packets; returns how many readings there were."""
    # In Python, numpy warns where unsigned integers wrap, as the checksum's index does after its last use.
    with np.errstate(over="ignore"):
        columns = codec.columns(*flatten(packets))
    row = 0
    for index, packet in enumerate(packets):
        readings, status = expected_of(codec, packet)
        assert live_of(codec, packet) == readings, packet.hex()
        assert columns.status[index] == status, (packet.hex(), Status(columns.status[index]), status)
        for reading in readings:
            assert columns.packet[row] == index, packet.hex()
            assert reading_of(codec.program.shape, columns, row) == reading, packet.hex()
            row += 1
    assert row == len(columns.packet)
    return row


def seeds_of(codec: Codec, rng: random.Random) -> list[bytes]:
    """Foreign packets, and about three times as many that fit: foreign too where there are, else noise that does."""
    fitting = [packet for packet in PACKETS if live_of(codec, packet)]
    noise = (resealed(rng, codec, rng.randbytes(length)) for length in range(40) for _ in range(30))
    fitting += [packet for packet in noise if live_of(codec, packet)]
    return PACKETS + fitting * (1 + 3 * len(PACKETS) // max(len(fitting), 1))


def compare(label: str, total: int) -> int:
    codec = CODECS[label]
    rng = random.Random(f"{SEED} {label}")
    seeds = seeds_of(codec, rng)
    readings = 0
    for start in range(0, total, BATCH):
        packets = [resealed(rng, codec, grown(rng, codec, seeds)) for _ in range(min(BATCH, total - start))]
        readings += check(codec, packets)
    return readings


@pytest.fixture
def uncompiled(monkeypatch):
    """Kernels as the Python they are printed in: compiling all of them takes minutes, and is for the soak."""
    monkeypatch.setattr(Kernel, "compiled", property(lambda kernel: kernel.function))


@pytest.mark.parametrize("label", CODECS)
def test_generated_equals_columnar_equals_construct(label, uncompiled):
    assert compare(label, 600) > 6, "hardly any packet was accepted: nothing was compared"


@pytest.mark.parametrize("label", COMPILED)
def test_compiled_too(label):
    assert compare(label, 2000) > 20


@pytest.mark.soak
@pytest.mark.parametrize("label", CODECS)
def test_on_a_million_packets(label, capsys):
    began = time.process_time()
    readings = compare(label, PACKETS_EACH)
    assert readings > PACKETS_EACH // 100
    with capsys.disabled():
        spent = time.process_time() - began
        print(f"\n{label}: {PACKETS_EACH} packets, {readings} readings, all agree; {spent:.0f} s")


@pytest.mark.parametrize("label", CODECS)
def test_every_truncation_of_every_foreign_packet(label, uncompiled):
    check(CODECS[label], sorted({packet[:length] for packet in PACKETS for length in range(len(packet) + 1)}))


def test_special_floats_stay_distinguishable_in_columns():
    codec = CODECS["cgm.MEASUREMENT[0][0]"]
    words = [special.value for special in Special] + [0x6400]
    columns = codec.columns(*flatten([bytes([6, 0, *word.to_bytes(2, "little"), 0, 0]) for word in words]))
    assert columns.words["glucose_mg_dl"].tolist() == words
    values = dict(zip([*Special, None], columns.values["glucose_mg_dl"].tolist(), strict=True))
    assert values[Special.POSITIVE_INFINITY] == math.inf
    assert values[Special.NEGATIVE_INFINITY] == -math.inf
    assert all(math.isnan(values[s]) for s in (Special.NAN, Special.NRES, Special.RESERVED))
    assert values[None] == 1024e6
    assert np.isnan(columns.values["trend_mg_dl_min"]).all()
    assert not columns.present["trend_mg_dl_min"].any()


@pytest.mark.parametrize("offsets", [[], [-1, 3], [0, 7], [3, 0], [0, 3, 2, 6]])
def test_offsets_outside_the_octets_are_the_callers_fault(offsets):
    with pytest.raises(ValueError, match="offsets"):
        CODECS["heart_rate.MEASUREMENT"].columns(np.zeros(6, np.uint8), np.array(offsets, np.int64))


def test_no_vector_file_is_forgotten():
    assert {path.stem for path in VECTORS.glob("*.jsonl")} == {row["file"] for row in all_rows()}
