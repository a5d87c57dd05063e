"""The one error a peer can cause.

Contract: no `decode` of this package raises anything but `DecodeError`. Wrong values handed to an `encode`
are the caller's fault and raise ValueError. Errors of radio, network or configuration do not belong here.
"""

HEX_OCTETS_MAX = 64


class DecodeError(Exception):
    """Bytes received from a peer that do not mean anything.

    Attributes:
        characteristic: name of the characteristic, as the specification has it.
        payload: the bytes, whole.
        reason: what is wrong with them, without a full stop.
    """

    def __init__(self, characteristic: str, payload: bytes, reason: str) -> None:
        super().__init__(characteristic, payload, reason)
        self.characteristic = characteristic
        self.payload = payload
        self.reason = reason

    def __str__(self) -> str:
        # A hostile or broken peer must not be able to fill a log line.
        shown = self.payload[:HEX_OCTETS_MAX].hex() + ("..." if len(self.payload) > HEX_OCTETS_MAX else "")
        return f"{self.characteristic} cannot be decoded from {shown or 'no octets'}: {self.reason}."
