"""The bench's own commands.

    python -P -m tools.rig.bench list BENCH                    what there is, and who has it
    python -P -m tools.rig.bench air [--listen HOST:PORT] [--serial PATH]...  an air without a radio, to try a bench on
    python -P -m tools.rig.bench gateway-file SCENARIO         the file of a gateway that the scenario is played against

Contract: exit code 0 done, 2 something to mend in the call or a file, 1 if the bench has failed.

Not here: playing scenarios (`vitalgate rig run --setting air`).
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

from edge.clock import NS_PER_S, SystemClock
from edge.errors import ConfigError
from tools.rig.bench import inventory
from tools.rig.bench.errors import BenchError
from tools.rig.bench.leases import Leases
from tools.rig.home.extra import endpoint


def listed(bench: Path) -> Iterator[str]:
    """A line for each thing on a bench. Raises ConfigError, BenchError."""
    there = inventory.load(bench)
    clock = SystemClock()
    leases = Leases(there.leases, clock)
    rows = {row.name: row for row in leases.rows()}
    ways = [(one.resource, one.transport) for one in there.dongles]
    ways += [(one.resource, str(one.config)) for one in there.gateways]
    for name, way in ways:
        row = rows.get(name)
        state = "free" if row is None else leases.state(row)
        who = ""
        if row is not None and row.holder is not None:
            since_s = (clock.boot_ns() - row.renewed_ns) / NS_PER_S
            who = f" by process {row.holder.pid} for {row.purpose}, renewed {since_s:.0f} s ago"
        yield f"{name} ({way}): {state}{who}"


def parser() -> argparse.ArgumentParser:
    """What may be typed."""
    whole = argparse.ArgumentParser(prog="tools.rig.bench", description="Dongles and gateways on a bench.")
    commands = whole.add_subparsers(dest="command", required=True)
    showing = commands.add_parser("list", help="what there is, and who has it")
    showing.add_argument("bench", type=Path, metavar="BENCH", help="the inventory, a TOML file")
    serving = commands.add_parser("air", help="an air without a radio, to try a bench on")
    serving.add_argument(
        "--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0 picks a free one"
    )
    serving.add_argument(
        "--serial", type=Path, action="append", default=[], metavar="PATH", help="a serial line to make"
    )
    writing = commands.add_parser("gateway-file", help="the file of a gateway for a scenario")
    writing.add_argument("scenario", type=Path, metavar="SCENARIO")
    return whole


def main(arguments: list[str]) -> int:
    """The exit code."""
    called = parser().parse_args(arguments)
    try:
        match called.command:
            case "list":
                print("\n".join(listed(called.bench)))
            case "air":
                from tools.rig.bench.virtual_air import serve_air

                asyncio.run(serve_air(*endpoint("--listen", called.listen), called.serial))
            case "gateway-file":
                from tools.rig.language.scenario import load

                print(load(called.scenario).gateway_text(), end="")
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
