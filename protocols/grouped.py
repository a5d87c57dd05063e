"""From many packets at once to columns, by numpy alone: for whoever has no compiler.

Contract: says of each packet what the kernel of `columnar` says. It is for layouts of integers and flags; one that has
more is refused with `UntranslatableError` before any packet is read.

Packets of one length go through the program together, and part where a test divides them. So within a group every field
has one place, and is read of all its packets at once. What that costs grows with the number of forms that packets have,
and little with their number.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import CodeType
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from protocols.columnar import Columns, Octets, Offsets, Ragged
from protocols.kernel import columns_of
from protocols.program import Block, CheckEnd, Items, Kind, Leaf, Program, Read, Status, When, leaves
from protocols.schema import ATT_VALUE_OCTETS_MAX
from protocols.translate import UntranslatableError

I64: TypeAlias = npt.NDArray[np.int64]


class _Group(NamedTuple):
    """Packets that have taken the same way through the program.

    Attributes:
        packets: which they are.
        octets: a row for each place, a column for each packet.
        names: the variables: a number for each packet; of items, a row for each of them.
        place: of the next octet.
    """

    packets: I64
    octets: Octets
    names: Mapping[str, I64]
    place: int = 0

    def value(self, expression: str) -> I64:
        result: I64 = eval(_code(expression), {}, self.names)  # noqa: S307 - made of a layout, not of what came
        return result

    def parts(self, when: When) -> Iterator[tuple["_Group", Block]]:
        """Those for which the test holds, and the others, with what is to be done with them."""
        holds = self.value(when.test) != 0
        for chosen, block in ((holds, when.block), (~holds, when.otherwise)):
            if chosen.all():
                yield self, block
            elif chosen.any():
                names = {name: value[..., chosen] for name, value in self.names.items()}
                yield _Group(self.packets[chosen], self.octets[:, chosen], names, self.place), block

    def after(self, var: str, octets: Octets, signed: bool) -> "_Group":
        """With what was read in these octets, the lowest first."""
        value = sum(octet.astype(np.int64) << 8 * place for place, octet in enumerate(octets))
        sign = 1 << 8 * len(octets) - 1 if signed else 0
        place = self.place + octets[..., 0].size
        return self._replace(names={**self.names, var: (value ^ sign) - sign}, place=place)


def _read(group: _Group, read: Read) -> _Group | Status:
    end = group.place + read.octets
    if end > len(group.octets):
        return Status.TOO_SHORT
    return group.after(read.var, group.octets[group.place : end], read.signed)


def _items(group: _Group, items: Items) -> _Group | Status:
    rest = group.octets[group.place :]
    count, left = divmod(len(rest), items.octets)
    if left or not count:
        return Status.LEFT_OVER
    octets = rest.reshape(count, items.octets, -1).swapaxes(0, 1)
    return group.after(items.var, octets, items.signed)


def _check_end(group: _Group, _: CheckEnd) -> _Group | Status:
    return group if group.place == len(group.octets) else Status.LEFT_OVER


_RULES: Final[Mapping[type, Callable[[_Group, Any], _Group | Status]]] = {
    Read: _read,
    Items: _items,
    CheckEnd: _check_end,
}


class Grouped:
    """The decoder of a program.

    Raises:
        UntranslatableError: the program has more than integers and flags.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.leaves = tuple(leaves(program.shape))
        _check(program.block, self.leaves)

    def __call__(self, flat: Octets, offsets: Offsets) -> Columns:
        """As a `columnar.Kernel`; the offsets rise, and lie within the octets."""
        lengths = np.diff(offsets)
        status = np.zeros(lengths.size, np.uint8)
        groups: list[_Group] = []
        for length in np.unique(lengths).tolist():
            packets = np.flatnonzero(lengths == length)
            if length > ATT_VALUE_OCTETS_MAX:
                status[packets] = Status.TOO_LONG
                continue
            octets = flat[offsets[packets] + np.arange(length)[:, None]]
            names = dict.fromkeys(self.program.variables, np.zeros(packets.size, np.int64))
            groups += _run(_Group(packets, octets, names), self.program.block, status)
        is_read = status == Status.OK
        row_of = np.cumsum(is_read) - 1
        rows = [(group, row_of[group.packets]) for group in groups]
        columns = Columns(status, np.flatnonzero(is_read).astype(np.int32), {}, {}, {}, {})
        return _filled(columns, self.leaves, rows)


def _run(group: _Group, block: Block, status: npt.NDArray[np.uint8]) -> Iterator[_Group]:
    """The groups of those that get to the end; of the others `status` says what is wrong."""
    for place, statement in enumerate(block):
        if isinstance(statement, When):
            for part, inner in group.parts(statement):
                yield from _run(part, inner + block[place + 1 :], status)
            return
        outcome = _RULES[type(statement)](group, statement)
        if isinstance(outcome, Status):
            status[group.packets] = outcome
            return
        group = outcome
    yield group


def _filled(columns: Columns, of: Sequence[Leaf], groups: Sequence[tuple[_Group, I64]]) -> Columns:
    """The columns with the values of all leaves; a group comes with the rows of its packets."""
    count = columns.packet.size
    values: dict[str, npt.NDArray[Any]] = {}
    present: dict[str, npt.NDArray[np.bool_]] = {}
    ragged: dict[str, Ragged] = {}
    for leaf in of:
        dtypes = {column.use: column.dtype for column in columns_of(leaf)}
        there = np.ones(count, np.bool_)
        if leaf.present:
            present[leaf.path] = there
            for group, rows in groups:
                there[rows] = group.value(leaf.present) != 0
        if leaf.many:
            ragged[leaf.path] = _ragged(leaf, groups, count, dtypes["many"])
            continue
        values[leaf.path] = np.zeros(count, dtypes["value"])
        for group, rows in groups:
            values[leaf.path][rows] = group.value(leaf.expression) * there[rows]
    return replace(columns, values=values, present=present, ragged=ragged)


def _ragged(leaf: Leaf, groups: Sequence[tuple[_Group, I64]], count: int, dtype: type) -> Ragged:
    # Where nothing was read there is a number for each packet, and no row of items.
    many = [(rows, items) for group, rows in groups if (items := group.names[leaf.expression]).ndim > 1]
    offsets = np.zeros(count + 1, np.int32)
    for rows, items in many:
        offsets[rows + 1] = len(items)
    np.cumsum(offsets, out=offsets)
    values = np.zeros(offsets[-1], dtype)
    for rows, items in many:
        values[offsets[rows] + np.arange(len(items))[:, None]] = items
    return Ragged(values, offsets)


def _check(block: Block, of: Sequence[Leaf]) -> None:
    for statement in block:
        if isinstance(statement, When):
            _check(statement.block + statement.otherwise, ())
        elif type(statement) not in _RULES:
            raise UntranslatableError(f"{statement} cannot be done for a group of packets.")
    for leaf in of:
        # Python joins tests by `and`, which numpy cannot do for many numbers at once.
        if leaf.kind not in (Kind.INTEGER, Kind.BOOLEAN) or " and " in leaf.present:
            raise UntranslatableError(f"{leaf.path} cannot be read for a group of packets.")


@cache
def _code(expression: str) -> CodeType:
    return compile(expression, "<expression of a layout>", "eval")
