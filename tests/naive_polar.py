"""Polar samples by the text of the format, bit by bit and in plain integers."""


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if bits and value >> (bits - 1) & 1 else value


def delta_samples(content: bytes, channels: int, octets: int) -> list[list[int]]:
    """The samples of a delta frame; none if it is malformed."""
    start = channels * octets
    if len(content) < start:
        return []
    reference = [content[c * octets : (c + 1) * octets] for c in range(channels)]
    rows = [[int.from_bytes(octets_of, "little", signed=True) for octets_of in reference]]
    rest = content[start:]
    while rest:
        if len(rest) < 2 or rest[0] > 32:
            return []
        width, count = rest[0], rest[1]
        size = -(-width * count * channels // 8)
        if len(rest) < 2 + size:
            return []
        bits = "".join(f"{octet:08b}"[::-1] for octet in rest[2 : 2 + size])
        for i in range(count):
            at = [(i * channels + c) * width for c in range(channels)]
            deltas = [signed(int(bits[a : a + width][::-1] or "0", 2), width) for a in at]
            summed = [old + new for old, new in zip(rows[-1], deltas, strict=True)]
            rows.append([signed(value & 0xFFFFFFFF, 32) for value in summed])
        rest = rest[2 + size :]
    return rows


def raw_samples(content: bytes, stride: int, fields: list[tuple[int, int, int, int]]) -> list[list[int]]:
    """Samples of equal width; none if they are not whole."""
    if len(content) % stride:
        return []
    rows = []
    for i in range(0, len(content), stride):
        row = []
        for offset, octets, mask, shift in fields:
            word = content[i + offset : i + offset + octets]
            plain = int.from_bytes(word, "little")
            row.append((plain & mask) // 2**shift if mask else signed(plain, 8 * octets))
        rows.append(row)
    return rows
