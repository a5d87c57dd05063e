"""The feeds of a simulated gateway: it reads glucose, and nobody's phone or server is asked."""

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest
from edge_parts import MIDNIGHT_UTC_S
from feed_world import config_of, deaf, sensor

from edge.feeds import servers
from edge.feeds.servers import Ask, Server
from hw_sim.clock import run
from tools.rig.home import simulated_gateway
from tools.rig.home.machine import Machine
from tools.rig.home.recordings import DemoRecordings
from tools.rig.home.simulated_feeds import SimulatedFeeds

BODIES = DemoRecordings(None, None, None, None)


@pytest.mark.parametrize(
    ("address", "more"),
    [
        ("http://192.168.1.20:17580", 'secret = "hush"'),
        ("http://192.168.1.20:17580", ""),
        ("http://192.168.1.20:17580", 'secret = "hush"\nserver = "juggluco"'),
        ("https://night.example.org", 'secret = "hush"'),
        ("https://night.example.org", 'secret = "reader-0123456789abcdef"'),
        ("https://night.example.org/anna/api/v3", 'secret = "reader-0123456789abcdef"'),
    ],
)
def test_each_feed_is_answered_by_a_server_of_its_form(address: str, more: str, tmp_path: Path) -> None:
    config = config_of(tmp_path, sensor(address=address, more=more))

    async def glucose() -> tuple[float, str | None]:
        now_s = asyncio.get_running_loop().time
        feeds = SimulatedFeeds(BODIES, lambda: MIDNIGHT_UTC_S + now_s())
        machine = Machine(
            lambda: config,
            deaf(),
            zero_utc_s=MIDNIGHT_UTC_S,
            new_rng=lambda life: Random(life),
            web=feeds.web,
        )
        machine.start()
        try:
            await machine.for_s(1200.0)
            (shown,) = (await machine.gateway.status()).sensors
        finally:
            await machine.stop()
        assert shown.phase == "streaming"
        assert shown.session is not None
        return sum(shown.session.readings.values()), shown.trouble and shown.trouble.cause

    readings, trouble = run(glucose())
    assert 4 <= readings <= 5
    assert trouble is None


def test_a_simulated_gateway_asks_no_address_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: dict[str, Any] = {}

    def remembered(*_: object, **arguments: Any) -> int:
        called.update(arguments)
        return 0

    monkeypatch.setattr(simulated_gateway.daemon, "main", remembered)
    simulated_gateway.main(["--config", "gateway.toml"])
    (feed,) = config_of(tmp_path, sensor(address="http://phone.invalid:17580")).sensors
    request = servers.request(feed.address, None, Ask(Server.XDRIP, 1))

    async def answered() -> int:
        async with called["web"](feed)(request.url, request.headers) as answer:
            return int(answer.status)

    assert run(answered()) == 200
