"""The `vitalgate` command: what people type. Everything heavy is imported only by the command that needs it."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge.errors import ConfigError, one_line
from tools import alert_commands, sensor_commands, terminal
from tools.analyse import command as analyse
from tools.capture import command as capture
from tools.rig.home.extra import endpoint, simulation_extra
from tools.rig.run import commands as rig_commands
from tools.terminal import ConfigFile, Json, fail, one_line_errors, print_json

app = terminal.Commands(
    name="vitalgate",
    rich_markup_mode="rich",
    help="Home gateway for heart-rate straps, glucose sensors and other health devices with Bluetooth LE.",
    epilog="Exit codes: 0 done, 1 failed, 2 something to mend in the call or the configuration.",
)

app.add_typer(analyse.app, name="analyse")
app.add_typer(alert_commands.app, name="alert")
app.add_typer(capture.app, name="capture")
app.add_typer(sensor_commands.app, name="sensor")
app.add_typer(rig_commands.app, name="rig")


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        print(f"vitalgate {version('vitalgate')}")
        raise typer.Exit


@app.callback()
def _all_commands(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


Seed = Annotated[int, typer.Option(help="Of everything random: the same seed gives the same run.")]
Heart = Annotated[
    Path | None,
    typer.Option(
        "--heart", metavar="CSV", help="RR intervals the strap wears (column rr_ms).", readable=False
    ),
]
Glucose = Annotated[
    Path | None,
    typer.Option(
        "--glucose",
        metavar="CSV",
        help="Readings of the CGM (columns time, and glucose_mg_dl or glucose_mmol_l).",
        readable=False,
    ),
]
Bodies = Annotated[bool, typer.Option("--bodies", help="Simulated bodies instead of recordings.")]
Listen = Annotated[
    str, typer.Option(metavar="HOST:PORT", help="Where gateways reach it; port 0 picks a free one.")
]


@app.command(epilog="Example: vitalgate run --config /etc/vitalgate/gateway.toml")
def run(
    config: ConfigFile,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Simulated sensors in this process instead of the radio.")
    ] = False,
    world: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Simulated sensors of a running `vitalgate simulate`."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Run the gateway in real time until Ctrl-C or SIGTERM."""
    module, arguments = "edge", ["--config", str(config)]
    if simulate or world is not None:
        module = "tools.rig.home.simulated_gateway"
        arguments += ["--seed", str(seed)]
    if world is not None:
        with one_line_errors():
            endpoint("--world", world)
        arguments += ["--world", world]
    # What this command is made of would stay in the memory of a process that runs for years.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])  # noqa: S606 - no shell is wanted


@app.command(
    epilog="Example: vitalgate simulate --config gateway.toml --listen 127.0.0.1:6402 --history-hours 24"
)
def simulate(
    config: ConfigFile,
    listen: Listen = "127.0.0.1:6402",
    history_hours: Annotated[
        float,
        typer.Option(min=0.0, max=1000.0, help="How long the CGM has been worn, and storing, already."),
    ] = 0.0,
    glucose_pace: Annotated[
        float, typer.Option(min=0.1, max=60.0, help="Play glucose this many times as fast; 5 = each minute.")
    ] = 1.0,
    seed: Seed = 0,
    heart: Heart = None,
    glucose: Glucose = None,
    bodies: Bodies = False,
) -> None:
    """Run the sensors that a configuration names, simulated, as a process of their own.

    A gateway reaches them with `vitalgate run --world HOST:PORT`. They outlive it.
    """
    import asyncio

    with one_line_errors():
        simulation = simulation_extra()
        from tools.rig.home.recordings import DemoRecordings

        host, port = endpoint("--listen", listen)
        worn = DemoRecordings.chosen(heart, glucose, bodies=bodies, pace=glucose_pace)
        asyncio.run(
            simulation.serve_world(
                config,
                worn,
                host,
                port,
                seed=seed,
                history_s=history_hours * 3600.0,
                glucose_pace=glucose_pace,
            )
        )


@app.command(epilog="Example: vitalgate demo --hours 24 --out demo")
def demo(
    hours: Annotated[
        float, typer.Option(min=0.1, max=24 * 60, help="Simulated hours, from midnight.")
    ] = 24.0,
    speed: Annotated[
        float, typer.Option(min=0.0, max=1e6, help="Times real time; 0 = as fast as it goes.")
    ] = 0.0,
    seed: Seed = 1,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where everything goes; a new directory if left out.")
    ] = None,
    drops_per_hour: Annotated[
        float, typer.Option(min=0.0, max=3600.0, help="How often a sensor goes out of reach.")
    ] = 0.0,
    heart: Heart = None,
    glucose: Glucose = None,
    bodies: Bodies = False,
    json: Json = False,
) -> None:
    """A simulated home: a strap and a CGM, the whole gateway, bundles in a directory; ends by itself."""
    with one_line_errors():
        simulation_extra()
        from tools.rig.demo import day, view
        from tools.rig.home.recordings import DemoRecordings

        worn = DemoRecordings.chosen(heart, glucose, bodies=bodies)
        options = day.Options(hours, speed, seed, out, drops_per_hour, worn)
        result = view.watched(options, quiet=json)
    if json:
        print_json(result.document())
    else:
        view.report(result)


@app.command(epilog="Example: vitalgate status --config gateway.toml --watch")
def status(
    config: ConfigFile,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until interrupted: a live view.")] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="For screen readers: sentences; with --watch, those that changed.")
    ] = False,
    json: Json = False,
) -> None:
    """What a gateway is doing; of a stopped one, what its store holds."""
    from tools import live_view, status_view, watching

    with one_line_errors():
        if watch and json:
            raise ConfigError("--json", "a live view is no document", "leave out --watch or --json")
        if watch:
            watching.watch(config, plain=plain)
            return
        document = status_view.document(config)
    if json:
        print_json(document)
    elif plain:
        for sentence in live_view.sentences(document):
            print(sentence.text)
    else:
        status_view.show(document)


@app.command(epilog="Example: vitalgate reprocess --config /etc/vitalgate/gateway.toml")
def reprocess(config: ConfigFile, json: Json = False) -> None:
    """Compute the history anew with this version's code, while the gateway is stopped; amended summaries are sent.

    It can be interrupted and goes on when it is called again; called twice it changes nothing.
    """
    with one_line_errors():
        from tools import reprocess as reprocessing

        reprocessing.command(config, json=json)


@app.command(epilog="Example: vitalgate decode 2A37 1e5532002100")
def decode(
    characteristic: Annotated[
        str | None, typer.Argument(metavar="UUID", help="16 bits or all of it; SFLOAT, FLOAT, PMD-DATA too.")
    ] = None,
    hexadecimal: Annotated[
        list[str] | None, typer.Argument(metavar="HEX...", help="The packet; spaces do not matter.")
    ] = None,
    crc: Annotated[
        str,
        typer.Option(
            metavar="auto|none|mcrf4xx|ccitt-false",
            help="The CGM sensor's checksum, if no line says another.",
        ),
    ] = "auto",
    json: Json = False,
    jsonl: Annotated[
        bool,
        typer.Option("--jsonl", help='Read {"characteristic", "hex", "args"} lines on stdin, answer each.'),
    ] = False,
) -> None:
    """Say what a packet means, field by field."""
    from tools.decode import answers as decoding

    if not decoding.is_checksum(crc):
        fail(f"--crc {crc}: is none of auto, none, mcrf4xx, ccitt-false", 2)
    if jsonl:
        wrong = False
        for answer in decoding.answers(sys.stdin.buffer, crc):
            print(decoding.in_json(answer), flush=True)
            wrong = wrong or "error" in answer
        raise typer.Exit(1 if wrong else 0)
    if characteristic is None or not hexadecimal:
        fail("decode needs a UUID and a packet in hexadecimal, or --jsonl", 2)
    document = decoding.answer(characteristic, " ".join(hexadecimal), {"crc": crc})
    if json:
        print(decoding.in_json(document, indent=1))
    elif "error" in document:
        fail(one_line(f"{document['characteristic']}: {document['error']}"), 1)
    else:
        decoding.show(document)
    if "error" in document:
        raise typer.Exit(1)


def main() -> None:
    """The command `vitalgate`."""
    terminal.main(app, "vitalgate")
