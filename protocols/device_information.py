"""Device Information Service: its strings (2A24 to 2A29), System ID (2A23), PnP ID (2A50) and certificates (2A2A).

Contract: what the maker wrote; strings without padding; the list of certificates unread.

Source: Device Information Service.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from construct import BytesInteger, GreedyBytes, Int8ul, Int16ul, Int24ul

from protocols.codec import Codec
from protocols.mappings import Coded, Text
from protocols.schema import Record

STRING: Final = Codec[str]("Device Information string", Text())

# Attributes of IEEE 11073-20601, big-endian; a matter of regulators and not of readings.
REGULATORY_CERTIFICATION: Final = Codec[bytes](
    "IEEE 11073-20601 Regulatory Certification Data List", GreedyBytes
)


class VendorIdSource(IntEnum):
    """Who assigned a vendor identifier."""

    BLUETOOTH_SIG = 1
    USB_FORUM = 2


@dataclass(frozen=True, slots=True)
class SystemId:
    """System ID; for a device with a 48-bit address, its two halves with FFFE before the lower one."""

    manufacturer_identifier: int
    organizationally_unique_identifier: int


@dataclass(frozen=True, slots=True)
class PnpId:
    """PnP ID; the version reads 0xJJMN for JJ.M.N."""

    vendor_id_source: int
    vendor_id: int
    product_id: int
    product_version: int


#   MM MM MM MM MM OO OO OO
#   56 34 12 fe ff ab 90 78     the address 78:90:ab:12:34:56
SYSTEM_ID: Final = Codec[SystemId](
    "System ID",
    Record(
        SystemId,
        "manufacturer_identifier" / BytesInteger(5, swapped=True),
        "organizationally_unique_identifier" / Int24ul,
    ),
)

#   SS VV VV PP PP NN NN
#   01 6b 00 12 00 03 01
PNP_ID: Final = Codec[PnpId](
    "PnP ID",
    Record(
        PnpId,
        "vendor_id_source" / Coded(Int8ul, VendorIdSource),
        "vendor_id" / Int16ul,
        "product_id" / Int16ul,
        "product_version" / Int16ul,
    ),
)


def decode_string(payload: bytes) -> str:
    """The text of a Device Information string; trailing NULs are padding and dropped.

    Raises:
        DecodeError: not UTF-8.
    """
    return STRING.decode(payload)


def encode_string(text: str) -> bytes:
    """The value of a Device Information string.

    Raises:
        ValueError: longer than an attribute can hold.
    """
    return STRING.encode(text)
