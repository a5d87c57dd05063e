"""A sensor of a scenario that plays a capture: which device of which file.

Contract: `device` reads the file that the scenario names and finds the device in it: the one that is named, or the only
one that offers the service of the sensor's kind.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge.errors import ConfigError
from edge.kinds import KINDS
from hw_sim.capture import files
from hw_sim.capture.heard import CaptureError, Device, long

_HANDLE: Final = re.compile(r"0x[0-9a-f]{1,4}", re.IGNORECASE)


def device(path: Path, kind: str, address: str | None, handles: Mapping[str, str], where: str) -> Device:
    """What plays a sensor of this kind.

    Raises:
        ConfigError: the file is no capture, or the device is not to be found in it.
    """
    try:
        capture = files.load(path, dict(_named(handles, where)))
        return capture.chosen(KINDS[kind].service, address)
    except CaptureError as fault:
        remedy = fault.remedy.replace("name one of", "name by captured_address one of")
        raise ConfigError(f"{where}: {path}", fault.cause, remedy) from fault


def _named(handles: Mapping[str, str], where: str) -> list[tuple[int, str]]:
    named = []
    for handle, uuid in handles.items():
        try:
            if _HANDLE.fullmatch(handle) is None:
                raise ValueError(f"{handle!r} is no handle")
            named.append((int(handle, 16), long(uuid)))
        except ValueError as fault:
            raise ConfigError(f"{where}: handles", str(fault), 'write it like "0x0012" = "2A37"') from fault
    return named
