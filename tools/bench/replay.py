"""How long `vitalgate alert replay` takes for DAYS of one strap and one CGM, a recording played over and over.

    python -P -m tools.bench.replay RR.csv.gz [--days 90]

The history is that of `tools.bench.reprocess`. It is played by the rules in force alone, and beside other ones.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path
from timeit import default_timer

import msgspec

from edge.config_values import Glucose
from tools.bench.reprocess import filled, read_rr
from tools.replay.history import Run


async def measure(directory: Path, rr_ms: list[float], days: int) -> None:
    checked, _, gateway = filled(directory, rr_ms, days)
    other = msgspec.structs.replace(checked.alerts, glucose_low=Glucose(80), heart_rate_high_bpm=110)
    for new in (None, other):
        began_s = default_timer()
        run = Run(gateway.store.tables, checked, new, days)
        for _ in run.run():
            pass
        raised = [
            sum(side.raised for line in one.alerts for side in (line.now, line.new) if side)
            for one in run.result.sensors
        ]
        print(
            f"{days} days, {1 if new is None else 2} sets of rules: {default_timer() - began_s:.1f} s, {raised}"
        )
    gateway.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rr", type=Path, metavar="RR.csv.gz")
    parser.add_argument("--days", type=int, default=90)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(Path(directory), read_rr(given.rr), given.days))


if __name__ == "__main__":
    main()
