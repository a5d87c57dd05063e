"""Services and characteristics spoken here, as the 128-bit lower-case strings bleak uses.

Contract: constants and their names only; what a characteristic's bytes mean is in the module of its service.
Source: Bluetooth SIG Assigned Numbers.
"""

_BASE = "0000{:04x}-0000-1000-8000-00805f9b34fb"

DEVICE_INFORMATION_SERVICE = _BASE.format(0x180A)
HEART_RATE_SERVICE = _BASE.format(0x180D)
BATTERY_SERVICE = _BASE.format(0x180F)
CGM_SERVICE = _BASE.format(0x181F)

BATTERY_LEVEL = _BASE.format(0x2A19)
MODEL_NUMBER = _BASE.format(0x2A24)
SERIAL_NUMBER = _BASE.format(0x2A25)
FIRMWARE_REVISION = _BASE.format(0x2A26)
HARDWARE_REVISION = _BASE.format(0x2A27)
SOFTWARE_REVISION = _BASE.format(0x2A28)
MANUFACTURER_NAME = _BASE.format(0x2A29)
HEART_RATE_MEASUREMENT = _BASE.format(0x2A37)
BODY_SENSOR_LOCATION = _BASE.format(0x2A38)
RACP = _BASE.format(0x2A52)
CGM_MEASUREMENT = _BASE.format(0x2AA7)
CGM_FEATURE = _BASE.format(0x2AA8)
CGM_STATUS = _BASE.format(0x2AA9)
CGM_SESSION_START_TIME = _BASE.format(0x2AAA)
CGM_SESSION_RUN_TIME = _BASE.format(0x2AAB)
CGM_SPECIFIC_OPS = _BASE.format(0x2AAC)

_NAMES = {
    DEVICE_INFORMATION_SERVICE: "Device Information",
    HEART_RATE_SERVICE: "Heart Rate",
    BATTERY_SERVICE: "Battery",
    CGM_SERVICE: "Continuous Glucose Monitoring",
    BATTERY_LEVEL: "Battery Level",
    MODEL_NUMBER: "Model Number String",
    SERIAL_NUMBER: "Serial Number String",
    FIRMWARE_REVISION: "Firmware Revision String",
    HARDWARE_REVISION: "Hardware Revision String",
    SOFTWARE_REVISION: "Software Revision String",
    MANUFACTURER_NAME: "Manufacturer Name String",
    HEART_RATE_MEASUREMENT: "Heart Rate Measurement",
    BODY_SENSOR_LOCATION: "Body Sensor Location",
    RACP: "Record Access Control Point",
    CGM_MEASUREMENT: "CGM Measurement",
    CGM_FEATURE: "CGM Feature",
    CGM_STATUS: "CGM Status",
    CGM_SESSION_START_TIME: "CGM Session Start Time",
    CGM_SESSION_RUN_TIME: "CGM Session Run Time",
    CGM_SPECIFIC_OPS: "CGM Specific Ops Control Point",
}


def name(uuid: str) -> str:
    """The specification's name of a service or characteristic; the UUID itself when it is not one of ours."""
    return _NAMES.get(uuid.lower(), uuid)
