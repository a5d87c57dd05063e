"""How long decoding takes, beside plain and compiled construct, `bluetooth-sig` and `struct.unpack` by hand.

    python -m tools.bench.protocols [--no-peer]

Nanoseconds a packet, the least of several runs in turn in one process, and how many times as fast as construct's own
`Struct`, interpreted. Live decoders make readings of single packets; columnar ones fill columns from a million.
"""

import argparse
import math
import random
import timeit
from collections.abc import Callable, Mapping
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
ROUNDS: Final = 30
BASELINE: Final = "construct Struct, interpreted"
PEER: Final = "bluetooth-sig parse_value"
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


def least_ns(calls: Mapping[str, tuple[Callable[[], Any], int]]) -> dict[str, float]:
    """The least nanoseconds a packet of calls that each decode so many.

    All have their short runs in turn, so that a machine that slows for a while slows every one, and some runs of
    each go by undisturbed; several runs at each turn, because the first finds the caches full of another's data.
    """
    timers = {name: timeit.Timer(call) for name, (call, _) in calls.items()}
    numbers = {
        name: max(1, min(20_000, int(0.005 / max(timer.timeit(1), timer.timeit(1), 1e-7))))
        for name, timer in timers.items()
    }
    least = dict.fromkeys(calls, math.inf)
    for _ in range(ROUNDS):
        for name, timer in timers.items():
            spent_s = min(timer.repeat(3, numbers[name]))
            least[name] = min(least[name], spent_s / numbers[name] / calls[name][1] * 1e9)
    return least


def columnar(codec: Any, packets: list[bytes]) -> tuple[Callable[[], Any], int]:
    """A call for a million, with room for the columns made anew each time."""
    flat, offsets = flatten(packets)
    return lambda: codec.columns(flat, offsets), len(packets)


def table(
    title: str,
    packet: bytes,
    peer_ns: float | None,
    codec: Any,
    plain: Any,
    compiled: Any,
    by_hand: Callable[[bytes], Any],
) -> None:
    """Print times and ratios of every way to decode a packet."""
    ways = {
        BASELINE: (lambda: plain.parse(packet), 1),
        "construct Struct, compiled (checks nothing)": (lambda: compiled.parse(packet), 1),
        "our layout, interpreted": (lambda: codec.interpret(packet), 1),
        "our layout, generated decoder": (lambda: codec.decode(packet), 1),
        "struct.unpack by hand": (lambda: by_hand(packet), 1),
        "our layout, columnar, a million": columnar(codec, [packet] * MILLION),
    }
    times = ({} if peer_ns is None else {PEER: peer_ns}) | least_ns(ways)
    print(f"\n{title}")
    for name, spent in times.items():
        print(f"  {name:<44}{spent:>12,.1f} ns {times[BASELINE] / spent:>9,.1f}x")


def peer_times() -> tuple[float, float]:
    heart, glucose = peer.answers([("2A37", HEART), ("2AA7", GLUCOSE)], time=True)
    return heart["seconds"] * 1e9, glucose["seconds"] * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no-peer", action="store_true", help="install and time nothing else")
    heart_peer, glucose_peer = (None, None) if parser.parse_args().no_peer else peer_times()
    table(
        "2A37 Heart Rate Measurement, 2 RR intervals",
        HEART,
        heart_peer,
        heart_rate.MEASUREMENT,
        PLAIN_HEART,
        COMPILED_HEART,
        heart_by_hand,
    )
    table(
        "2AA7 CGM Measurement with E2E-CRC, a SmartGuide's record (bluetooth-sig: checksum not looked at)",
        GLUCOSE,
        glucose_peer,
        cgm.MEASUREMENT[0][Crc.MCRF4XX],
        PLAIN_GLUCOSE,
        COMPILED_GLUCOSE,
        glucose_by_hand,
    )
    polar()


def polar() -> None:
    """One frame a call, as they arrive."""
    rng = random.Random(0)  # noqa: S311
    ecg, fields = rng.randbytes(73 * 3), RAW[MeasurementType.ECG, 0].fields
    delta = rng.randbytes(6) + bytes([10, 56]) + rng.randbytes(56 * 3 * 10 // 8)
    assert len(raw_samples(ecg, 3, fields)) == 73
    assert len(delta_samples(delta, 3, 2)) == 57
    print("\nPolar frames")
    times = least_ns(
        {
            "ECG, 73 samples": (lambda: raw_samples(ecg, 3, fields), 1),
            "acceleration, delta, 57 x 3": (lambda: delta_samples(delta, 3, 2), 1),
        }
    )
    for name, spent in times.items():
        print(f"  {name:<44}{spent:>12,.1f} ns")


if __name__ == "__main__":
    main()
