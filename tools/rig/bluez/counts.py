"""In the guest: what the gateway has counted, as a line of JSON whenever that changes. Standard library only.

    counts.py STATE_DIRECTORY            until it is ended
    counts.py STATE_DIRECTORY --status   the status document, once; the exit code is 1 if no gateway answers

A line is {"life": PID, "sensors": {ID: {"packets": ..., "phase": ...}}}; while no gateway answers it is null.
"""

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

PERIOD_S = 0.2
SHOWN = ("packets", "phase", "connects", "losses")


def ask(state_directory: str) -> bytes | None:
    """The answer's line, or None."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2.0)
        try:
            connection.connect(f"{state_directory}/control.sock")
            connection.sendall(b'{"do": "status"}\n')
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65_536), b"")) or None
        except OSError:
            return None


def counted(answer: bytes | None) -> dict[str, Any] | None:
    """What is shown of an answer."""
    if answer is None:
        return None
    sensors = {}
    for sensor in json.loads(answer).get("sensors", ()):
        sensors[sensor["id"]] = {key: sensor[key] for key in SHOWN}
        trouble = sensor["trouble"]
        sensors[sensor["id"]]["trouble"] = trouble and trouble["cause"]
    return {"life": int(Path("/run/gateway.pid").read_text()), "sensors": sensors}


def main(state_directory: str, once: str = "") -> int:
    """The exit code."""
    if once:
        answer = ask(state_directory)
        print((answer or b"").decode(), end="")
        return int(answer is None)
    before = ""
    while True:
        line = json.dumps(counted(ask(state_directory)))
        if line != before:
            print(line, flush=True)
        before = line
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
