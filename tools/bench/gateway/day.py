"""Hours of sensors on one gateway in virtual time, in a process of their own: what they cost.

    python -P -m tools.bench.gateway.day STRAPS CGMS HOURS [--null] [--silent]

`--null`: the feed without a gateway. `--silent`: the sensors are connected and say nothing.
Prints one JSON object: CPU and written octets from when all are connected to some minutes after the end; no start.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any, Final

from hw_sim.clock import run
from tools.bench.gateway import rig
from tools.bench.gateway.feed import LEAD_S, Home, Packets, recorded
from tools.bench.gateway.rig import Spent

GRACE_S: Final = 360.0  # the last window closes and goes up


async def spend(directory: Path, packets: Packets, options: argparse.Namespace) -> dict[str, Any]:
    home = Home.of(options.straps, options.cgms)
    result: dict[str, Any] = {}
    if options.null:
        await rig.null_gateway(home)
    else:
        checked = rig.config(directory, home, silent=options.silent)
        machine = rig.machine(checked, home)
        made = machine.start()
        await rig.until_connected(made)
    await asyncio.sleep(LEAD_S - asyncio.get_running_loop().time())
    before = Spent.now()
    if options.silent:
        await asyncio.sleep(packets.end_s)
    else:
        await home.send(packets)
    await asyncio.sleep(GRACE_S)
    spent = Spent.now().since(before)
    if not options.null:
        result |= {
            "dropped": made.inbox.dropped.total(),
            "undecodable": made.intake.undecodable.total(),
            "losses": sum(session.state.losses for session in made.contacts.values()),
        }
        await machine.stop()
        bundles = list((directory / "bundles").glob("*.json"))
        result |= {"bundles": len(bundles), "bundle_octets": sum(file.stat().st_size for file in bundles)}
    return {**spent._asdict(), "rss_mb": rig.rss_mb(), **result}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("straps", type=int)
    parser.add_argument("cgms", type=int)
    parser.add_argument("hours", type=float)
    parser.add_argument("--null", action="store_true")
    parser.add_argument("--silent", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(run(spend(Path(directory), recorded(options.hours), options))))


if __name__ == "__main__":
    main()
