"""The checksum behind E2E-CRC.

Contract: a pure function of bytes. Where the checksum stands in a value is the business of `schema.E2eCrc`.
Source: Continuous Glucose Monitoring Service 1.0.2; check values in the GATT Specification Supplement.
"""


def _table_entry(octet: int) -> int:
    for _ in range(8):
        octet = octet >> 1 ^ (0x8408 if octet & 1 else 0)
    return octet


_TABLE = tuple(_table_entry(octet) for octet in range(256))


def mcrf4xx(data: bytes) -> int:
    """CRC-16/MCRF4XX: polynomial 0x1021 reflected, initial value 0xFFFF, no final exclusive-or.

    Over data followed by its own checksum (least significant octet first) it is 0.
    """
    crc = 0xFFFF
    for octet in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ octet) & 0xFF]
    return crc
