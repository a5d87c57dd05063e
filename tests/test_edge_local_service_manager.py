"""systemd hears what the watchman hears: that the gateway is ready, that its loop turns, that it stops."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.local.heartbeat import BEAT_S, Heartbeat, Phase
from edge.local.service_manager import MORE_TIME_US, ServiceManager
from hw_sim.clock import run


class Systemd:
    """Listens where a service is told to speak."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0"))
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        """What was said since this was asked last."""
        said = []
        while True:
            try:
                said.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return said

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    listening = Systemd(
        str(tmp_path / "notify") if request.param == "path" else f"@vitalgate-test-{id(request)}"
    )
    yield listening
    listening.close()


def test_a_life_is_told_with_the_beats_of_the_heartbeat(systemd: Systemd) -> None:
    async def life() -> None:
        manager = ServiceManager.of_service({"NOTIFY_SOCKET": systemd.address})
        heartbeat = Heartbeat(None, "boot", manager)
        heartbeat.start()
        more = f"EXTEND_TIMEOUT_USEC={MORE_TIME_US}"
        assert systemd.heard() == ["STATUS=starting", more]
        await asyncio.sleep(2 * BEAT_S)
        assert systemd.heard() == [more, more]
        heartbeat.enter(Phase.RUNNING)
        assert systemd.heard() == ["READY=1\nSTATUS=running", "WATCHDOG=1"]
        await asyncio.sleep(4 * BEAT_S)
        assert systemd.heard() == ["WATCHDOG=1"] * 4
        assert heartbeat.beat_s == 6 * BEAT_S
        heartbeat.enter(Phase.STOPPING)
        assert systemd.heard() == ["STOPPING=1\nSTATUS=stores what is open", "WATCHDOG=1"]
        heartbeat.stop()
        await asyncio.sleep(100)
        assert systemd.heard() == []

    run(life())


def test_a_service_manager_that_does_not_listen_costs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    manager = ServiceManager("/nowhere/notify")
    for _ in range(100):
        manager.on_beat(is_starting=False)
    assert [record.message for record in caplog.records] == [
        "the service manager cannot be told: No such file or directory"
    ]


def test_without_one_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    ServiceManager.of_service({}).on_running()
    ServiceManager.of_service({"NOTIFY_SOCKET": ""}).on_running()
    assert caplog.records == []
