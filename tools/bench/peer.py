"""The peer `bluetooth-sig` in an environment of its own, which is made when it is first needed.

Contract: nothing of it is ever installed beside the gateway.
"""

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, Final

VERSION: Final = "0.6.0"
ENVIRONMENT: Final = Path(__file__).resolve().parents[2] / ".venv-bench"
SCRIPT: Final = Path(__file__).with_name("peer_bluetooth_sig.py")


def interpreter() -> Path:
    """Python with the peer installed."""
    python = ENVIRONMENT / "bin" / "python"
    marker = ENVIRONMENT / f"bluetooth-sig-{VERSION}"
    if not marker.exists():
        print(f"installing bluetooth-sig {VERSION} into {ENVIRONMENT.name}", file=sys.stderr)
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", f"bluetooth-sig=={VERSION}"]
        subprocess.run(command, check=True)  # noqa: S603
        marker.touch()
    return python


def answers(packets: list[tuple[str, bytes]], *, time: bool = False) -> list[dict[str, Any]]:
    """What the peer makes of packets of characteristics."""
    asked = "\n".join(
        json.dumps({"characteristic": number, "hex": payload.hex()}) for number, payload in packets
    )
    command = [str(interpreter()), str(SCRIPT), *(["--time"] if time else [])]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)  # noqa: S603
    return [json.loads(line) for line in done.stdout.splitlines()]
