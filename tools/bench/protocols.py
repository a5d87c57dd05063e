"""How long decoding takes, beside plain and compiled construct, `bluetooth-sig` and `struct.unpack` by hand.

    python -m tools.bench.protocols [--no-peer]

Nanoseconds a packet, the least of several runs in one process, and how many times as fast as construct's own
`Struct`, interpreted. Live decoders make readings of single packets; columnar ones fill columns from a million.
"""

import random
import sys
import timeit
from collections.abc import Callable, Iterable
from struct import Struct as Format
from typing import Any, Final

from construct import (
    Checksum,
    GreedyRange,
    If,
    IfThenElse,
    Int8ul,
    Int16ul,
    RawCopy,
    Struct,
    Terminated,
    this,
)

from protocols import cgm, heart_rate
from protocols.columnar import flatten
from protocols.crc import Crc, mcrf4xx
from protocols.medfloat import decode_sfloat
from protocols.polar import MeasurementType
from protocols.polar_samples import RAW, delta_samples, raw_samples
from tools.bench import peer

MILLION: Final = 1_000_000
HEART: Final = bytes.fromhex("1048b303c203")
GLUCOSE: Final = bytes.fromhex("0d43bdf62c0602fcff5f006d57")

# What somebody would write with construct alone.
_HEART_FIELDS: Final = (
    "flags" / Int8ul,
    "bpm" / IfThenElse(this.flags & 1, Int16ul, Int8ul),
    "energy" / If(this.flags & 8, Int16ul),
    "rr" / If(this.flags & 16, GreedyRange(Int16ul)),
)
PLAIN_HEART: Final = Struct(*_HEART_FIELDS, Terminated)
_GLUCOSE_FIELDS: Final = Struct(
    "size" / Int8ul,
    "flags" / Int8ul,
    "glucose" / Int16ul,
    "offset" / Int16ul,
    "status" / If(this.flags & 0x80, Int8ul),
    "calibration" / If(this.flags & 0x40, Int8ul),
    "warning" / If(this.flags & 0x20, Int8ul),
    "trend" / If(this.flags & 1, Int16ul),
    "quality" / If(this.flags & 2, Int16ul),
)
PLAIN_GLUCOSE: Final = Struct(
    "record" / RawCopy(_GLUCOSE_FIELDS), "crc" / Checksum(Int16ul, mcrf4xx, this.record.data)
)
# Terminated and Checksum do not compile.
COMPILED_HEART: Final = Struct(*_HEART_FIELDS).compile()
COMPILED_GLUCOSE: Final = _GLUCOSE_FIELDS.compile()

_U16: Final = Format("<H")
_HEAD: Final = Format("<BBHH")


def heart_by_hand(payload: bytes) -> tuple[Any, ...]:
    """2A37 as one writes it with struct."""
    flags = payload[0]
    wide = flags & 1
    bpm = _U16.unpack_from(payload, 1)[0] if wide else payload[1]
    p = 2 + wide
    energy = None
    if flags & 8:
        energy, p = _U16.unpack_from(payload, p)[0], p + 2
    rr = [word for (word,) in _U16.iter_unpack(payload[p:])] if flags & 16 else None
    return bpm, flags & 6, energy, rr


def glucose_by_hand(payload: bytes) -> tuple[Any, ...]:
    """2AA7 as one writes it with struct, with its checksum."""
    size, flags, glucose, offset = _HEAD.unpack_from(payload)
    if size != len(payload) or mcrf4xx(payload[:-2]) != _U16.unpack_from(payload, size - 2)[0]:
        raise ValueError
    p, octets = 6, []
    for bit in (0x80, 0x40, 0x20):
        if flags & bit:
            octets.append(payload[p])
            p += 1
    words = []
    for bit in (1, 2):
        if flags & bit:
            words.append(decode_sfloat(_U16.unpack_from(payload, p)[0]))
            p += 2
    return decode_sfloat(glucose), offset, octets, words


def nanoseconds(call: Callable[[], Any], packets: int = 1) -> float:
    """The least time for a packet: of many short runs, so that some go by undisturbed on a busy machine."""
    timer = timeit.Timer(call)
    number = max(1, min(20_000, int(0.005 / max(timer.timeit(1), 1e-7))))
    return min(timer.repeat(50, number)) / number / packets * 1e9


def table(
    title: str, rows: Iterable[tuple[str, float]], baseline: str = "construct Struct, interpreted"
) -> None:
    """Print times and ratios."""
    times = dict(rows)
    print(f"\n{title}")
    for name, spent in times.items():
        print(f"  {name:<44}{spent:>12,.1f} ns {times[baseline] / spent:>9,.1f}x")


def columnar(codec: Any, packets: list[bytes]) -> float:
    """Nanoseconds a packet, with room for the columns made anew each time."""
    flat, offsets = flatten(packets)
    codec.columns(flat, offsets)
    return nanoseconds(lambda: codec.columns(flat, offsets), len(packets))


def peer_times() -> tuple[float, float]:
    heart, glucose = peer.answers([("2A37", HEART), ("2AA7", GLUCOSE)], time=True)
    return heart["seconds"] * 1e9, glucose["seconds"] * 1e9


def main() -> None:
    heart_peer, glucose_peer = (None, None) if "--no-peer" in sys.argv else peer_times()
    codec = heart_rate.MEASUREMENT
    rows = [
        ("construct Struct, interpreted", nanoseconds(lambda: PLAIN_HEART.parse(HEART))),
        ("construct Struct, compiled (no end check)", nanoseconds(lambda: COMPILED_HEART.parse(HEART))),
        ("our layout, interpreted", nanoseconds(lambda: codec.interpret(HEART))),
        ("our layout, generated decoder", nanoseconds(lambda: codec.decode(HEART))),
        ("struct.unpack by hand", nanoseconds(lambda: heart_by_hand(HEART))),
        ("our layout, columnar, a million", columnar(codec, [HEART] * MILLION)),
    ]
    if heart_peer is not None:
        rows.insert(0, ("bluetooth-sig parse_value", heart_peer))
    table("2A37 Heart Rate Measurement, 2 RR intervals", rows)
    records = cgm.MEASUREMENT[0][Crc.MCRF4XX]
    rows = [
        ("construct Struct, interpreted", nanoseconds(lambda: PLAIN_GLUCOSE.parse(GLUCOSE))),
        ("construct Struct, compiled (no checksum)", nanoseconds(lambda: COMPILED_GLUCOSE.parse(GLUCOSE))),
        ("our layout, interpreted", nanoseconds(lambda: records.interpret(GLUCOSE))),
        ("our layout, generated decoder", nanoseconds(lambda: records.decode(GLUCOSE))),
        ("struct.unpack by hand", nanoseconds(lambda: glucose_by_hand(GLUCOSE))),
        ("our layout, columnar, a million", columnar(records, [GLUCOSE] * MILLION)),
    ]
    if glucose_peer is not None:
        rows.insert(0, ("bluetooth-sig parse_value (no checksum)", glucose_peer))
    table("2AA7 CGM Measurement with E2E-CRC, a SmartGuide's record", rows)
    polar()


def polar() -> None:
    """One frame a call, as they arrive."""
    rng = random.Random(0)  # noqa: S311
    ecg, fields = rng.randbytes(73 * 3), RAW[MeasurementType.ECG, 0].fields
    delta = rng.randbytes(6) + bytes([10, 56]) + rng.randbytes(56 * 3 * 10 // 8)
    assert len(raw_samples(ecg, 3, fields)) == 73
    assert len(delta_samples(delta, 3, 2)) == 57
    print("\nPolar frames")
    for name, call in (
        ("ECG, 73 samples", lambda: raw_samples(ecg, 3, fields)),
        ("acceleration, delta, 57 x 3", lambda: delta_samples(delta, 3, 2)),
    ):
        print(f"  {name:<44}{nanoseconds(call):>12,.1f} ns")


if __name__ == "__main__":
    main()
