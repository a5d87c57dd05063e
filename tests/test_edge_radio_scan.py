"""How an adapter searches: for everybody, and in turns without asking where an answer would hide what is advertised."""

import asyncio
from typing import Any

import pytest
from bleak.backends.scanner import BaseBleakScanner
from bleak.exc import BleakError

from edge.radio.scan import ACTIVE_S, PASSIVE_S, SCAN_S, Scan
from hw_sim.clock import run
from protocols import aidex

REFUSED = "passive scanning on Linux requires BlueZ >= 5.56 with --experimental enabled"


class Adapter:
    """Notes how it is made to search, and refuses to do that passively if it is told to."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.begun: list[tuple[float, str]] = []
        self.bluez: dict[str, Any] = {}
        self.running = 0
        adapter = self

        class Scanner(BaseBleakScanner):
            def __init__(self, callback: Any, service_uuids: Any, scanning_mode: str, **how: Any) -> None:
                super().__init__(callback, service_uuids)
                self.mode = scanning_mode
                adapter.bluez = how["bluez"]

            async def start(self) -> None:
                if self.mode == "passive" and adapter.refuses:
                    raise BleakError(REFUSED)
                adapter.running += 1
                assert adapter.running == 1
                adapter.begun.append((asyncio.get_running_loop().time(), self.mode))

            async def stop(self) -> None:
                adapter.running -= 1

        self.scan = Scan(lambda _device, _advertisement: None, Scanner)

    async def search(self, for_s: float) -> list[tuple[float, str]]:
        """When a search began, and how, while it is matched each second."""
        self.begun.clear()
        self.scan.wanted = True
        end_s = asyncio.get_running_loop().time() + for_s
        while asyncio.get_running_loop().time() < end_s:
            await self.scan.match()
            await asyncio.sleep(1)
        return self.begun


def test_where_an_answer_hides_data_searches_that_ask_and_that_do_not_take_turns() -> None:
    async def main() -> None:
        adapter = Adapter()
        adapter.scan.wants_passive = True
        rounds = [(0.0, "active"), (ACTIVE_S, "passive"), (ACTIVE_S + PASSIVE_S, "active")]
        assert await adapter.search(ACTIVE_S + PASSIVE_S + 1) == rounds
        assert any(bytes(pattern[2]) == aidex.COMPANY.to_bytes(2, "little") for pattern in patterns(adapter))

    run(main())


def patterns(adapter: Adapter) -> list[tuple[int, int, bytes]]:
    return list(adapter.bluez["or_patterns"])


def test_else_every_search_asks_and_none_pauses() -> None:
    async def main() -> None:
        adapter = Adapter()
        assert await adapter.search(2 * SCAN_S) == [(0.0, "active"), (SCAN_S, "active")]
        # BlueZ pauses between searches without a filter.
        assert adapter.bluez["filters"] == {"RSSI": -127}

    run(main())


def test_a_search_that_does_not_ask_is_tried_again_only_if_bluetooth_was_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        adapter = Adapter(refuses=True)
        adapter.scan.wants_passive = True
        begun = [(0.0, "active"), (ACTIVE_S, "active"), (ACTIVE_S + SCAN_S, "active")]
        assert await adapter.search(ACTIVE_S + SCAN_S + 1) == begun
        adapter.refuses = False
        adapter.scan.renew()
        assert [mode for _, mode in await adapter.search(2)] == ["passive"]

    run(main())
    assert [record.message for record in caplog.records] == [
        f"a search that does not ask is refused: {REFUSED}"
    ]
