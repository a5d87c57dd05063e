"""Says what a capture holds, and makes a pseudonymous one of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.errors import ConfigError
from hw_sim.capture import files
from hw_sim.capture.heard import Capture, CaptureError, Device, long, short
from protocols import uuids
from tools.capture.pseudonyms import Pseudonyms
from tools.capture.writing import Writer, opened


def read(path: Path, named: Mapping[int, str] = {}) -> Capture:
    """A file. Raises ConfigError if it is no capture."""
    try:
        return files.load(path, named)
    except CaptureError as fault:
        raise ConfigError(str(path), fault.cause, fault.remedy) from fault


def handles(said: list[str]) -> dict[int, str]:
    """What handles are, said as "0x0012=2A37".

    Raises:
        ConfigError: it is said otherwise.
    """
    named = {}
    for one in said:
        handle, _, uuid = one.partition("=")
        try:
            named[int(handle, 0)] = long(uuid)
        except ValueError as fault:
            raise ConfigError(
                "--handle", f"{one!r} is no handle with a UUID", "write it like 0x0012=2A37"
            ) from fault
    return named


def document(capture: Capture) -> dict[str, Any]:
    """What a capture holds, for programs."""
    return {
        "pseudonymous": capture.is_pseudonymous,
        "devices": [_device(one) for one in capture.devices.values() if one.events],
    }


def _device(device: Device) -> dict[str, Any]:
    return {
        "address": device.address,
        "name": device.name,
        "begin_utc_s": device.begin_s,
        "lasts_s": round(device.events[-1].at_s - device.begin_s, 3),
        "events": len(device.events),
        "services": [short(one.uuid) for one in device.services],
        "advertises": sorted(short(uuid) for uuid in device.advertised),
        "notified": {
            name if name.startswith("0x") else short(name): n for name, n in device.notified().items()
        },
    }


def sentences(capture: Capture, *, everything: bool) -> list[str]:
    """What a capture holds, for people: devices that were connected, or all that were heard."""
    shown = [one for one in capture.devices.values() if one.events]
    talking = [one for one in shown if one.notified() or one.services]
    chosen = shown if everything else talking
    lines = [line for one in chosen for line in _lines(one)]
    if len(chosen) < len(shown):
        lines.append(f"{len(shown) - len(chosen)} others only advertised; --all shows them")
    return lines or ["nothing was heard"]


def _lines(device: Device) -> list[str]:
    said = _device(device)
    name = f" {device.name!r}" if device.name else ""
    lines = [f"{device.address}{name}: {said['events']} events in {said['lasts_s']:g} s"]
    if device.services:
        lines.append("  services: " + ", ".join(_named(one.uuid) for one in device.services))
    for uuid, times in device.notified().most_common():
        unknown = uuid.startswith("0x")
        what = (
            f"handle {uuid}, not discovered here; say what it is: --handle {uuid}=UUID"
            if unknown
            else _named(uuid)
        )
        lines.append(f"  {times} notifications of {what}")
    return lines


def _named(uuid: str) -> str:
    name = uuids.name(uuid)
    return short(uuid) if name == uuid else f"{short(uuid)} {name}"


def convert(capture: Capture, outs: list[Path], addresses: list[str], replaced: Pseudonyms | None) -> int:
    """Write a capture anew: of these devices, or of those that were connected; how many events.

    Raises:
        ConfigError: a device is not in it, nobody was connected, or a file is there already.
    """
    heard = {one.address: one for one in capture.devices.values() if one.events}
    for address in addresses:
        if address.upper() not in heard:
            known = ", ".join(sorted(heard)[:8]) or "none"
            raise ConfigError("--device", f"nothing was heard of {address}", f"name one of: {known}")
    wanted = {address.upper() for address in addresses}
    chosen = [
        one
        for one in heard.values()
        if one.address in wanted or (not wanted and (one.notified() or one.services))
    ]
    events = sorted(
        ((event.at_s, n, event) for n, one in enumerate(chosen) for event in one.events), key=lambda e: e[0]
    )
    if not events:
        raise ConfigError(
            "--device", "no device was connected", "name those that are meant; `capture show --all` lists all"
        )
    with opened(outs) as made:
        writer = Writer(made, events[0][0], replaced)
        for _, n, event in events:
            writer.write(chosen[n], event)
    return len(events)
