"""The `vitalgate` command: what people type. Everything heavy is imported only by the command that needs it."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.errors import ConfigError, one_line
from tools import terminal
from tools.analyse import command as analyse
from tools.terminal import fail, one_line_errors, print_json

app = terminal.Commands(
    name="vitalgate",
    rich_markup_mode="rich",
    help="Home gateway for Bluetooth LE heart-rate straps and continuous glucose monitors.",
    epilog="Exit codes: 0 done, 1 failed, 2 something to mend in the call or the configuration.",
)

app.add_typer(analyse.app, name="analyse")


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


ConfigFile = Annotated[
    Path,
    typer.Option(
        "--config",
        help="The gateway's TOML file.",
        envvar="VITALGATE_CONFIG",
        metavar="FILE",
        readable=False,  # click need not look: whoever opens it says in one line what is wrong
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
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
    from edge import daemon

    if not simulate and world is None:
        raise typer.Exit(daemon.main(config))
    with one_line_errors():
        open_radio = simulated_radio(None if world is None else endpoint("--world", world), seed)
    raise typer.Exit(daemon.main(config, open_radio, simulated=True))


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
        from tools.rig.demo_recordings import DemoRecordings

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
        from tools.rig import demo as home
        from tools.rig import demo_view
        from tools.rig.demo_recordings import DemoRecordings

        worn = DemoRecordings.chosen(heart, glucose, bodies=bodies)
        options = home.Options(hours, speed, seed, out, drops_per_hour, worn)
        result = demo_view.watched(options, quiet=json)
    if json:
        print_json(result.document())
    else:
        demo_view.report(result)


@app.command(epilog="Example: vitalgate status --config gateway.toml")
def status(config: ConfigFile, json: Json = False) -> None:
    """What a gateway is doing; of a stopped one, what its store holds."""
    from tools import status_view

    with one_line_errors():
        document = status_view.document(config)
    if json:
        print_json(document)
    else:
        status_view.show(document)


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


def simulated_radio(world: tuple[str, int] | None, seed: int) -> Any:
    """What opens the radio of a simulated home, in this process or in another.

    The home is imported when it is opened: before that the daemon has to say where compiled kernels are kept.
    """

    @asynccontextmanager
    async def open_radio(config: Any) -> AsyncIterator[Any]:
        from edge.workers import in_thread

        # Signals are acted on meanwhile.
        simulation = await in_thread(simulation_extra)
        if world is None:
            home = simulation.own_radio(config, await in_thread(own_recordings), seed)
        else:
            home = simulation.world_radio(config, *world)
        async with home as radio:
            yield radio

    return open_radio


def own_recordings() -> Any:
    from tools.rig.demo_recordings import DemoRecordings

    return DemoRecordings.chosen(None, None)


def simulation_extra() -> Any:
    """The simulation, which a plain installation does not have."""
    try:
        from tools.rig import simulation
    except ModuleNotFoundError as error:
        what = f"simulated sensors need the package {error.name}"
        raise ConfigError(
            "installation", what, "install what simulates it: sh tools/setup.sh demo"
        ) from error
    return simulation


def endpoint(option: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(option, f"{text!r} is not HOST:PORT", "write it like 127.0.0.1:6402")
    return host, int(port)


def main() -> None:
    """The command `vitalgate`."""
    terminal.main(app, "vitalgate")
