"""The `vitalgate` command: what people type. Everything heavy is imported only by the command that needs it."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import TextIOWrapper
from json import dumps
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from edge.errors import ConfigError, one_line
from tools import analyse

app = typer.Typer(
    name="vitalgate",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Home gateway for Bluetooth LE heart-rate straps and continuous glucose monitors.",
    epilog="Exit codes: 0 done, 1 failed, 2 something to mend in the call or the configuration.",
)

app.add_typer(analyse.app, name="analyse")

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
        float, typer.Option(min=0.0, help="How long the CGM has been worn, and storing, already.")
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

    A gateway reaches them with `vitalgate run --simulate --world HOST:PORT`. They outlive it.
    """
    with one_line_errors():
        simulation = simulation_extra()
        from tools.worn import Worn

        host, port = endpoint("--listen", listen)
        worn = Worn.chosen(heart, glucose, bodies=bodies, pace=glucose_pace)
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
    speed: Annotated[float, typer.Option(min=0.0, help="Times real time; 0 = as fast as it goes.")] = 0.0,
    seed: Seed = 1,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where everything goes; a new directory if left out.")
    ] = None,
    drops_per_hour: Annotated[
        float, typer.Option(min=0.0, help="How often a sensor goes out of reach.")
    ] = 0.0,
    heart: Heart = None,
    glucose: Glucose = None,
    bodies: Bodies = False,
    json: Json = False,
) -> None:
    """A simulated home: a strap and a CGM, the whole gateway, bundles in a directory; ends by itself."""
    with one_line_errors():
        simulation_extra()
        from tools import demo as home
        from tools import demo_view
        from tools.worn import Worn

        worn = Worn.chosen(heart, glucose, bodies=bodies)
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
    from tools import decode as decoding

    if not decoding.is_checksum(crc):
        fail(f"--crc {crc}: is none of auto, none, mcrf4xx, ccitt-false", 2)
    if jsonl:
        for line in decoding.answers(sys.stdin.buffer, crc):
            print(line, flush=True)
        return
    if characteristic is None or not hexadecimal:
        fail("decode needs a UUID and a packet in hexadecimal, or --jsonl", 2)
    document = decoding.answer(characteristic, " ".join(hexadecimal), {"crc": crc})
    if json:
        print(decoding.in_json(document, indent=1))
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
        simulation = simulation_extra()
        from tools.worn import Worn

        if world is None:
            home = simulation.own_radio(config, Worn.chosen(None, None), seed)
        else:
            home = simulation.world_radio(config, *world)
        async with home as radio:
            yield radio

    return open_radio


def simulation_extra() -> Any:
    """The simulation, which a plain installation does not have."""
    try:
        from tools import simulation
    except ModuleNotFoundError as error:
        what = f"simulated sensors need the package {error.name}"
        raise ConfigError(
            "installation", what, "install vitalgate with its extra: pip install 'vitalgate[sim]'"
        ) from error
    return simulation


def endpoint(option: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(option, f"{text!r} is not HOST:PORT", "write it like 127.0.0.1:6402")
    return host, int(port)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What the user has to mend is one line on stderr, never a traceback."""
    from edge.errors import StoreCorrupt, StoreUnavailable

    groups: list[BaseException] = []
    try:
        try:
            yield
        except SystemError as error:  # what a compiled kernel makes of an interrupt
            if not isinstance(error.__cause__, KeyboardInterrupt):
                raise
            raise error.__cause__ from None
    except* (ConfigError, StoreCorrupt, StoreUnavailable, KeyboardInterrupt) as group:
        groups.append(group)
    if groups:
        from edge.daemon import leaves

        problem = next(leaves(groups[0]))
        if isinstance(problem, KeyboardInterrupt):
            fail("interrupted", 130)
        fail(str(problem), 2 if isinstance(problem, ConfigError) else 1)


def fail(line: str, code: int) -> NoReturn:
    print(f"vitalgate: {line}", file=sys.stderr)
    raise typer.Exit(code)


def print_json(document: Any) -> None:
    """In ASCII, which every terminal and every pipe takes."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(document), indent=1).decode()
    print(re.sub(r"[^\x00-\x7f]+", lambda words: dumps(words[0])[1:-1], text))


def main() -> None:
    """Whatever the output cannot show is escaped; where it cannot be written, that is one line."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            app()
        finally:
            print(end="", flush=True)
    except OSError as error:
        if sys.stdout is not None:  # what is still buffered would fail once more when the interpreter ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # whoever read it has seen enough
            print(f"vitalgate: {one_line(str(error))}", file=sys.stderr)
        sys.exit(1)
