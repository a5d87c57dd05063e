"""Runs the gateway without the command-line tools: `python -P -m edge --config FILE`."""

import signal

# Until the gateway handles signals, an interrupt ends the process as SIGTERM does: nothing has to be cleaned up yet.
signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from edge import daemon  # noqa: E402


def main(arguments: list[str]) -> int:
    """Run the gateway; the exit code."""
    parser = argparse.ArgumentParser(prog="edge", description="Run the vitalgate gateway daemon.")
    parser.add_argument("--config", type=Path, required=True, help="the gateway's TOML file")
    return daemon.main(parser.parse_args(arguments).config)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
