"""Generated decoder, columnar kernel, groups and interpreted layout agree on random and mutated packets, soon.

The long run, a million packets for each codec and as good as no limit but patience, and the run that proves that no
kernel reads past a packet's end:

    FUZZ_PACKETS=1000000 pytest -m soak -p no:cacheprovider tests/test_protocols_fuzz.py
    NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(mktemp -d) FUZZ_PACKETS=20000 pytest -m soak tests/test_protocols_fuzz.py
"""

import gc
import os
import random
import signal
import time
from contextlib import suppress

import numpy as np
import pytest
from protocol_codecs import CODECS, readings_of, status_of
from protocol_vectors import all_rows, octets

from protocols import live
from protocols.codec import Codec, RecordsCodec
from protocols.columnar import Kernel, Ragged, flatten
from protocols.crc import FUNCTIONS
from protocols.envelopes import E2eCrc
from protocols.errors import DecodeError
from protocols.program import Status
from protocols.translate import UntranslatableError

PACKETS = [octets(row) for row in all_rows()]
PACKETS_EACH = int(os.environ.get("FUZZ_PACKETS", "100000"))
SEED = int(os.environ.get("FUZZ_SEED", "20261122"))
BATCH = 20_000
EVERY = 13  # of the truncations of packets that mean nothing to a codec; in the soak each codec has all
PACKET_S_MAX = 0.001
"""Processor time that a packet may take all three on the average of a batch; a batch that needs more is stopped."""
COMPILED = (
    "heart_rate.MEASUREMENT",
    "cgm.MEASUREMENT[0][1]",
    "cgm_control.RESPONSE[2]",
    "glucose_meter.CONTEXT",
    "device_information.STRING",
)
REFUSED = object()


def groupable() -> list[str]:
    """Those whose layouts are of integers and flags alone."""
    found = []
    for label, codec in CODECS.items():
        with suppress(UntranslatableError):
            codec.grouped  # noqa: B018
            found.append(label)
    return found


class Three:
    """A codec's three decoders. A packet is interpreted once, and the generated decoder says only that it refuses."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.program = codec.program
        self.decode = live.generate(codec.program, lambda _: REFUSED)
        self.known = {}

    def outcome(self, packet):
        """The reading or the error, by interpretation."""
        outcome = self.known.get(packet)
        if outcome is None:
            try:
                outcome = self.codec.interpret(packet), None
            except DecodeError as error:
                # Thousands of stacks kept are a burden to the collector of garbage.
                outcome = None, DecodeError(error.characteristic, packet, error.reason)
                outcome[1].__cause__ = error.__cause__ and error.__cause__.with_traceback(None)
            self.known[packet] = outcome
        return outcome

    def interpret(self, packet):
        reading, error = self.outcome(packet)
        if error is not None:
            raise error.with_traceback(None)
        return reading

    def expected(self, packet):
        """Readings and status, by interpretation."""
        if not isinstance(self.codec, RecordsCodec):
            reading, error = self.outcome(packet)
            return ([reading], Status.OK) if error is None else ([], status_of(error))
        readings, errors = self.codec.decode_all(packet, self.interpret)
        if not errors:
            return readings, Status.OK
        if errors[0].__cause__ is not None:
            return readings, status_of(errors[0])
        if "no notification" in errors[0].reason:
            return readings, Status.TOO_LONG if packet else Status.TOO_SHORT
        return readings, Status.SIZE

    def lives(self, packet):
        """Readings, by the generated decoder."""
        if isinstance(self.codec, RecordsCodec):
            return self.codec.decode_all(packet, self._live)[0]
        reading = self.decode(packet)
        return [] if reading is REFUSED else [reading]

    def _live(self, packet):
        reading = self.decode(packet)
        return self.interpret(packet) if reading is REFUSED else reading


def check(three: Three, packets: list[bytes]) -> int:
    """All three on all packets; returns how many readings there were."""
    three.known.clear()
    # In Python, numpy warns where unsigned integers wrap, as the checksum's index does after its last use.
    with np.errstate(over="ignore"):
        columns = three.codec.columns(*flatten(packets))
    expected = [three.expected(packet) for packet in packets]
    for packet, (readings, _), there in zip(packets, expected, map(three.lives, packets), strict=True):
        assert there == readings, packet.hex()
    statuses = [status for _, status in expected]
    if columns.status.tolist() != statuses:
        wrong = next(i for i, status in enumerate(statuses) if columns.status[i] != status)
        pytest.fail(f"{packets[wrong].hex()}: {Status(columns.status[wrong])!r}, not {statuses[wrong]!r}")
    flat = [(index, reading) for index, (readings, _) in enumerate(expected) for reading in readings]
    assert columns.packet.tolist() == [index for index, _ in flat]
    for (index, reading), other in zip(flat, readings_of(three.program.shape, columns), strict=True):
        assert reading == other, packets[index].hex()
    return len(flat)


def sealed(codec: Codec, packet: bytearray) -> None:
    """Have a packet get past its size octet and its checksum."""
    if isinstance(codec, RecordsCodec) and packet:
        packet[0] = min(len(packet), 255)
    if isinstance(codec.layout, E2eCrc) and len(packet) > 2:
        packet[-2:] = FUNCTIONS[codec.layout.kinds[0]](bytes(packet[:-2])).to_bytes(2, "little")


def grown(rng: random.Random, codec: Codec, seeds: list[bytes]) -> bytes:
    """A packet: noise, a foreign one, or a fitting one; then perhaps changed, cut, extended, joined or sealed."""
    kind = rng.random()
    packet = bytearray(
        rng.randbytes(rng.choice((0, 1, 2, 3, 5, 8, 13, 21, 40))) if kind < 0.2 else rng.choice(seeds)
    )
    if kind > 0.3:
        for _ in range(int(rng.random() * 3)):
            if packet:
                octet = rng.choice((0, 1, 0x7F, 0x80, 0xFF, int(rng.random() * 256)))
                packet[int(rng.random() * len(packet))] = octet
    if kind > 0.6:
        change = int(rng.random() * 4)
        if change == 0:
            del packet[int(rng.random() * (len(packet) + 1)) :]
        elif change == 1:
            packet += rng.randbytes(int(rng.random() * 4))
        elif change == 2:
            packet += rng.choice(seeds)
    if rng.random() < 0.001:
        packet += bytes(rng.randrange(480, 540))
    if rng.random() < 0.5:
        sealed(codec, packet)
    return bytes(packet)


def seeds_of(three: Three, rng: random.Random) -> list[bytes]:
    """Foreign packets, and about three times as many that fit: foreign too where there are, else noise that does."""
    noise = [bytearray(rng.randbytes(length)) for length in range(40) for _ in range(30)]
    for packet in noise:
        sealed(three.codec, packet)
    fitting = [packet for packet in (*PACKETS, *map(bytes, noise)) if three.lives(packet)]
    return PACKETS + fitting * (1 + 3 * len(PACKETS) // max(len(fitting), 1))


def stop(*_):
    raise TimeoutError("a batch takes longer than its packets may")


def compare(label: str, total: int) -> int:
    three = Three(CODECS[label])
    rng = random.Random(f"{SEED} {label}")
    seeds = seeds_of(three, rng)
    readings = check(three, seeds)  # and have the kernel compiled
    gc.disable()
    gc.freeze()  # what compiling leaves behind need not be looked through after each batch
    before = signal.signal(signal.SIGVTALRM, stop)
    try:
        for start in range(0, total, BATCH):
            gc.collect()
            packets = [grown(rng, three.codec, seeds) for _ in range(min(BATCH, total - start))]
            signal.setitimer(signal.ITIMER_VIRTUAL, len(packets) * PACKET_S_MAX)
            readings += check(three, packets)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    finally:
        gc.unfreeze()
        gc.enable()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return readings


def truncations(packets: list[bytes] = PACKETS) -> list[bytes]:
    return sorted({packet[:length] for packet in packets for length in range(len(packet) + 1)})


def near(three: Three) -> list[bytes]:
    """The truncations of the foreign packets that a codec takes, as of any it takes some, and some of the others."""
    own = truncations([packet for packet in PACKETS if three.lives(packet)])
    return sorted({*own[:: 1 + len(own) // 1000], *truncations()[::EVERY]})


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


@pytest.mark.parametrize("label", groupable())
def test_packets_in_groups_are_read_as_by_the_kernel(label, uncompiled):
    codec, rng = CODECS[label], random.Random(f"{SEED} {label}")
    seeds = seeds_of(Three(codec), rng)
    for packets in (seeds, truncations(), [grown(rng, codec, seeds) for _ in range(600)], [b""], []):
        with np.errstate(over="ignore"):
            kernels, groups = codec.columns(*flatten(packets)), codec.grouped(*flatten(packets))
        for part in ("status", "packet"):
            np.testing.assert_array_equal(getattr(groups, part), getattr(kernels, part))
        assert groups.words == kernels.words == {}
        for part in ("values", "present", "ragged"):
            mine, theirs = getattr(groups, part), getattr(kernels, part)
            assert mine.keys() == theirs.keys()
            for path, column in mine.items():
                pairs = zip(*map(arrays, (column, theirs[path])), strict=True)
                for one, other in pairs:
                    assert one.dtype == other.dtype
                    np.testing.assert_array_equal(one, other, path)


def arrays(column):
    return (column.values, column.offsets) if isinstance(column, Ragged) else (column,)


def test_a_layout_of_more_than_integers_and_flags_is_not_read_in_groups():
    assert {"heart_rate.MEASUREMENT", "weight_scale.MEASUREMENT"} <= set(groupable())
    for label in ("cgm.MEASUREMENT[0][1]", "device_information.STRING", "thermometer.MEASUREMENT"):
        with pytest.raises(UntranslatableError, match="for a group of packets"):
            CODECS[label].grouped  # noqa: B018


@pytest.mark.soak
@pytest.mark.parametrize("label", CODECS)
def test_on_a_million_packets(label, capsys):
    began = time.process_time()
    readings = compare(label, PACKETS_EACH)
    assert readings > PACKETS_EACH // 100
    pieces = truncations()
    check(Three(CODECS[label]), pieces)
    alone = pieces[:: max(1, len(pieces) * 20 // PACKETS_EACH)]
    for packet in alone:  # with nothing behind it that a kernel could read unseen
        CODECS[label].columns(*flatten([packet]))
    with capsys.disabled():
        spent = time.process_time() - began
        print(
            f"\n{label}: {PACKETS_EACH} packets and {len(pieces)} truncations, {readings} readings, all agree; "
            f"{spent:.0f} s"
        )


@pytest.mark.parametrize("label", CODECS)
def test_every_truncation_of_foreign_packets(label, uncompiled):
    three = Three(CODECS[label])
    check(three, near(three))


@pytest.mark.parametrize("label", CODECS)
def test_no_kernel_reads_past_the_end_of_a_packet(label, uncompiled):
    # Each packet alone, so that numpy refuses whatever a compiled kernel would read behind it.
    three = Three(CODECS[label])
    rng = random.Random(f"{SEED} {label}")
    with np.errstate(over="ignore"):
        for packet in near(three) + [grown(rng, three.codec, PACKETS) for _ in range(300)]:
            three.codec.columns(*flatten([packet]))
