"""`vitalgate status --watch`: the live view of one gateway, for as long as somebody looks.

Contract: the gateway is asked anew for each picture, so the view goes on over its restarts and shows what its store
holds while it does not run. On a terminal the picture stays in its place; elsewhere, and with `--plain`, only what has
changed is written, a sentence a line.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live

from edge.clock import NS_PER_S, SystemClock
from edge.errors import StoreUnavailable
from edge.local.status import StatusDocument
from tools.live_view import Sentence, Trail, news, screen, sentences
from tools.status_view import document

EVERY_S: Final = 2.0


def watch(config_file: Path, *, plain: bool, console: Console | None = None) -> None:
    """Show the gateway until interrupted.

    Raises:
        ConfigError, StoreCorrupt: as `status_view.document`; a gateway that does not answer for a while is waited for.
    """
    console = console or Console()

    def ask() -> StatusDocument | str:
        try:
            return document(config_file)
        except StoreUnavailable as trouble:
            return str(trouble)

    with suppress(KeyboardInterrupt):
        if plain or not console.is_terminal:
            _speak(ask, console)
        else:
            _draw(ask, console)


def _draw(ask: Callable[[], StatusDocument | str], console: Console) -> None:
    trail, clock = Trail(), SystemClock()
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            said = ask()
            if isinstance(said, str):
                live.update(said, refresh=True)
            else:
                for sensor in said.sensors:
                    trail.add(clock.boot_ns() / NS_PER_S, sensor)
                shown = datetime.fromtimestamp(clock.utc_ns() // NS_PER_S).strftime("%H:%M:%S")  # noqa: DTZ006
                picture = screen(said, trail, clock=shown, width=console.width, height=console.height)
                live.update(picture, refresh=True)
            time.sleep(EVERY_S)


def _speak(ask: Callable[[], StatusDocument | str], console: Console) -> None:
    before: list[Sentence] = []
    while True:
        said = ask()
        now = [Sentence(said, said)] if isinstance(said, str) else sentences(said)
        for text in news(before, now):
            console.print(text, highlight=False, markup=False, soft_wrap=True)
        before = now
        time.sleep(EVERY_S)
