"""The daemon on its own, without the command-line tools: `python -P -m edge --config FILE`."""

import argparse
import sys
from pathlib import Path

from edge.daemon import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="edge", description="Run the vitalgate gateway daemon.")
    parser.add_argument("--config", type=Path, required=True, help="the gateway's TOML file")
    sys.exit(main(parser.parse_args().config))
