"""The samples in Polar data frames: numba kernels, for live frames too, because one frame holds many samples.

Contract: a frame that cannot be decoded as a whole gives no samples: `samples` raises, the kernels return an
array of no rows. Samples are in the counts of the wire; `scaled` applies the device's factor. numba is imported when
the first frame is decoded; where it is not installed, Python runs the kernels as they stand, a hundred times slower.

Source: public Polar BLE SDK (layouts); Polar Measurement Data Specification 1.0 (delta frames).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from protocols.compiled import Kernel
from protocols.errors import DecodeError
from protocols.polar import FRAME, Frame, MeasurementType, is_factor

I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Raw:
    """Samples of `stride` octets; a row of `fields` for each channel: offset, octets, mask (0: signed), shift.

    `dtype` is what the 32 bits of each are.
    """

    stride: int
    fields: I64
    dtype: type = np.int32


@dataclass(frozen=True)
class Delta:
    """Delta-compressed samples: so many channels, whose first sample has so many octets each."""

    channels: int
    octets: int
    dtype: type = np.int32
    units_per_count: float = 1.0


def _fields(rows: list[tuple[int, int, int, int]]) -> I64:
    return np.array(rows, np.int64)


def _words(channels: int, octets: int, dtype: type = np.int32) -> Raw:
    return Raw(
        channels * octets,
        _fields([(i * octets, octets, 0, 0) for i in range(channels)]),
        dtype,
    )


def _octets(plain: int, gains: int = 0) -> Raw:
    """So many plain octets, and then so many gains of three bits each."""
    masks = [0xFF] * plain + [0x07] * gains
    return Raw(len(masks), _fields([(i, 1, mask, 0) for i, mask in enumerate(masks)]))


RAW: Final[Mapping[tuple[int, int], Raw]] = {
    (MeasurementType.ECG, 0): _words(1, 3),
    (MeasurementType.ECG, 1): Raw(
        3, _fields([(0, 2, 0x3FFF, 0), (2, 1, 0x01, 0), (2, 1, 0x06, 1), (2, 1, 0x18, 3)])
    ),
    (MeasurementType.ECG, 2): Raw(3, _fields([(0, 3, 0x3FFFF, 0), (2, 1, 0x1C, 2), (2, 1, 0xE0, 5)])),
    (MeasurementType.ECG, 3): Raw(7, _fields([(0, 3, 0, 0), (3, 3, 0, 0), (6, 1, 0xFF, 0)])),
    (MeasurementType.PPG, 0): _words(4, 3),
    (MeasurementType.PPG, 4): _octets(12, 24),
    (MeasurementType.PPG, 5): _words(1, 4, np.uint32),
    (MeasurementType.PPG, 9): _octets(12, 24),
    (MeasurementType.PPG, 14): _octets(1, 2),
    (MeasurementType.ACCELERATION, 0): _words(3, 1),
    (MeasurementType.ACCELERATION, 1): _words(3, 2),
    (MeasurementType.ACCELERATION, 2): _words(3, 3),
    (MeasurementType.PULSE_INTERVAL, 0): Raw(
        6, _fields([(0, 1, 0xFF, 0), (1, 2, 0xFFFF, 0), (3, 2, 0xFFFF, 0), (5, 1, 0xFF, 0)])
    ),
    (MeasurementType.OFFLINE_HEART_RATE, 0): _octets(1),
    (MeasurementType.OFFLINE_HEART_RATE, 1): _octets(3),
    (MeasurementType.PRESSURE, 0): _words(1, 4, np.float32),
    (MeasurementType.TEMPERATURE, 0): _words(1, 4, np.float32),
    (MeasurementType.SKIN_TEMPERATURE, 0): _words(1, 4, np.float32),
}
"""By measurement and frame type. ECG in microvolts, acceleration in milli-g; pulse intervals are rate in bpm,
interval in ms, error estimate in ms, and flags (1 blocker, 2 contact, 4 contact supported). Beside each value, of 14
bits, ECG 1 has whether it is oversampled, the skin contact (0 to 3) and its impedance (0 to 3); ECG 2, beside 18 bits,
the tags of the ECG and of the pacemaker (0 to 7 each); ECG 3 the impedance and a status. Types 4, 9 and 14 of PPG are
integration counts, then the gains of two channels by turns; 5 is the operation mode. Offline heart rate 1 has rate,
signal quality and corrected rate. The sport of a session (PPG 6) and places (location) are left out."""

DELTA: Final[Mapping[tuple[int, int], Delta]] = {
    (MeasurementType.PPG, 0): Delta(4, 3),
    (MeasurementType.PPG, 7): Delta(17, 3),
    (MeasurementType.PPG, 8): Delta(25, 3),
    (MeasurementType.PPG, 10): Delta(21, 3),
    (MeasurementType.PPG, 13): Delta(3, 3),
    # Sent in g, and in milli-g everywhere else.
    (MeasurementType.ACCELERATION, 0): Delta(3, 2, units_per_count=1000.0),
    (MeasurementType.ACCELERATION, 1): Delta(3, 2),
    (MeasurementType.GYROSCOPE, 0): Delta(3, 2),
    (MeasurementType.GYROSCOPE, 1): Delta(3, 4, np.float32),
    (MeasurementType.MAGNETOMETER, 0): Delta(3, 2),
    (MeasurementType.MAGNETOMETER, 1): Delta(4, 2),
    (MeasurementType.PRESSURE, 0): Delta(1, 4, np.float32),
    (MeasurementType.TEMPERATURE, 0): Delta(1, 4, np.float32),
    (MeasurementType.SKIN_TEMPERATURE, 0): Delta(1, 4, np.float32),
}
"""By measurement and frame type; the fourth channel of magnetometer type 1 is a calibration status."""


_HALF_32: Final = 1 << 31
_MASK_32: Final = (1 << 32) - 1


@Kernel
def raw_samples(content: bytes, stride: int, fields: I64) -> I32:
    """Samples of equal width.

    Args:
        content: of a frame, without its head.
        stride: octets of a sample, at least 1.
        fields: int64[channels, 4]: offset in the sample, octets (1 to 4), mask, or 0 for two's complement, and how
            many bits what is masked lies above the lowest.

    Returns:
        int32[samples, channels]; no rows if the content is not a whole number of samples.
    """
    count = len(content) // stride
    if count * stride != len(content):
        count = 0
    channels = fields.shape[0]
    out = np.empty((count, channels), np.int32)
    for channel in range(channels):
        offset, octets = fields[channel, 0], fields[channel, 1]
        mask, shift = fields[channel, 2], fields[channel, 3]
        sign = np.int64(1) << (8 * octets - 1)
        for i in range(count):
            # Unsigned, because numba looks at the sign of every other index.
            p = np.uint64(i * stride + offset)
            value = np.int64(content[p])
            if octets > 1:
                value |= np.int64(content[p + np.uint64(1)]) << 8
            if octets > 2:
                value |= np.int64(content[p + np.uint64(2)]) << 16
            if octets > 3:
                value |= np.int64(content[p + np.uint64(3)]) << 24
            out[i, channel] = (value & mask) >> shift if mask else (value ^ sign) - sign
    return out


@Kernel
def delta_samples(content: bytes, channels: int, octets: int) -> I32:
    """Samples of a delta-compressed frame.

    A first sample, then blocks: width in bits, number of samples, and their differences to the sample before,
    interleaved by channel, least significant bit first, beginning on an octet. Sums wrap at 32 bits, as those
    of floating-point patterns must.

    Args:
        content: of a frame, without its head.
        channels: in each sample, at least 1.
        octets: of each channel of the first sample, 1 to 4.

    Returns:
        int32[samples, channels]; no rows if a block is wider than 32 bits or longer than what is left.
    """
    length = len(content)
    start = channels * octets
    count = np.int64(1 if length >= start else 0)
    p = np.int64(start)
    while count and p < length:
        # Whatever does not fit makes the whole frame worth nothing.
        if p + 2 > length:
            count = np.int64(0)
            break
        width, samples = np.int64(content[p]), np.int64(content[p + 1])
        p += 2 + (width * samples * channels + 7) // 8
        count = count + samples if p <= length and width <= 32 else np.int64(0)
    out = np.empty((count, channels), np.int32)
    if not count:
        return out
    sign = np.int64(1) << (8 * octets - 1)
    for channel in range(channels):
        value = np.int64(0)
        for i in range(octets):
            value |= np.int64(content[channel * octets + i]) << 8 * i
        out[0, channel] = (value ^ sign) - sign
    p, row = np.int64(start), np.int64(1)
    while p < length:
        width, samples = np.int64(content[p]), np.int64(content[p + 1])
        p += 2
        mask, half = (np.int64(1) << width) - 1, (np.int64(1) << width) >> 1
        held, bits = np.int64(0), np.int64(0)
        for i in range(row, row + samples):
            for channel in range(channels):
                while bits < width:
                    held |= np.int64(content[p]) << bits
                    bits += 8
                    p += 1
                delta = ((held & mask) ^ half) - half
                held >>= width
                bits -= width
                out[i, channel] = ((out[i - 1, channel] + delta + _HALF_32) & _MASK_32) - _HALF_32
        row += samples
    return out


Samples: TypeAlias = npt.NDArray[np.int32] | npt.NDArray[np.uint32] | npt.NDArray[np.float32]
"""A row for each sample, in the counts of the wire."""


def samples(frame: Frame) -> Samples:
    """The samples of a frame.

    Raises:
        DecodeError: a kind of frame not known here, or content that does not fit.
    """
    layout = layout_of(frame)
    if isinstance(layout, Raw):
        decoded = raw_samples(frame.content, layout.stride, layout.fields)
    else:
        decoded = delta_samples(frame.content, layout.channels, layout.octets)
    return whole(frame, decoded).view(layout.dtype)


def layout_of(frame: Frame) -> Raw | Delta:
    """How the content of a frame is laid out.

    Raises:
        DecodeError: a kind of frame not known here.
    """
    layout = (DELTA if frame.compressed else RAW).get((frame.measurement, frame.frame_type))
    if layout is None:
        kind = "delta" if frame.compressed else "raw"
        raise _error(
            frame,
            f"{kind} frames of type {frame.frame_type} of measurement {frame.measurement:d} are not known",
        )
    return layout


def whole(frame: Frame, decoded: I32) -> I32:
    """What was decoded of a frame, if that is anything.

    Raises:
        DecodeError: the content does not fit.
    """
    if not len(decoded):
        raise _error(frame, f"{len(frame.content)} octets of content are not whole samples or blocks")
    return decoded


def scaled(frame: Frame, factor: float) -> npt.NDArray[np.float64]:
    """The samples of a frame times the factor that the device gave with its settings; acceleration in milli-g.

    Raises:
        DecodeError: as `samples`.
        ValueError: it is no factor (`polar.is_factor`).
    """
    # A device may send what is no number, in the form that raises a flag.
    with np.errstate(invalid="ignore"):
        return samples(frame).astype(np.float64) * units_per_count(frame, factor)


def units_per_count(frame: Frame, factor: float) -> float:
    """What a count of a frame is worth.

    Raises:
        ValueError: it is no factor (`polar.is_factor`).
    """
    if not is_factor(factor):
        raise ValueError(f"{factor!r} is no factor: it is above 0 and finite")
    layout = DELTA.get((frame.measurement, frame.frame_type)) if frame.compressed else None
    return factor * (layout.units_per_count if layout is not None else 1.0)


def _error(frame: Frame, reason: str) -> DecodeError:
    return DecodeError("PMD Data", FRAME.encode(frame), reason)
