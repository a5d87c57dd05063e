"""Pulse Oximeter Service: Spot-check (2A5E), Continuous (2A5F), Features (2A60).

Contract: values are what was sent; a status that was not sent is None.

Source: Pulse Oximeter Service 1.0.1; GATT Specification Supplement.
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from construct import Int8ul, Int16ul, Int24ul

from protocols import date_time
from protocols.codec import Codec
from protocols.date_time import DateTime
from protocols.mappings import Bits
from protocols.medfloat import SFLOAT_QUANTITY, MedFloat
from protocols.schema import Flagged, FlagSet, Optional, Record, Word


class SpotCheckFlag(IntFlag):
    """PLX Spot-Check Measurement flags."""

    TIMESTAMP = 1 << 0
    MEASUREMENT_STATUS = 1 << 1
    DEVICE_STATUS = 1 << 2
    PULSE_AMPLITUDE_INDEX = 1 << 3
    CLOCK_NOT_SET = 1 << 4


class ContinuousFlag(IntFlag):
    """PLX Continuous Measurement flags."""

    FAST = 1 << 0
    SLOW = 1 << 1
    MEASUREMENT_STATUS = 1 << 2
    DEVICE_STATUS = 1 << 3
    PULSE_AMPLITUDE_INDEX = 1 << 4


class MeasurementStatus(IntFlag):
    """How good the measurement is."""

    ONGOING = 1 << 5
    EARLY_ESTIMATE = 1 << 6
    VALIDATED = 1 << 7
    FULLY_QUALIFIED = 1 << 8
    FROM_STORAGE = 1 << 9
    FOR_DEMONSTRATION = 1 << 10
    FOR_TESTING = 1 << 11
    CALIBRATION_ONGOING = 1 << 12
    UNAVAILABLE = 1 << 13
    QUESTIONABLE = 1 << 14
    INVALID = 1 << 15


class DeviceStatus(IntFlag):
    """How device and sensor are."""

    EXTENDED_DISPLAY_ONGOING = 1 << 0
    EQUIPMENT_MALFUNCTION = 1 << 1
    SIGNAL_IRREGULARITY = 1 << 2
    INADEQUATE_SIGNAL = 1 << 3
    POOR_SIGNAL = 1 << 4
    LOW_PERFUSION = 1 << 5
    ERRATIC_SIGNAL = 1 << 6
    NON_PULSATILE_SIGNAL = 1 << 7
    QUESTIONABLE_PULSE = 1 << 8
    SIGNAL_ANALYSIS_ONGOING = 1 << 9
    SENSOR_INTERFERENCE = 1 << 10
    SENSOR_NOT_ON_USER = 1 << 11
    UNKNOWN_SENSOR = 1 << 12
    SENSOR_DISPLACED = 1 << 13
    SENSOR_MALFUNCTION = 1 << 14
    SENSOR_DISCONNECTED = 1 << 15


class Feature(IntFlag):
    """PLX Features."""

    MEASUREMENT_STATUS = 1 << 0
    DEVICE_STATUS = 1 << 1
    SPOT_CHECK_STORAGE = 1 << 2
    SPOT_CHECK_TIMESTAMP = 1 << 3
    FAST = 1 << 4
    SLOW = 1 << 5
    PULSE_AMPLITUDE_INDEX = 1 << 6
    MULTIPLE_BONDS = 1 << 7


@dataclass(frozen=True, slots=True)
class Oximetry:
    """Oxygen saturation in percent and pulse rate in beats a minute."""

    spo2_pct: MedFloat
    pulse_rate_bpm: MedFloat


@dataclass(frozen=True, slots=True)
class SpotCheck:
    """One PLX Spot-Check Measurement."""

    oximetry: Oximetry
    timestamp: DateTime | None = None
    measurement_status: MeasurementStatus | None = None
    device_status: DeviceStatus | None = None
    pulse_amplitude_index_pct: MedFloat | None = None
    clock_not_set: bool = False


@dataclass(frozen=True, slots=True)
class Continuous:
    """One PLX Continuous Measurement: the normal averaging, and a faster and a slower one if sent."""

    normal: Oximetry
    fast: Oximetry | None = None
    slow: Oximetry | None = None
    measurement_status: MeasurementStatus | None = None
    device_status: DeviceStatus | None = None
    pulse_amplitude_index_pct: MedFloat | None = None


@dataclass(frozen=True, slots=True)
class Features:
    """PLX Features; `supported` holds those that do not announce a field."""

    supported: Feature
    measurement_status: MeasurementStatus | None = None
    device_status: DeviceStatus | None = None


_OXIMETRY: Final = Record(Oximetry, "spo2_pct" / SFLOAT_QUANTITY, "pulse_rate_bpm" / SFLOAT_QUANTITY)
_MEASUREMENT_STATUS: Final = Bits(Int16ul, MeasurementStatus)
_DEVICE_STATUS: Final = Bits(Int24ul, DeviceStatus)
# As integers: the complement of a flag is only its known fellows, and reserved bits are kept.
_NOT_PRESENCE: Final = 0xFFFF & ~int(Feature.MEASUREMENT_STATUS | Feature.DEVICE_STATUS)

#   FL OO OO PP PP [YY YY MM DD hh mm ss] [MS MS] [DS DS DS] [AA AA]
#   0f 62 00 48 00  e8 07 03 0f 0e 1e 2d   20 00   00 01 00   05 f0     98 %, 72 bpm, 0.5 %
SPOT_CHECK: Final = Codec[SpotCheck](
    "PLX Spot-Check Measurement",
    Record(
        SpotCheck,
        "flags" / Word(Int8ul),
        "oximetry" / _OXIMETRY,
        "timestamp" / Optional(SpotCheckFlag.TIMESTAMP, date_time.RECORD),
        "measurement_status" / Optional(SpotCheckFlag.MEASUREMENT_STATUS, _MEASUREMENT_STATUS),
        "device_status" / Optional(SpotCheckFlag.DEVICE_STATUS, _DEVICE_STATUS),
        "pulse_amplitude_index_pct" / Optional(SpotCheckFlag.PULSE_AMPLITUDE_INDEX, SFLOAT_QUANTITY),
        "clock_not_set" / Flagged(SpotCheckFlag.CLOCK_NOT_SET),
    ),
)

#   FL OO OO PP PP [FO FO FP FP] [SO SO SP SP] [MS MS] [DS DS DS] [AA AA]
#   02 62 00 48 00                63 00 46 00
CONTINUOUS: Final = Codec[Continuous](
    "PLX Continuous Measurement",
    Record(
        Continuous,
        "flags" / Word(Int8ul),
        "normal" / _OXIMETRY,
        "fast" / Optional(ContinuousFlag.FAST, _OXIMETRY),
        "slow" / Optional(ContinuousFlag.SLOW, _OXIMETRY),
        "measurement_status" / Optional(ContinuousFlag.MEASUREMENT_STATUS, _MEASUREMENT_STATUS),
        "device_status" / Optional(ContinuousFlag.DEVICE_STATUS, _DEVICE_STATUS),
        "pulse_amplitude_index_pct" / Optional(ContinuousFlag.PULSE_AMPLITUDE_INDEX, SFLOAT_QUANTITY),
    ),
)

FEATURES: Final = Codec[Features](
    "PLX Features",
    Record(
        Features,
        "features" / Word(Int16ul),
        "supported" / FlagSet("features", Feature, _NOT_PRESENCE),
        "measurement_status" / Optional(Feature.MEASUREMENT_STATUS, _MEASUREMENT_STATUS, word="features"),
        "device_status" / Optional(Feature.DEVICE_STATUS, _DEVICE_STATUS, word="features"),
    ),
)
