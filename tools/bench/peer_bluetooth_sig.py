"""Runs inside the peer's own environment: decodes packets with `bluetooth-sig`, and times it.

Contract: reads `{"characteristic", "hex"}` lines on stdin; answers each with `{"numbers": [...]}` (every number
in what it decoded, in order), or `{"error": why}`. With `--time` an answer has `seconds`, of one packet.
Imports nothing of this project, because nothing of it is installed there.
"""

import json
import logging
import resource
import signal
import sys
import timeit
from collections.abc import Iterator
from enum import Enum
from functools import partial
from typing import Any

LIMIT_S = 2  # of processor time: a busy machine is no fault of the peer's
MEMORY_OCTETS = 2 << 30


class EndlessError(Exception):
    """The peer did not come back."""


def numbers(value: Any) -> Iterator[float]:
    """All numbers in a decoded value."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, list | tuple | set | bytes | bytearray):
        for item in value:
            yield from numbers(item)
    elif hasattr(value, "__struct_fields__"):
        for name in value.__struct_fields__:
            yield from numbers(getattr(value, name))


def on_alarm(*_: object) -> None:
    raise EndlessError(f"no end within {LIMIT_S} s")


def main() -> None:
    from bluetooth_sig.gatt.characteristics.registry import CharacteristicRegistry
    from bluetooth_sig.gatt.exceptions import BluetoothSIGError

    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_OCTETS, MEMORY_OCTETS))
    signal.signal(signal.SIGVTALRM, on_alarm)
    for line in sys.stdin:
        request = json.loads(line)
        payload = bytes.fromhex(request["hex"])
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
        try:
            peer = CharacteristicRegistry.get_characteristic_class_by_uuid(request["characteristic"])()
            answer: dict[str, Any] = {"numbers": [n for n in numbers(peer.parse_value(payload)) if n == n]}
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            if "--time" in sys.argv:
                timer = timeit.Timer(partial(peer.parse_value, payload))
                answer["seconds"] = min(timer.repeat(7, 500)) / 500
        except (BluetoothSIGError, EndlessError, MemoryError, ValueError, TypeError, LookupError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:120]}
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
