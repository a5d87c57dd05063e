"""Runs the gateway without the command-line tools: `python -P -m edge --config FILE`."""

import signal

# Until the gateway handles signals, an interrupt ends the process as SIGTERM does: nothing has to be cleaned up yet.
signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from edge.daemon import main  # noqa: E402

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="edge", description="Run the vitalgate gateway daemon.")
    parser.add_argument("--config", type=Path, required=True, help="the gateway's TOML file")
    sys.exit(main(parser.parse_args().config))
