"""The samples in Polar data frames as they come, without a compiler: numpy decodes them.

Contract: says what `polar_samples` says, to the last bit; a test checks that. A frame costs some ten microseconds: more
than its kernels need, which are for recordings, but a gateway may hold no compiler.

Source: as of `polar_samples`.
"""

import numpy as np
import numpy.typing as npt

from protocols.polar import Frame
from protocols.polar_samples import I32, I64, Delta, Raw, Samples, layout_of, units_per_count, whole

_HALF_32 = 1 << 31
_MASK_32 = (1 << 32) - 1
_WIDTH_BITS_MAX = 32


def samples(frame: Frame) -> Samples:
    """The samples of a frame.

    Raises:
        DecodeError: a kind of frame not known here, or content that does not fit.
    """
    layout = layout_of(frame)
    decoded = _raw(frame.content, layout) if isinstance(layout, Raw) else _delta(frame.content, layout)
    return whole(frame, decoded).view(layout.dtype)


def scaled(frame: Frame, factor: float) -> npt.NDArray[np.float64]:
    """The samples of a frame times the factor that the device gave with its settings; acceleration in milli-g.

    Raises:
        DecodeError: as `samples`.
        ValueError: it is no factor (`polar.is_factor`).
    """
    # A device may send what is no number, in the form that raises a flag.
    with np.errstate(invalid="ignore"):
        return samples(frame).astype(np.float64) * units_per_count(frame, factor)


def _raw(content: bytes, layout: Raw) -> I32:
    count = len(content) // layout.stride
    if count * layout.stride != len(content):
        count = 0
    rows = (
        np.frombuffer(content, np.uint8, count * layout.stride).reshape(count, layout.stride).astype(np.int64)
    )
    out = np.empty((count, len(layout.fields)), np.int32)
    for channel, (offset, octets, mask, shift) in enumerate(layout.fields.tolist()):
        value = rows[:, offset].copy()
        for n in range(1, octets):
            value |= rows[:, offset + n] << 8 * n
        sign = 1 << (8 * octets - 1)
        out[:, channel] = (value & mask) >> shift if mask else (value ^ sign) - sign
    return out


def _delta(content: bytes, layout: Delta) -> I32:
    channels, start = layout.channels, layout.channels * layout.octets
    nothing = np.empty((0, channels), np.int32)
    if len(content) < start:
        return nothing
    first = [content[c * layout.octets : (c + 1) * layout.octets] for c in range(channels)]
    parts = [np.array([[int.from_bytes(octets, "little", signed=True) for octets in first]], np.int64)]
    at = start
    while at < len(content):
        if at + 2 > len(content):
            return nothing
        width, count = content[at], content[at + 1]
        begin, at = at + 2, at + 2 + (width * count * channels + 7) // 8
        if at > len(content) or width > _WIDTH_BITS_MAX:
            return nothing
        parts.append(_differences(content[begin:at], width, count, channels))
    sums = np.cumsum(np.concatenate(parts), axis=0)
    return (((sums + _HALF_32) & _MASK_32) - _HALF_32).astype(np.int32)


def _differences(block: bytes, width: int, count: int, channels: int) -> I64:
    """Of each sample of a block to the one before."""
    if not width:
        return np.zeros((count, channels), np.int64)
    bits = np.unpackbits(np.frombuffer(block, np.uint8), bitorder="little")[: width * count * channels]
    weights = 1 << np.arange(width, dtype=np.int64)
    weights[-1] = -weights[-1]
    found: I64 = bits.reshape(count, channels, width).astype(np.int64) @ weights
    return found
