"""What is particular about one CGM sensor: pinned once per connection, from its CGM Feature and first records.

Contract: a profile is a value; `pinned` makes it from what was read. Wall clocks are arguments.

Source: Continuous Glucose Monitoring Service 1.0.2; captures of sensors that differ from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from protocols import cgm
from protocols.cgm import CgmMeasurement, OctetOrder, SessionStartTime
from protocols.crc import FUNCTIONS, Crc
from protocols.errors import DecodeError
from protocols.medfloat import MedFloat, Special

RECORDS_TO_TELL: Final = 3
"""After so many notifications that one reading of them fits every time, it is taken for granted."""
CLOCK_ERROR_S_MAX: Final = 120
"""A sensor's clock that is off by more is set; less is not worth a write that some sensors refuse."""


@dataclass(frozen=True, slots=True)
class CgmProfile:
    """How to read one sensor.

    Attributes:
        crc: what its values end with.
        octet_order: of the status octets in a measurement.
        quality_full_scale: the quality that means 100 %; there are pumps that send 10 for it.
    """

    crc: Crc = Crc.NONE
    octet_order: OctetOrder = OctetOrder.SPECIFICATION
    quality_full_scale: float = 100.0

    def decode(self, payload: bytes) -> tuple[list[CgmMeasurement], list[DecodeError]]:
        """All readings in a notification, and what was wrong with the rest of it."""
        return cgm.decode_measurements(payload, crc=self.crc, octet_order=self.octet_order)

    def quality_pct(self, reading: CgmMeasurement) -> MedFloat | None:
        """The quality of a reading, really in percent."""
        if reading.quality_pct is None or isinstance(reading.quality_pct, Special):
            return reading.quality_pct
        return reading.quality_pct * 100.0 / self.quality_full_scale

    def fits(self, payloads: Sequence[bytes]) -> bool:
        """Whether notifications are intact when read so, and have no bits that no sensor sends."""
        decoded = [self.decode(payload) for payload in payloads]
        return all(readings and not errors for readings, errors in decoded) and not any(
            reading.status & cgm.RESERVED_ANNUNCIATION for readings, _ in decoded for reading in readings
        )


DEFAULT: Final = CgmProfile()
PUMP_QUALITY_FULL_SCALE: Final = 10.0
"""Of the pumps that protect their values by the checksum the specification does not name."""


def pinned(
    feature_payload: bytes, status_payload: bytes | None = None, profile: CgmProfile = DEFAULT
) -> CgmProfile:
    """The profile with the checksum that the value of 2AA8 declares, and is itself protected by.

    Args:
        feature_payload: the value of 2AA8.
        status_payload: the value of 2AA9. A sensor whose values end with something else than it declares is
            read as it sends, because the length of this one leaves no doubt.
        profile: what else is known about the sensor.

    Raises:
        DecodeError: a value is malformed, or has none of the known checksums where it has one.
    """
    crc = Crc.NONE
    if cgm.decode_feature(feature_payload).has_crc:
        body, sent = feature_payload[:-2], int.from_bytes(feature_payload[-2:], "little")
        crc = next(kind for kind, checksum in FUNCTIONS.items() if checksum(body) == sent)
    if status_payload is not None:
        kinds = sorted(Crc, key=lambda kind: kind is not crc)
        crc = next((kind for kind in kinds if _is_status(status_payload, kind)), crc)
    if crc is Crc.CCITT_FALSE:
        return replace(profile, crc=crc, quality_full_scale=PUMP_QUALITY_FULL_SCALE)
    return replace(profile, crc=crc)


def _is_status(payload: bytes, crc: Crc) -> bool:
    try:
        cgm.decode_status(payload, crc=crc)
    except DecodeError:
        return False
    return True


def suited(payloads: Sequence[bytes], profile: CgmProfile = DEFAULT) -> CgmProfile:
    """The profile with the checksum and the order of octets that a sensor's notifications really have.

    Returns:
        The given one as long as it fits them, there are fewer than RECORDS_TO_TELL, or none fits or more than
        one does; the last two for good deserve a report.
    """
    if len(payloads) < RECORDS_TO_TELL or profile.fits(payloads):
        return profile
    others = [replace(profile, crc=crc, octet_order=order) for crc in Crc for order in OctetOrder]
    fitting = [other for other in others if other.fits(payloads)]
    if len({other.crc for other in fitting}) != 1:
        return profile
    return next((other for other in fitting if other.octet_order is profile.octet_order), fitting[0])


def start_time_to_write(
    start: SessionStartTime | None, *, offset_min: int, utc_s: int, time_sync_required: bool
) -> SessionStartTime | None:
    """What to write to Session Start Time: the client's present time, or None if the sensor's is good enough.

    Args:
        start: as read from the sensor; None if that failed.
        offset_min: the sensor's present time offset, from CGM Status.
        utc_s: the present time in seconds since 1970-01-01 UTC.
        time_sync_required: what CGM Status says about it.
    """
    started_s = None if start is None else start.utc_seconds()
    if not time_sync_required and started_s is not None:
        # The offset counts whole minutes, so the sensor's clock shows up to a minute more than this.
        error_s = utc_s - (started_s + offset_min * 60)
        if -CLOCK_ERROR_S_MAX <= error_s <= CLOCK_ERROR_S_MAX + 60:
            return None
    return SessionStartTime.from_utc_seconds(utc_s)
