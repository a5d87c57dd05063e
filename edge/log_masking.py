"""No line of the log holds a Bluetooth address, whoever wrote it, tracebacks included.

An address tells who was where, and those of neighbours are heard, too. They come in many spellings: as people write
them, as BlueZ names its objects, inside the texts of errors. What merely looks like one, twelve hexadecimal digits in a
row, is masked as well; the end of a UUID is not.
"""

import logging
import re
from typing import Final

MASK: Final = "(address)"

_PAIR = "[0-9A-Fa-f]{2}"
_IN_PAIRS = (
    rf"(?<![0-9A-Fa-f]){_PAIR}(?P<between>[:_-]|%3[Aa]){_PAIR}(?:(?P=between){_PAIR}){{4}}(?![0-9A-Fa-f])"
)
_IN_ONE = r"(?<![0-9A-Fa-f])(?<![0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-)[0-9A-Fa-f]{12}(?![0-9A-Fa-f])"
_ADDRESS: Final = re.compile(f"{_IN_PAIRS}|{_IN_ONE}")


def mask(text: str) -> str:
    """The text without its addresses."""
    return _ADDRESS.sub(MASK, text)


class MaskingFormatter(logging.Formatter):
    """For every handler at the root of the loggers."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))
