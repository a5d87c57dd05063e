"""WFDB records written here, byte by byte as the format's description has them, and read back."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import ConfigError
from tools.analyse.wfdb_record import read

Digital = npt.NDArray[np.int64]
RATE_HZ = 250


def little(size: int) -> Callable[[Digital], bytes]:
    return lambda samples: b"".join(int(x).to_bytes(size, "little", signed=True) for x in samples)


def big(samples: Digital) -> bytes:
    return b"".join(int(x).to_bytes(2, "big", signed=True) for x in samples)


def offset_binary(samples: Digital) -> bytes:
    return bytes(int(x) + 128 for x in samples)


def pairs_of_12_bits(samples: Digital) -> bytes:
    packed = bytearray()
    for k in range(0, samples.size, 2):
        a, b = int(samples[k]) & 0xFFF, int(samples[k + 1]) & 0xFFF if k + 1 < samples.size else 0
        packed += bytes([a & 0xFF, a >> 8 | (b >> 8) << 4, b & 0xFF])
    return bytes(packed[:-1] if samples.size % 2 else packed)


FORMATS = {
    "16": (little(2), 16),
    "24": (little(3), 24),
    "32": (little(4), 32),
    "61": (big, 16),
    "80": (offset_binary, 8),
    "212": (pairs_of_12_bits, 12),
}


def record(folder: Path, header: str, data: bytes = b"") -> Path:
    (folder / "r.dat").write_bytes(data)
    (folder / "r.hea").write_text(header)
    return folder / "r.hea"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("signals", [1, 2])
def test_formats(tmp_path: Path, form: str, signals: int) -> None:
    """The least number of a format stands for a sample that was not taken."""
    encode, bits = FORMATS[form]
    top = 1 << (bits - 1)
    digital = np.random.default_rng(bits).integers(-top + 1, top, (101, signals))
    digital[[5, 6, 7], 0] = [-top, -top + 1, top - 1]
    lines = "".join(f"r.dat {form}+3 100(7)/mV {bits} 0 0 0 0 lead {k}\n" for k in range(signals))
    header = record(tmp_path, f"r {signals} {RATE_HZ} 101\n{lines}", b"abc" + encode(digital.ravel()))
    for k in range(signals):
        signal = read(header, f"LEAD {k}")
        expected = (digital[:, k] - 7) / 100.0
        assert (signal.rate_hz, signal.name) == (RATE_HZ, f"lead {k}")
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(signal.values)), [5] if k == 0 else [])
        np.testing.assert_allclose(signal.values, np.where(digital[:, k] == -top, np.nan, expected))


def test_several_samples_a_frame(tmp_path: Path) -> None:
    frames = np.arange(30).reshape(10, 3)
    lines = "r.dat 16x2 1 16 0 0 0 0 fast\nr.dat 16 1 16 0 0 0 0 slow\n"
    header = record(tmp_path, f"r 2 100 10\n{lines}", little(2)(frames.ravel()))
    fast, slow = read(header, "fast"), read(header, "slow")
    np.testing.assert_array_equal(fast.values, frames[:, :2].ravel())
    np.testing.assert_array_equal(slow.values, frames[:, 2])
    assert (fast.rate_hz, slow.rate_hz) == (200, 100)


@pytest.mark.parametrize(("announced", "held"), [("4", 4), ("10", 10), ("0", 10), ("", 10)])
def test_the_header_bounds_what_is_read(tmp_path: Path, announced: str, held: int) -> None:
    header = record(
        tmp_path, f"r 1 250 {announced}\nr.dat 16 200 11 1024 0 0 0 II\n", little(2)(np.arange(10))
    )
    np.testing.assert_allclose(read(header, None).values, (np.arange(held) - 1024) / 200.0)


@pytest.mark.parametrize(
    ("names", "asked", "read_as"),
    [
        (["ABP", "MLII", "V5"], None, "MLII"),
        (["ABP", "MLII", "V5"], "ecg", "MLII"),
        (["V5", "ECG"], "ecg", "ECG"),
        (["RESP", "ECG lead II"], "ecg", "ECG lead II"),
        (["aVF", "V5"], "v5", "V5"),
        (["one", "two"], "ecg", "one"),
    ],
)
def test_which_signal(tmp_path: Path, names: list[str], asked: str | None, read_as: str) -> None:
    lines = "".join(f"r.dat 16 200 16 0 0 0 0 {name}\n" for name in names)
    header = record(tmp_path, f"r {len(names)} 250 2\n{lines}", little(2)(np.zeros(2 * len(names), np.int64)))
    assert read(header, asked).name == read_as


@pytest.mark.parametrize(
    ("header", "asked", "says"),
    [
        ("r 1 250 10\nr.dat 16 200 16 0 0 0 0 II\n", "V9", "no signal V9; it has: II"),
        ("r 1 250 10\nr.dat 16 1/mmHg 16 0 0 0 0 ABP\n", "ecg", "it has: ABP"),
        ("r 1 250 11\nr.dat 16 200 16 0 0 0 0 II\n", None, "ends after 10 of 11 samples"),
        ("r 1 250 10\nother.dat 16 200 16 0 0 0 0 II\n", None, "No such file"),
        ("r 1 250 10\nr.dat 16:3 200 16 0 0 0 0 II\n", None, "format 16:3"),
        ("r 1 250 10\nr.dat 16x0 200 16 0 0 0 0 II\n", None, "format 16x0"),
        ("r 1 250 10\nr.dat 8 200 16 0 0 0 0 II\n", None, "format 8 "),
        ("r/2 1 250 20\na 10\nb 10\n", None, "several segments"),
        ("r 2 250 10\nr.dat 16 200 16 0 0 0 0 II\n", None, "1 signals described, 2 announced"),
        ("r 0 250 10\n", None, "0 announced"),
        ("r many 250\n", None, "cannot read"),
        ("\x00\xff", None, "no header"),
        ("", None, "no header"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, header: str, asked: str | None, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(record(tmp_path, header, little(2)(np.arange(10))), asked)
