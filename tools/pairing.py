"""`vitalgate sensor pair`: asks the running gateway to pair a sensor, and a person for the passkey.

Contract: it ends in time, whatever the gateway does. What happens meanwhile is told on standard error.
"""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from edge import config
from edge.contact import Phase
from edge.errors import ConfigError, StoreUnavailable
from edge.local import control
from edge.local.pairing import PAIR_S_MAX
from edge.local.verbs import Paired, PairingNews, Refusal
from edge.radio.pairing.security import Made
from tools import status_view

# The gateway says something new at least so often while it pairs; then it ends by itself.
SILENCE_S_MAX: Final = PAIR_S_MAX + 10.0

_WORDS: Final = {
    Phase.WAITING: "waiting a moment",
    Phase.SEARCHING: "searching for the sensor; switch it on, or use it, if it is off",
    Phase.CONNECTING: "connecting",
    Phase.SETTLING: "connected",
    Phase.STREAMING: "connected, and data come",
    Phase.CLOSING: "ending the present connection",
}


def paired(
    config_file: Path,
    sensor: str,
    passkey: str | None,
    ask: Callable[[], str | None],
    *,
    quiet: bool = False,
) -> Paired:
    """What became of it; `ask` asks a person for the passkey, and gives None if nobody is there.

    Raises:
        ConfigError: what was typed is wrong, or the gateway belongs to another user.
        StoreUnavailable: no gateway runs, or the sensor was not paired; the text says why.
    """
    checked = config.load(config_file)
    known = [one.id for one in checked.sensors]
    if sensor not in known:
        raise ConfigError("SENSOR", f"there is no sensor {sensor!r}", f"use one of: {', '.join(known)}")
    if passkey is not None and not is_passkey(passkey):
        raise ConfigError("--passkey", "not a passkey", "give the six digits on the sensor, like 012345")
    is_answered, said = False, ""
    for line in _lines(checked, config_file, {"do": "pair", "sensor": sensor, "passkey": passkey}):
        news = _read(line)
        if isinstance(news, Paired):
            return news
        words = _words(news)
        if words != said and not quiet:
            print(f"{sensor}: {words}", file=sys.stderr, flush=True)
        said = words
        if news.pairing.awaits_passkey and not is_answered:
            is_answered = True
            _answer(checked, config_file, sensor, ask())
    raise StoreUnavailable("the gateway ended before the sensor was paired; start it, and call this again")


def is_passkey(text: str) -> bool:
    return re.fullmatch("[0-9]{6}", text) is not None


def ask_person() -> str | None:
    """The passkey, from whoever sits at the terminal."""
    if not sys.stdin.isatty():
        return None
    while True:
        print("The six digits on the sensor: ", end="", file=sys.stderr, flush=True)
        typed = sys.stdin.readline()
        if not typed:
            return None
        if is_passkey(typed.strip()):
            return typed.strip()


def show(said: Paired) -> None:
    """What became of it as a person reads it."""
    how = {
        Made.BY_PASSKEY.value: "with its passkey",
        Made.JUST_WORKS.value: "without a passkey: somebody nearby could have posed as the sensor meanwhile",
    }
    print(f"{said.paired} is paired {how.get(said.made or '', 'with this machine')}")


def _lines(checked: config.Config, config_file: Path, request: dict[str, Any]) -> Iterator[bytes]:
    """What the gateway says, line by line."""
    state_dir = checked.gateway.state_dir
    try:
        yield from control.asked(state_dir, request, SILENCE_S_MAX)
    except TimeoutError as fault:
        raise StoreUnavailable(
            f"a gateway runs on {state_dir} but does not answer; ask again in a minute; if it never does, restart it"
        ) from fault
    except PermissionError as fault:
        raise status_view.closed(state_dir, config_file) from fault
    except (FileNotFoundError, ConnectionError, NotADirectoryError) as fault:
        raise StoreUnavailable(f"no gateway runs on {state_dir}; start it first") from fault


def _read(line: bytes) -> Paired | PairingNews:
    fields = msgspec.json.decode(line, type=dict[str, Any])
    if "error" in fields:
        refusal = msgspec.convert(fields, Refusal).error
        raise StoreUnavailable(f"{refusal.cause}; {refusal.remedy}")
    try:
        return msgspec.convert(fields, Paired) if "paired" in fields else msgspec.convert(fields, PairingNews)
    except msgspec.ValidationError as fault:
        raise StoreUnavailable("the gateway that runs is of another version than this command") from fault


def _words(news: PairingNews) -> str:
    pairing = news.pairing
    if pairing.awaits_passkey:
        return "the sensor asks for its passkey"
    if pairing.shown_passkey is not None:
        return f"enter {pairing.shown_passkey} on the sensor"
    if pairing.under_way:
        return "pairing"
    return _WORDS[Phase(news.phase)]


def _answer(checked: config.Config, config_file: Path, sensor: str, passkey: str | None) -> None:
    """Tell the passkey over a connection of its own; without one, the sensor is not kept waiting."""
    if passkey is None:
        raise StoreUnavailable("the sensor asks for its passkey; give it by --passkey, or at a terminal")
    for line in _lines(checked, config_file, {"do": "passkey", "sensor": sensor, "passkey": passkey}):
        _read(line)
        return
