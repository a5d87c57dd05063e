"""`vitalgate analyse`: what recordings say. Each kind of recording has a module of its own."""

from pathlib import Path
from typing import Annotated

import typer

from tools import terminal
from tools.terminal import Json

app = terminal.Commands(help="The gateway's signal processing on a recording of yours.")

CsvFile = Annotated[
    Path | None, typer.Argument(metavar="FILE.csv", help="CSV with a header, plain or gzip-compressed.")
]
KeptIn = Annotated[
    Path | None,
    typer.Option("--store", metavar="DIR", help="Instead of a file: what a gateway has kept, its state_dir."),
]
KeyFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The store's key, if it lies elsewhere: store.key_file.")
]
LIMITS = "Alerts: low below 70, very_low below 54, high above 250 mg/dL; low_ahead and high_ahead before 70 and 250."
Window = Annotated[str, typer.Option(metavar="LENGTH", help="Length of a window: 300s, 5min, 1h.")]
PerBeat = Annotated[
    Path | None, typer.Option(metavar="CSV", help="Every beat: time, class, corrected value, AF probability.")
]
Plot = Annotated[Path | None, typer.Option(metavar="PNG|SVG", help="Draw the record.")]
Start = Annotated[str | None, typer.Option(metavar="HH:MM", help="Clock time at which the record starts.")]


@app.command(
    epilog="Example: vitalgate analyse glucose cgm.csv --per-reading readings.csv --plot agp.svg; "
    "vitalgate analyse glucose --store /var/lib/vitalgate --json"
)
def glucose(
    file: CsvFile = None,
    store: KeptIn = None,
    key_file: KeyFile = None,
    json: Json = False,
    per_reading: Annotated[
        Path | None,
        typer.Option(metavar="OUT.csv", help=f"What each reading said when it came, row by row. {LIMITS}"),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="OUT.png|svg", help="The glucose profile of the last 14 days.")
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Where local times without offset were kept, like Europe/Berlin."),
    ] = None,
) -> None:
    """Metrics and episodes of each person, from columns time, glucose_mg_dl or glucose_mmol_l, maybe id.

    Rows that cannot be used are left out and counted.
    """
    from tools.analyse import glucose as analyse_glucose
    from tools.analyse.recording_files import chosen
    from tools.terminal import one_line_errors

    with one_line_errors():
        kept_in = chosen(file, store, key_file)
        analyse_glucose.command(file, kept_in, timezone, per_reading, plot, json=json)


@app.command(
    epilog="Example: vitalgate analyse rr night.csv --window 5min --json; "
    "vitalgate analyse rr --store /var/lib/vitalgate"
)
def rr(
    file: CsvFile = None,
    store: KeptIn = None,
    key_file: KeyFile = None,
    column: Annotated[str, typer.Option(help="Column of the RR intervals in ms.")] = "rr_ms",
    window: Window = "5min",
    start: Start = None,
    raw: Annotated[bool, typer.Option("--raw", help="No cleaning: every interval counts as normal.")] = False,
    per_beat: PerBeat = None,
    plot: Plot = None,
    json: Json = False,
) -> None:
    """RR intervals: cleaned, heart-rate variability by window, rhythm, pauses.

    A column record, subject or id makes several records.

    An empty cell is a gap, unless a column time makes the rows moments at which nothing may have been sent.
    """
    from tools.analyse import rr as analyse_rr
    from tools.analyse.recording_files import chosen
    from tools.terminal import one_line_errors

    with one_line_errors():
        kept_in = chosen(file, store, key_file)
        analyse_rr.command(file, kept_in, column, window, start, per_beat, plot, raw=raw, json=json)


@app.command(epilog="Example: vitalgate analyse ecg 100.hea --json; vitalgate analyse ecg h10.csv --rate 130")
def ecg(
    file: Annotated[
        Path, typer.Argument(help="CSV with a header, or a WFDB record: its name, its .hea or its .dat.")
    ],
    column: Annotated[str, typer.Option(help="Column of a CSV, or the signal's name in WFDB.")] = "ecg",
    rate: Annotated[
        float | None, typer.Option(min=60.0, max=2000.0, help="Samples per second of a CSV.")
    ] = None,
    window: Window = "5min",
    start: Start = None,
    per_beat: PerBeat = None,
    plot: Plot = None,
    json: Json = False,
) -> None:
    """An ECG: beats with sub-sample apex, signal quality, breathing, then all that `rr` does."""
    from tools.analyse import ecg as analyse_ecg
    from tools.terminal import one_line_errors

    with one_line_errors():
        analyse_ecg.command(file, column, rate, window, start, per_beat, plot, json=json)
