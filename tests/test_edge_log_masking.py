"""No spelling of an address gets into the log, by whatever way it comes."""

import io
import logging
import re
from unittest.mock import Mock

import pytest
from bleak.backends.bluezdbus.utils import extract_service_handle_from_path
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDBusError, BleakDeviceNotFoundError, BleakError

from edge.log_masking import MASK, MaskingFormatter, mask

SPELLINGS = [
    "F0:00:00:00:00:01",
    "f0:00:00:00:00:01",
    "F0-00-00-00-00-01",
    "f0_00_00_00_00_01",
    "F00000000001",
    "f00000000001",
    "F0%3A00%3A00%3A00%3A00%3A01",
    "a4:C1:38:0a:0B:0c",
    "001122334455",
]
SURROUNDINGS = [
    "{}",
    "device {} is gone.",
    "({})",
    "/org/bluez/hci0/dev_{}/service000c/char000d",
    "edge-{}",
    "0x{}",
    "serial={},",
    "{0}, {0}",
]


@pytest.mark.parametrize("surrounding", SURROUNDINGS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_masked_wherever_it_stands(spelling: str, surrounding: str) -> None:
    assert mask(surrounding.format(spelling)) == surrounding.format(MASK)


@pytest.mark.parametrize(
    "text",
    [
        "00002a37-0000-1000-8000-00805f9b34fb",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "12:34:56 until 2026-11-27T20:59:03",
        "d2c6ab51f0e0a1b2c3d4e5f60718293a4b5c6d7e",
        "1795219200000 ms",
        "0000fd8f_0000_1000_8000_00805f9b34fb",
        "Linux 6.12.0-gd2c6ab51f0e0 on aarch64",
        "token f00000000001z",
        "a report of 4,032 records",
    ],
)
def test_what_is_no_address_stays(text: str) -> None:
    assert mask(text) == text


ADDRESS = "F0:00:00:00:00:01"
PATH = "/org/bluez/hci0/dev_F0_00_00_00_00_01"


def said_by_bleak() -> list[str]:
    """How bleak writes an address: of itself, as BlueZ names the device, and in what BlueZ tells it."""
    try:
        extract_service_handle_from_path(f"{PATH}/service")
    except BleakError as error:
        unreadable = str(error)
    return [
        str(BLEDevice(ADDRESS, "Polar H10 F0000001", {"path": PATH})),
        repr(BLEDevice(ADDRESS, "strap", {"path": PATH})),
        str(BleakDeviceNotFoundError(ADDRESS, f"Device with address {ADDRESS} was not found.")),
        str(BleakDBusError("org.bluez.Error.DoesNotExist", [f"Unknown object {PATH}/service000c/char000d"])),
        unreadable,
    ]


@pytest.mark.parametrize("text", said_by_bleak())
def test_what_bleak_says_is_masked(text: str) -> None:
    assert "F0" in text
    masked = mask(text)
    assert MASK in masked
    assert not re.search("F0[:_]00|00[:_]01", masked)


def test_what_bleak_says_of_a_characteristic_stays() -> None:
    characteristic = BleakGATTCharacteristic(
        None, 13, "00002a37-0000-1000-8000-00805f9b34fb", ["notify"], lambda: 20, Mock()
    )
    assert "00805f9b34fb" in str(characteristic)
    assert mask(str(characteristic)) == str(characteristic)


def logged(write: object) -> str:
    """What a handler at the root writes of what is logged below it."""
    root, stream = logging.Logger("root"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(MaskingFormatter("%(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    write(root)  # type: ignore[operator]
    return stream.getvalue()


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_neither_message_nor_arguments_nor_traceback_nor_stack_shows_it(spelling: str) -> None:
    def write(log: logging.Logger) -> None:
        log.warning("lost %s", spelling)
        log.warning("lost " + spelling)
        log.warning("lost %r", {"device": spelling})
        try:
            raise ValueError(f"dev_{spelling} is odd") from KeyError(spelling)
        except ValueError:
            log.exception("odd")
        log.error("here", stack_info=True)

    text = logged(write)
    assert spelling not in text
    assert text.count(MASK) >= 5
    assert "Traceback" in text
