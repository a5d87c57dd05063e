"""The script with bluetooth-sig (`gateway_script`) in an environment of its own, which is made when it is first needed.

Contract: nothing of it is ever installed beside the gateway.
"""

import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tools.bench.gateway_feed import Packets

PACKAGES: Final = (
    "bleak==3.1.0",
    "bluetooth-sig==0.6.0",
    "fhir.resources==8.3.0",
    "iglu-python==0.4.3",
    "neurokit2==0.2.13",
)
ENVIRONMENT: Final = Path.home() / ".cache" / "vitalgate-bench-gateway"
SCRIPT: Final = Path(__file__).with_name("gateway_script.py")


def interpreter(environment: Path) -> Path:
    """Python with what the script imports."""
    python = environment / "bin" / "python"
    installed = environment / "installed.txt"
    wanted = "\n".join(PACKAGES)
    if not installed.exists() or installed.read_text() != wanted:
        print(f"installing {', '.join(PACKAGES)} into {environment}", file=sys.stderr)
        venv.create(environment, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)  # noqa: S603
        installed.write_text(wanted)
    return python


def run(
    environment: Path, packets: Packets, straps: int, cgms: int, options: Sequence[str] = ()
) -> dict[str, Any]:
    """What the script's work cost on so many sensors that all send the same."""
    python = interpreter(environment)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "packets.json"
        file.write_text(json.dumps(packets.merged(straps > 0, cgms > 0)))
        command = [str(python), str(SCRIPT), f"{directory}/out", str(file), str(straps), str(cgms), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    result: dict[str, Any] = json.loads(done.stdout)
    return result
