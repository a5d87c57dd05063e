"""Hours of sensors on one gateway in virtual time, in a process of their own: what they cost.

    python -P -m tools.bench.gateway_day STRAPS CGMS HOURS [--null] [--silent]

`--null`: the feed without a gateway. `--silent`: the sensors are connected and say nothing.
Prints one JSON object: CPU and written octets from when all are connected to some minutes after the end; no start.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any, Final

from hw_sim.clock import VirtualClock, run
from tools.bench import gateway_rig
from tools.bench.gateway_feed import LEAD_S, MIDNIGHT_UTC_S, Home, Packets, recorded
from tools.bench.gateway_rig import Spent

GRACE_S: Final = 360.0  # the last window closes and goes up


async def spend(directory: Path, packets: Packets, options: argparse.Namespace) -> dict[str, Any]:
    clock = VirtualClock(epoch_utc_ns=round((MIDNIGHT_UTC_S - LEAD_S) * 1e9), boot_id="boot-1")
    home = Home.of(options.straps, options.cgms)
    result: dict[str, Any] = {}
    if options.null:
        await gateway_rig.null_gateway(home)
    else:
        checked = gateway_rig.config(directory, home, silent=options.silent)
        made = gateway_rig.gateway(checked, clock, home.stack)
        running = asyncio.ensure_future(made.run())
        await gateway_rig.until_connected(made)
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
            "losses": sum(session.state.losses for session in made.sessions.values()),
        }
        await gateway_rig.end(made, running)
        bundles = list((directory / "bundles").glob("*.json"))
        result |= {"bundles": len(bundles), "bundle_octets": sum(file.stat().st_size for file in bundles)}
    return {**spent._asdict(), "rss_mb": gateway_rig.rss_mb(), **result}


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
