"""`vitalgate rig`: its commands and their arguments. What they do is in modules imported when one is typed."""

from pathlib import Path
from typing import Annotated

import typer

from tools import terminal
from tools.terminal import Json

app = terminal.Commands(
    help="Scenarios: homes in which something goes wrong, played with a whole gateway.",
    epilog="Exit codes: 0 all passed, 1 something failed, 2 something to mend in the call or a scenario.",
)

Files = Annotated[
    list[str], typer.Argument(metavar="FILES...", help="Scenario files, as in tests/scenarios.")
]


@app.command(epilog="Example: vitalgate rig run tests/scenarios/killed.toml --repeat 5 --artefacts build/rig")
def run(
    files: Files,
    setting: Annotated[
        str,
        typer.Option(
            metavar="virtual|bluez|air",
            help="In virtual time, on real BlueZ, or by dongles.",
        ),
    ] = "virtual",
    repeat: Annotated[
        int,
        typer.Option(
            min=1, max=100_000, metavar="N", help="Play each N times, with one seed after the other."
        ),
    ] = 1,
    seed: Annotated[
        int | None, typer.Option(metavar="S", help="The first seed, if it is not to be that of the file.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the verdicts as JUnit XML.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page: what is true beside what was told.")
    ] = None,
    artefacts: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep log, store, radio, truth and replay.sh of each play."),
    ] = None,
    bluetoothd: Annotated[
        str, typer.Option(metavar="VERSION", help="For bluez: Debian 12's 5.66, or Debian 13's 5.82.")
    ] = "5.82",
    bench: Annotated[
        Path | None, typer.Option(metavar="FILE", help="For air: what dongles and gateways there are.")
    ] = None,
    gateway: Annotated[
        str | None, typer.Option(metavar="NAME", help="For air: which gateway is tried.")
    ] = None,
    json: Json = False,
) -> None:
    """Play scenarios, and say of each whether it passed, or whose fault it is.

    A verdict is `passed`, `product`, `bench`, `scenario` or `infrastructure`.
    """
    from tools.rig.home.extra import simulation_extra
    from tools.terminal import one_line_errors

    with one_line_errors():
        simulation_extra()
        from tools.rig.run import session
        from tools.rig.run.settings import Options

        options = Options(bluetoothd, bench, gateway, records_air=artefacts is not None)
        call = session.Call(files, setting, options, repeat, seed, junit, html, artefacts)
        code = session.play(call, as_json=json)
    raise typer.Exit(code)


@app.command("list", epilog="Example: vitalgate rig list tests/scenarios")
def show(
    places: Annotated[
        list[Path],
        typer.Argument(metavar="DIRECTORIES...", help="Where scenario files lie, in them or below."),
    ],
    json: Json = False,
) -> None:
    """List scenarios: what each shows, how long it lasts, and what goes wrong in it."""
    from tools.rig.run import listing
    from tools.terminal import one_line_errors, print_json

    with one_line_errors():
        rows = listing.rows(places)
    if json:
        print_json(rows)
    else:
        listing.show(rows)


@app.command(epilog="Example: vitalgate rig check my.toml")
def check(files: Files) -> None:
    """Check scenario files without playing them: say the first that is wrong with each."""
    from tools.rig.run import listing
    from tools.terminal import fail

    if wrong := listing.wrong(files):
        fail("\nvitalgate: ".join(wrong), 2)
    print(f"{len(files)} of {len(files)} can be played")


@app.command(epilog="Example: vitalgate rig schema > scenario.schema.json")
def schema() -> None:
    """Print what a scenario file may say, as JSON Schema: editors complete and check by it."""
    from tools.rig.language import published
    from tools.terminal import print_json

    print_json(published.schema())


@app.command(
    epilog="Example: vitalgate rig explore --seeds 0..499 --jobs 2 --resume build/explore/done.jsonl"
)
def explore(
    seeds: Annotated[str, typer.Option(metavar="A..B", help="Which seeds.")] = "0..19",
    hours: Annotated[
        float | None, typer.Option(metavar="N", min=0, help="From seed A on, for so long, whatever B is.")
    ] = None,
    days: Annotated[int, typer.Option(metavar="N", min=1, max=60, help="How long each home is played.")] = 2,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="So many at a time.")] = 1,
    resume: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Notes what was played, and goes on from there.")
    ] = None,
    failures: Annotated[
        Path, typer.Option(metavar="DIR", help="Where homes that fail are written, made small.")
    ] = Path("build/explore"),
    stop: Annotated[bool, typer.Option("--stop", help="End at the first that fails.")] = False,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Play this scenario instead, and look at what is looked at in a drawn home."
        ),
    ] = None,
) -> None:
    """Play whole gateways in homes that are drawn from seeds, with all that goes wrong; make small what fails."""
    from tools.rig.home.extra import simulation_extra
    from tools.terminal import one_line_errors

    with one_line_errors():
        simulation_extra()
        from tools.rig.explore import campaign

        if file is not None:
            raise typer.Exit(campaign.play_file(file))
        first, last = campaign.named(seeds)
        until = None if hours is not None else last
        call = campaign.Call(first, until, hours, days, jobs, resume, failures, stop)
        code = campaign.explore(call)
    raise typer.Exit(code)
