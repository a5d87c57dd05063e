"""An air without a radio, as a process of its own, to try a bench on: its controllers are where dongles would be.

Contract: who connects by TCP gets a controller of its own, and so does each serial line; all hear one another. A
gateway reaches it with `vitalgate run --world HOST:PORT`, a dongle is "tcp-client:HOST:PORT" or "serial:PATH" in the
inventory. It goes on until SIGINT or SIGTERM. There are no sensors in it.
"""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from edge.errors import ConfigError
from hw_sim.radio.air import Air
from hw_sim.radio.hci_pty import SerialController
from hw_sim.radio.hci_server import serve


async def serve_air(host: str, port: int, serial: Sequence[Path]) -> None:
    """Serve until it is ended; one line on stdout says where.

    Raises:
        ConfigError: the port is taken, or a serial line cannot be where it shall be.
    """
    air = Air()
    with ExitStack() as undone:
        for path in serial:
            try:
                line = SerialController(air, path)
            except OSError as error:
                raise ConfigError(
                    "--serial", f"{path}: {error.strerror}", "name a path that can be made"
                ) from error
            undone.callback(line.close)
        try:
            server = await serve(air, host, port)
        except OSError as error:
            raise ConfigError(
                "--listen", f"{host}:{port}: {error.strerror}", "name a free port of this machine"
            ) from error
        undone.callback(server.close)
        print("listening on {}:{}".format(*server.sockets[0].getsockname()[:2]), flush=True)
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        await ended.wait()
