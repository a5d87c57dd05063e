"""`vitalgate analyse`: what recordings say. Each kind of recording has a module of its own."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Analyse recordings: metrics, episodes, values per reading.")

Recording = Annotated[
    Path, typer.Argument(metavar="FILE.csv", help="CSV, or CSV.gz.", exists=True, dir_okay=False)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]


@app.command(epilog="Example: vitalgate analyse glucose cgm.csv --per-reading readings.csv --plot agp.svg")
def glucose(
    file: Recording,
    json: Json = False,
    per_reading: Annotated[
        Path | None,
        typer.Option(metavar="OUT.csv", help="What each reading said when it came, row by row."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="OUT.png|svg", help="The glucose profile of the last 14 days.")
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Where local times without offset were kept, like Europe/Berlin."),
    ] = None,
) -> None:
    """Metrics and episodes of each person, from columns time, glucose_mg_dl or glucose_mmol_l, maybe id."""
    from tools import analyse_glucose
    from tools.cli import one_line_errors, print_json

    with one_line_errors():
        people = analyse_glucose.load(file, timezone)
        documents = [analyse_glucose.document(person) for person in people]
        if per_reading is not None:
            analyse_glucose.write_readings(people, per_reading)
        if plot is not None:
            analyse_glucose.plot(people, plot)
    if json:
        print_json({"people": documents})
    else:
        analyse_glucose.show(documents)
