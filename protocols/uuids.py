"""Services and characteristics spoken here, as the 128-bit lower-case strings bleak uses.

Contract: constants and their names only; what a characteristic's bytes mean is in the module of its service.
Source: Bluetooth SIG Assigned Numbers.
"""

_BASE = "0000{:04x}-0000-1000-8000-00805f9b34fb"
_POLAR = "fb005c{:02x}-02e7-f387-1cad-8acd2d8df0c8"

HEART_RATE_SERVICE = _BASE.format(0x180D)
BATTERY_SERVICE = _BASE.format(0x180F)
DEVICE_INFORMATION_SERVICE = _BASE.format(0x180A)
CGM_SERVICE = _BASE.format(0x181F)
AUTHORIZATION_CONTROL_SERVICE = _BASE.format(0x183D)
CURRENT_TIME_SERVICE = _BASE.format(0x1805)
GLUCOSE_SERVICE = _BASE.format(0x1808)
HEALTH_THERMOMETER_SERVICE = _BASE.format(0x1809)
BLOOD_PRESSURE_SERVICE = _BASE.format(0x1810)
BODY_COMPOSITION_SERVICE = _BASE.format(0x181B)
USER_DATA_SERVICE = _BASE.format(0x181C)
WEIGHT_SCALE_SERVICE = _BASE.format(0x181D)
PULSE_OXIMETER_SERVICE = _BASE.format(0x1822)

DATE_TIME = _BASE.format(0x2A08)
GLUCOSE_MEASUREMENT = _BASE.format(0x2A18)
BATTERY_LEVEL = _BASE.format(0x2A19)
TEMPERATURE_MEASUREMENT = _BASE.format(0x2A1C)
MODEL_NUMBER = _BASE.format(0x2A24)
SERIAL_NUMBER = _BASE.format(0x2A25)
FIRMWARE_REVISION = _BASE.format(0x2A26)
MANUFACTURER_NAME = _BASE.format(0x2A29)
CURRENT_TIME = _BASE.format(0x2A2B)
GLUCOSE_CONTEXT = _BASE.format(0x2A34)
BLOOD_PRESSURE_MEASUREMENT = _BASE.format(0x2A35)
HEART_RATE_MEASUREMENT = _BASE.format(0x2A37)
BODY_SENSOR_LOCATION = _BASE.format(0x2A38)
RACP = _BASE.format(0x2A52)
PLX_SPOT_CHECK = _BASE.format(0x2A5E)
PLX_CONTINUOUS = _BASE.format(0x2A5F)
BODY_COMPOSITION_MEASUREMENT = _BASE.format(0x2A9C)
WEIGHT_MEASUREMENT = _BASE.format(0x2A9D)
USER_CONTROL_POINT = _BASE.format(0x2A9F)
CGM_MEASUREMENT = _BASE.format(0x2AA7)
CGM_FEATURE = _BASE.format(0x2AA8)
CGM_STATUS = _BASE.format(0x2AA9)
CGM_SESSION_START_TIME = _BASE.format(0x2AAA)
CGM_SESSION_RUN_TIME = _BASE.format(0x2AAB)
CGM_SPECIFIC_OPS = _BASE.format(0x2AAC)
MICROTECH_DATA = _BASE.format(0xF001)
PMD_SERVICE = _POLAR.format(0x80)
PMD_CONTROL_POINT = _POLAR.format(0x81)
PMD_DATA = _POLAR.format(0x82)

_ASSIGNED = {
    0x1805: "Current Time",
    0x1808: "Glucose",
    0x1809: "Health Thermometer",
    0x180A: "Device Information",
    0x180D: "Heart Rate",
    0x180F: "Battery",
    0x1810: "Blood Pressure",
    0x181B: "Body Composition",
    0x181C: "User Data",
    0x181D: "Weight Scale",
    0x181F: "Continuous Glucose Monitoring",
    0x1822: "Pulse Oximeter",
    0x183D: "Authorization Control",
    0x183F: "Elapsed Time",
    0x1840: "Generic Health Sensor",
    0x2A08: "Date Time",
    0x2A18: "Glucose Measurement",
    0x2A19: "Battery Level",
    0x2A1C: "Temperature Measurement",
    0x2A1D: "Temperature Type",
    0x2A1E: "Intermediate Temperature",
    0x2A23: "System ID",
    0x2A24: "Model Number String",
    0x2A25: "Serial Number String",
    0x2A26: "Firmware Revision String",
    0x2A27: "Hardware Revision String",
    0x2A28: "Software Revision String",
    0x2A29: "Manufacturer Name String",
    0x2A2A: "IEEE 11073-20601 Regulatory Cert. Data List",
    0x2A2B: "Current Time",
    0x2A34: "Glucose Measurement Context",
    0x2A35: "Blood Pressure Measurement",
    0x2A36: "Intermediate Cuff Pressure",
    0x2A37: "Heart Rate Measurement",
    0x2A38: "Body Sensor Location",
    0x2A39: "Heart Rate Control Point",
    0x2A49: "Blood Pressure Feature",
    0x2A50: "PnP ID",
    0x2A51: "Glucose Feature",
    0x2A52: "Record Access Control Point",
    0x2A5E: "PLX Spot-Check Measurement",
    0x2A5F: "PLX Continuous Measurement",
    0x2A60: "PLX Features",
    0x2A9B: "Body Composition Feature",
    0x2A9C: "Body Composition Measurement",
    0x2A9D: "Weight Measurement",
    0x2A9F: "User Control Point",
    0x2AA7: "CGM Measurement",
    0x2AA8: "CGM Feature",
    0x2AA9: "CGM Status",
    0x2AAA: "CGM Session Start Time",
    0x2AAB: "CGM Session Run Time",
    0x2AAC: "CGM Specific Ops Control Point",
    0x2B8B: "Live Health Observations",
    0x2BDD: "Stored Health Observations",
    0x2BF1: "Observation Schedule Changed",
    0x2BF2: "Current Elapsed Time",
    0x2BF3: "Health Sensor Features",
    0x2BF4: "GHS Control Point",
}
_NAMES = {_BASE.format(number): assigned for number, assigned in _ASSIGNED.items()} | {
    PMD_SERVICE: "Polar Measurement Data",
    PMD_CONTROL_POINT: "PMD Control Point",
    PMD_DATA: "PMD Data",
}


def name(uuid: str) -> str:
    """The specification's name of a service or characteristic; the UUID itself when it is not one of ours."""
    return _NAMES.get(uuid.lower(), uuid)
