"""From all packets at once to columns.

Contract: a batch never fails for what a packet says. A special SFLOAT or FLOAT stays distinguishable: its
column of words has the word as sent, its column of values infinity for an infinity and NaN for everything
else that is no number, absent ones included.

numba is imported when the first kernel is called, so that a process that only decodes live packets never pays
for it.

Not here: the text of kernels, see `kernel`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from protocols import crc, kernel, medfloat
from protocols.compiled import compiled
from protocols.program import Program
from protocols.schema import ATT_VALUE_OCTETS_MAX

Array: TypeAlias = npt.NDArray[Any]
Octets: TypeAlias = npt.NDArray[np.uint8]
Offsets: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ragged:
    """A list per row: that of row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: Array
    offsets: npt.NDArray[np.int32]

    def __getitem__(self, row: int) -> Array:
        values: Array = self.values[self.offsets[row] : self.offsets[row + 1]]
        return values


@dataclass(frozen=True)
class Columns:
    """What a batch of packets holds; a row is one reading.

    Attributes:
        status: `Status` of each packet.
        packet: for each row, the index of the packet it came in.
        values: by the dotted name of a field, one number per row; SFLOAT and FLOAT as float64.
        words: the same fields' words as sent, for SFLOAT and FLOAT.
        present: for fields that need not be there, whether they are; a value that is not is 0 or NaN.
        ragged: fields that hold many, or octets.
    """

    status: npt.NDArray[np.uint8]
    packet: npt.NDArray[np.int32]
    values: Mapping[str, Array]
    words: Mapping[str, Array]
    present: Mapping[str, npt.NDArray[np.bool_]]
    ragged: Mapping[str, Ragged]


def flatten(payloads: Sequence[bytes]) -> tuple[Octets, Offsets]:
    """Payloads end to end, and where each begins and the last one ends."""
    flat = np.frombuffer(bytearray(b"".join(payloads)), dtype=np.uint8)
    offsets = np.zeros(len(payloads) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, payloads), dtype=np.int64, count=len(payloads)), out=offsets[1:])
    return flat, offsets


class Kernel:
    """The columnar decoder of a program; `record_octets_min` if a packet holds several sized records."""

    def __init__(self, name: str, program: Program, record_octets_min: int | None = None) -> None:
        self.record_octets_min = record_octets_min
        text, self.columns = kernel.generate(program, record_octets_min)
        # numba finds a compiled kernel again by its name and its byte code, in which the constants are not.
        self.name = (
            f"decode_{re.sub(r'[^a-z0-9]+', '_', name.lower())}_{sha256(text.encode()).hexdigest()[:12]}"
        )
        self.source = f"def {self.name}{text}"

    @cached_property
    def function(self) -> Callable[..., int]:
        """The kernel as a Python function."""
        names: dict[str, Any] = {"np": np, "inf": np.inf, "nan": np.nan, "__name__": __name__}
        for octets, (up, down) in medfloat.SCALES.items():
            names |= {f"UP_{octets}": np.array(up), f"DOWN_{octets}": np.array(down)}
        for kind in crc.FUNCTIONS:
            names[f"START_{kind:d}"], names[f"OCTET_{kind:d}"] = _crc_tables(kind)
        # numba keeps compiled kernels beside the file they say they are from.
        exec(compile(self.source, __file__, "exec"), names)  # noqa: S102
        function: Callable[..., int] = names[self.name]
        return function

    @cached_property
    def compiled(self) -> Callable[..., int]:
        """The kernel, compiled or loaded from numba's cache at its first call.

        Raises:
            ModuleNotFoundError: numba is not installed.
        """
        try:
            return compiled(self.function)
        except ModuleNotFoundError as error:
            need = "batches are decoded by numba, which is not installed: sh tools/setup.sh install"
            raise ModuleNotFoundError(need, name="numba") from error

    def __call__(self, flat: Octets, offsets: Offsets) -> Columns:
        """The columns of packets that lie end to end in `flat`; packet i from `offsets[i]` to `[i + 1]`.

        Raises:
            ValueError: the offsets do not rise from 0 or more to at most the length of `flat`.
        """
        flat = np.require(flat, np.uint8, ["C", "W"])
        offsets = np.require(offsets, np.int64, ["C", "W"])
        packets = len(offsets) - 1
        if packets < 0 or offsets[0] < 0 or offsets[-1] > len(flat):
            raise ValueError("The offsets do not lie within the octets.")
        status, packet, arrays, count = self._run(flat, offsets, packets)
        if count == kernel.ROWS_EXCEEDED and self.record_octets_min is not None:
            # Most notifications hold one record; room for more is made only where it is needed.
            status, packet, arrays, count = self._run(flat, offsets, len(flat) // self.record_octets_min)
        if count < 0:
            raise ValueError("The offsets do not rise.")
        by_kind: dict[str, dict[str, Any]] = {"value": {}, "word": {}, "present": {}, "many": {}, "start": {}}
        for column, array in zip(self.columns, arrays, strict=True):
            by_kind[column.use][column.path] = array
        ragged = {
            path: Ragged(values[: by_kind["start"][path][count]], by_kind["start"][path][: count + 1])
            for path, values in by_kind["many"].items()
        }
        cut = {
            use: {path: a[:count] for path, a in by_kind[use].items()} for use in ("value", "word", "present")
        }
        return Columns(status, packet[:count], cut["value"], cut["word"], cut["present"], ragged)

    def _run(self, flat: Octets, offsets: Offsets, rows: int) -> tuple[Array, Array, list[Array], int]:
        lengths = [(column.dtype, column.length(rows, len(flat))) for column in self.columns]
        status, packet, *arrays = _room([(np.uint8, len(offsets) - 1), (np.int32, rows), *lengths])
        status.fill(0)
        return status, packet, arrays, self.compiled(flat, offsets, status, packet, *arrays)


def _room(lengths: Sequence[tuple[type, int]]) -> list[Array]:
    """Arrays in one piece of memory: the system hands out a large one in large pages, and many small slowly."""
    octets = [np.dtype(dtype).itemsize * length for dtype, length in lengths]
    starts = np.concatenate(([0], np.cumsum([-(-size // 64) * 64 for size in octets])))
    whole = np.empty(starts[-1], np.uint8)
    pieces = zip(starts, octets, lengths, strict=False)
    return [whole[start : start + size].view(dtype) for start, size, (dtype, _) in pieces]


@cache
def _crc_tables(kind: crc.Crc) -> tuple[Array, Array]:
    """The checksum of so many zeros, and what an octet at a distance (times 256) from the end adds to it."""
    checksum = crc.FUNCTIONS[kind]
    start = np.array([checksum(bytes(length)) for length in range(ATT_VALUE_OCTETS_MAX + 1)], np.uint16)
    octets = np.arange(256, dtype=np.uint16)
    added = np.zeros((ATT_VALUE_OCTETS_MAX, 256), np.uint16)
    for bit in range(8):
        alone = [checksum(bytes([1 << bit]) + bytes(distance)) for distance in range(ATT_VALUE_OCTETS_MAX)]
        added ^= (np.array(alone, np.uint16) ^ start[1:])[:, None] * (octets >> bit & 1)
    return start, added.ravel()
