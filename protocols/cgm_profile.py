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
"""After so many records under which one checksum is right every time, it is taken for granted."""
CLOCK_ERROR_S_MAX: Final = 120
"""A sensor's clock that is off by more is set; less is not worth a write that some sensors refuse."""


@dataclass(frozen=True, slots=True)
class CgmProfile:
    """How to read one sensor.

    Attributes:
        crc: what its values end with.
        octet_order: of the status octets in a measurement.
        quality_full_scale: the quality that means 100 %; there are pumps that send 10 for it.
        interval_octets: how wide the sensor's answer about its communication interval is, 1 or 2.
    """

    crc: Crc = Crc.NONE
    octet_order: OctetOrder = OctetOrder.SPECIFICATION
    quality_full_scale: float = 100.0
    interval_octets: int = 1

    def decode(self, payload: bytes) -> tuple[list[CgmMeasurement], list[DecodeError]]:
        """All readings in a notification, and what was wrong with the rest of it."""
        return cgm.decode_measurements(payload, crc=self.crc, octet_order=self.octet_order)

    def quality_pct(self, reading: CgmMeasurement) -> MedFloat | None:
        """The quality of a reading, really in percent."""
        if reading.quality_pct is None or isinstance(reading.quality_pct, Special):
            return reading.quality_pct
        return reading.quality_pct * 100.0 / self.quality_full_scale


DEFAULT: Final = CgmProfile()


def pinned(feature_payload: bytes, profile: CgmProfile = DEFAULT) -> CgmProfile:
    """The profile with the checksum that the value of 2AA8 declares, and is itself protected by.

    Raises:
        DecodeError: the value is malformed, or declares a checksum and has none of the known ones.
    """
    if not cgm.decode_feature(feature_payload).has_crc:
        return replace(profile, crc=Crc.NONE)
    body, sent = feature_payload[:-2], int.from_bytes(feature_payload[-2:], "little")
    return replace(profile, crc=next(kind for kind, checksum in FUNCTIONS.items() if checksum(body) == sent))


def detected(payloads: Sequence[bytes]) -> Crc | None:
    """The checksum of a sensor whose Feature is unknown, from its first notifications.

    Returns:
        The only kind under which the first RECORDS_TO_TELL records are all intact; None while there are fewer,
        and for good when there is no such kind, which deserves a report.
    """
    intact = []
    for kind in Crc:
        records = errors = 0
        for payload in payloads:
            readings, wrong = cgm.decode_measurements(payload, crc=kind)
            records, errors = records + len(readings), errors + len(wrong)
        if records >= RECORDS_TO_TELL and not errors:
            intact.append(kind)
    return intact[0] if len(intact) == 1 else None


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
