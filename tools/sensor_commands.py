"""`vitalgate sensor`: its commands and their arguments. What they do is in modules imported when one is typed."""

from typing import Annotated

import typer

from tools import terminal
from tools.terminal import ConfigFile, Json

app = terminal.Commands(help="Sensors: pair one with this machine, or have one calibrate itself.")


@app.command(epilog="Example: vitalgate sensor pair cgm --passkey 012345 --config gateway.toml")
def pair(
    sensor: Annotated[str, typer.Argument(metavar="SENSOR", help="Its name in the configuration.")],
    config: ConfigFile,
    passkey: Annotated[
        str | None,
        typer.Option(
            metavar="DIGITS",
            help="The six digits on the sensor. If left out: that of the configuration, or you are asked.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Pair a sensor with this machine, now. Open the sensor's pairing window first, if it has one.

    A bond that there is already is deleted when the sensor is found, and made anew.
    """
    from tools import pairing
    from tools.terminal import one_line_errors, print_json

    with one_line_errors():
        said = pairing.paired(config, sensor, passkey, pairing.ask_person, quiet=json)
    print_json(said) if json else pairing.show(said)


@app.command(epilog='Example: vitalgate sensor calibrate cgm "112 mg/dL" --config gateway.toml')
def calibrate(
    sensor: Annotated[str, typer.Argument(metavar="SENSOR", help="Its name in the configuration.")],
    value: Annotated[
        str,
        typer.Argument(metavar="VALUE", help='What you have just measured in blood: "112 mg/dL", or 112.'),
    ],
    config: ConfigFile,
    unit: Annotated[
        str | None, typer.Option(metavar="mg/dL|mmol/L", help="The unit of a VALUE that is a bare number.")
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the log.")] = "calibrated by hand",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    json: Json = False,
) -> None:
    """Have a glucose sensor calibrate itself. The sensor keeps the value: that cannot be undone.

    Measure with clean, dry hands while glucose is calm, and type the value within 3 minutes.
    """
    from tools import calibrate as calibrating
    from tools.terminal import fail, one_line_errors, print_json

    with one_line_errors():
        wanted = calibrating.wanted(config, sensor, value, unit, reason)
        if not (yes or calibrating.is_confirmed(wanted)):
            fail("sensor calibrate: not confirmed, and nothing was done; --yes confirms", 2)
        said = calibrating.calibrated(config, wanted)
    print_json(said) if json else calibrating.show(said)
    if said.result not in calibrating.TAKEN:
        raise typer.Exit(1)
