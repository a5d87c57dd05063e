"""`vitalgate analyse`: the gateway's own signal processing on a file."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="The gateway's signal processing on a recording of yours.")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
Window = Annotated[str, typer.Option(metavar="LENGTH", help="Length of a window: 300s, 5min, 1h.")]
PerBeat = Annotated[
    Path | None, typer.Option(metavar="CSV", help="Every beat: time, class, corrected value, AF probability.")
]
Plot = Annotated[Path | None, typer.Option(metavar="PNG|SVG", help="Draw the record.")]
Start = Annotated[str | None, typer.Option(metavar="HH:MM", help="Clock time at which the record starts.")]


@app.command(epilog="Example: vitalgate analyse rr night.csv --window 5min --json")
def rr(
    file: Annotated[Path, typer.Argument(help="CSV with a header, plain or gzip-compressed.")],
    column: Annotated[str, typer.Option(help="Column of the RR intervals in ms.")] = "rr_ms",
    window: Window = "5min",
    start: Start = None,
    per_beat: PerBeat = None,
    plot: Plot = None,
    json: Json = False,
) -> None:
    """RR intervals: cleaned, heart-rate variability by window, rhythm, pauses."""
    from tools import analyse_rr
    from tools.cli import one_line_errors

    with one_line_errors():
        analyse_rr.command(file, column, window, start, per_beat, plot, json=json)


@app.command(epilog="Example: vitalgate analyse ecg 100.hea --json; vitalgate analyse ecg h10.csv --rate 130")
def ecg(
    file: Annotated[Path, typer.Argument(help="CSV with a header, or a WFDB header (.hea).")],
    column: Annotated[str, typer.Option(help="Column of a CSV, or the signal's name in WFDB.")] = "ecg",
    rate: Annotated[
        float | None, typer.Option(min=60.0, max=1000.0, help="Samples per second of a CSV.")
    ] = None,
    window: Window = "5min",
    start: Start = None,
    per_beat: PerBeat = None,
    plot: Plot = None,
    json: Json = False,
) -> None:
    """An ECG: beats with sub-sample apex, signal quality, breathing, then all that `rr` does."""
    from tools import analyse_ecg
    from tools.cli import one_line_errors

    with one_line_errors():
        analyse_ecg.command(file, column, rate, window, start, per_beat, plot, json=json)
