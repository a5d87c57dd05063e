"""One characteristic: a layout, and all that is derived from it.

Contract: `Codec(name, layout)` translates the layout at once, and raises if it cannot. `decode` is the
generated function for packets as they arrive, `columns` the generated kernel for many at a time, `grouped` the same
for few layouts and without a compiler, `encode` and `decode_lenient` interpret the layout. All agree on every payload.
"""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from construct import ChecksumError, Construct

from protocols import interpret, live, schema
from protocols.crc import Crc
from protocols.envelopes import E2eCrc
from protocols.errors import DecodeError
from protocols.translate import translate

if TYPE_CHECKING:
    from protocols.columnar import Columns, Kernel, Octets, Offsets
    from protocols.grouped import Grouped

Reading = TypeVar("Reading")


class Codec(Generic[Reading]):
    """Encoder and decoders of one layout.

    Attributes:
        characteristic: its name, as the specification has it.
        layout: what everything is derived from.
        program: the layout, translated.
        decode: the reading in a payload; raises DecodeError if it does not fit the layout.
    """

    def __init__(self, characteristic: str, layout: Construct) -> None:
        self.characteristic: Final = characteristic
        self.layout: Final = layout
        self.program: Final = translate(layout)
        self.decode: Final[Callable[[bytes], Reading]] = live.generate(self.program, self._refuse)

    def interpret(self, payload: bytes) -> Reading:
        """As `decode`, by walking the layout: slow, and the measure of all others."""
        reading: Reading = interpret.decode(self.characteristic, self.layout, payload)
        return reading

    def _refuse(self, payload: bytes) -> Reading:
        reading = self.interpret(payload)
        raise AssertionError(f"The generated decoder refuses {payload.hex()}, which is {reading!r}.")

    def decode_lenient(self, payload: bytes) -> tuple[Reading, tuple[schema.Oddity, ...]]:
        """The reading in a payload that is odd as devices are known to be, and what is odd about it.

        Raises:
            DecodeError: there is more wrong with it than that.
        """
        return interpret.decode_lenient(self.characteristic, self.layout, payload)

    def encode(self, reading: Reading) -> bytes:
        """The payload that carries a reading.

        Raises:
            ValueError: it cannot be expressed.
        """
        return interpret.encode(self.layout, reading)

    @cached_property
    def kernel(self) -> "Kernel":
        """The kernel for batches; compiled, or loaded from numba's cache, at its first call."""
        from protocols.columnar import Kernel

        return Kernel(self.characteristic, self.program)

    def columns(self, flat: "Octets", offsets: "Offsets") -> "Columns":
        """What many payloads hold, laid end to end; never raises on what they say."""
        return self.kernel(flat, offsets)

    @cached_property
    def grouped(self) -> "Grouped":
        """As `columns`, without a compiler.

        Raises:
            UntranslatableError: the layout has more than integers and flags.
        """
        from protocols.grouped import Grouped

        return Grouped(self.program)


class RecordsCodec(Codec[Reading]):
    """A codec of records that begin with their size; a payload is one or more of them, end to end."""

    def __init__(self, characteristic: str, layout: Construct, octets_min: int) -> None:
        super().__init__(characteristic, layout)
        self.octets_min: Final = octets_min

    def decode_all(
        self, payload: bytes, decode: Callable[[bytes], Reading] | None = None
    ) -> tuple[list[Reading], list[DecodeError]]:
        """All readings in a payload, and what is wrong with the rest of it; never raises.

        A record whose checksum is wrong is reported and left out, and the next one decoded. A size octet
        that does not fit the packet, or not the fields its record announces, cannot be trusted to find the
        next record: the packet ends.

        Args:
            payload: what was notified.
            decode: of one record; the generated decoder, if left out.
        """
        readings: list[Reading] = []
        errors: list[DecodeError] = []
        decode = decode or self.decode
        if not 0 < len(payload) <= schema.ATT_VALUE_OCTETS_MAX:
            errors.append(
                DecodeError(self.characteristic, payload, f"{len(payload)} octets are no notification")
            )
            return readings, errors
        rest = payload
        while rest:
            size = rest[0]
            if not self.octets_min <= size <= len(rest):
                reason = f"size octet {size} with {len(rest)} octets left"
                errors.append(DecodeError(self.characteristic, rest, reason))
                break
            try:
                readings.append(decode(rest[:size]))
            except DecodeError as error:
                errors.append(error)
                if not isinstance(error.__cause__, ChecksumError):
                    break
            rest = rest[size:]
        return readings, errors

    @cached_property
    def kernel(self) -> "Kernel":
        """The kernel for batches of payloads, with a row for each record."""
        from protocols.columnar import Kernel

        return Kernel(self.characteristic, self.program, self.octets_min)


def without_and_with_crc(characteristic: str, layout: Construct) -> tuple[Codec[Any], ...]:
    """The codecs of a value without a checksum and with either kind; index by `Crc`, False or True."""
    return (
        Codec(characteristic, layout),
        Codec(characteristic, E2eCrc(layout, Crc.MCRF4XX)),
        Codec(characteristic, E2eCrc(layout, Crc.CCITT_FALSE)),
    )
