"""`vitalgate capture`: its commands and their arguments. What they do is imported when one is typed."""

from pathlib import Path
from typing import Annotated

import typer

from tools import terminal
from tools.terminal import ConfigFile, Json, fail, length_s, one_line_errors, print_json

LONGEST_H = 24 * 365.0

app = terminal.Commands(help="Captures of sensors: record what a gateway hears, show what a file holds.")

Outs = Annotated[
    list[Path],
    typer.Option(
        "--out", metavar="FILE", help="What is written: lines of JSON, or btsnoop if so called; repeatable."
    ),
]
Identified = Annotated[
    bool, typer.Option("--identified", help="Leave addresses, names and serial numbers as they are.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file", metavar="FILE", help="Replace them by the same ones each time; made if it is not there."
    ),
]
CaptureFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="Ours, btsnoop, or an Android bug report.", readable=False)
]
Handles = Annotated[
    list[str] | None,
    typer.Option("--handle", metavar="HANDLE=UUID", help="What a handle is that the file does not discover."),
]


@app.command(epilog="Example: vitalgate capture record --config gateway.toml --for 10min --out strap.jsonl")
def record(
    config: ConfigFile,
    out: Outs,
    length: Annotated[
        str | None,
        typer.Option("--for", metavar="LENGTH", help="How long: 90s, 10min, 2h; else until Ctrl-C."),
    ] = None,
    identified: Identified = False,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Record what a running gateway hears of its sensors. Whose it is, is replaced by pseudonyms."""
    with one_line_errors():
        from tools.capture import recording, writing

        for_s = None if length is None else length_s("--for", length, LONGEST_H)
        replaced = writing.pseudonyms(key_file, identified=identified)
        outcome = recording.record(config, out, for_s, replaced)
    if json:
        print_json({"events": outcome.events, "by_sensor": outcome.by_sensor, "missed": outcome.missed})
    else:
        for sensor, events in outcome.by_sensor.items():
            print(f"{sensor}: {events} events")
        print(f"{outcome.events} events recorded" + (f", {outcome.missed} missed" if outcome.missed else ""))
    if not outcome.events:
        fail("nothing was heard; `vitalgate status` says how the sensors are", 1)


@app.command(epilog="Example: vitalgate capture show bugreport.zip")
def show(
    file: CaptureFile,
    handle: Handles = None,
    everything: Annotated[bool, typer.Option("--all", help="Devices that only advertised, too.")] = False,
    json: Json = False,
) -> None:
    """Say which devices a capture holds, and what they told."""
    with one_line_errors():
        from tools.capture import showing

        capture = showing.read(file, showing.handles(handle or []))
    if json:
        print_json(showing.document(capture))
    else:
        print("\n".join(showing.sentences(capture, everything=everything)))


@app.command(epilog="Example: vitalgate capture convert bugreport.zip --out strap.jsonl")
def convert(
    file: CaptureFile,
    out: Outs,
    device: Annotated[
        list[str] | None,
        typer.Option("--device", metavar="ADDRESS", help="Only this one; else all that were connected."),
    ] = None,
    handle: Handles = None,
    identified: Identified = False,
    key_file: KeyFile = None,
) -> None:
    """Make a capture anew, without what tells whose it is."""
    with one_line_errors():
        from tools.capture import showing, writing

        capture = showing.read(file, showing.handles(handle or []))
        replaced = writing.pseudonyms(key_file, identified=identified)
        events = showing.convert(capture, out, device or [], replaced)
    print(f"{events} events written")
