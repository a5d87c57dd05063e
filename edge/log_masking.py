"""No line of the log holds a Bluetooth address, whoever wrote it, tracebacks included.

An address tells who was where, and the addresses of neighbours are heard, too. Six pairs of hexadecimal digits are
masked wherever they stand, with colons, dashes or underscores between them: people write addresses so, BlueZ names its
objects so (`/org/bluez/hci0/dev_F0_00_00_00_00_01`), and bleak puts both into its errors. Twelve digits in a row are
masked only as a word of their own, for they may be an address as well. In a longer string, such as a UUID, a digest or
the name of a version, they stay.
"""

import logging
import re
from typing import Final

MASK: Final = "(address)"

_PAIR = "[0-9A-Fa-f]{2}"
_IN_PAIRS = (
    rf"(?<![0-9A-Fa-f]){_PAIR}(?P<between>[:_-]|%3[Aa]){_PAIR}(?:(?P=between){_PAIR}){{4}}(?![0-9A-Fa-f])"
)
_WORD_BEGINS = r"(?:(?<![0-9A-Za-z])|(?<=0[Xx]))"
_NOT_IN_UUID = "(?<![0-9A-Fa-f]{4}[_-][0-9A-Fa-f]{4}[_-])"
_IN_ONE = rf"{_WORD_BEGINS}{_NOT_IN_UUID}[0-9A-Fa-f]{{12}}(?![0-9A-Za-z])"
_ADDRESS: Final = re.compile(f"{_IN_PAIRS}|{_IN_ONE}")


def mask(text: str) -> str:
    """The text without its addresses."""
    return _ADDRESS.sub(MASK, text)


class MaskingFormatter(logging.Formatter):
    """For every handler at the root of the loggers."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))
