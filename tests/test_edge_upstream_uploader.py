"""Nothing leaves without consent, everything else arrives: from the store to valid bundles in a directory."""

import asyncio
import json
import math
import random
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, StillClock, minimal_config, open_store
from fhir_check import faults, unmarked
from test_edge_upstream_resources import GLUCOSE, HEART

from edge.config import Config, Consent
from edge.errors import UpstreamRejected, UpstreamUnavailable
from edge.outbox import DATA_CLASS, Item, Outbox
from edge.store import CgmRecord, Store
from edge.upstream.composer import Composer, reading_ref
from edge.upstream.files import FileUpstream
from edge.upstream.uploader import Uploader, Upstream
from hw_sim.clock import VirtualClock
from hw_sim.clock import run as run_in_virtual_time

DAY_S = 86400


class Recorder:
    """An upstream that notes what it is sent and when, and answers by plan."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, bytes]] = []
        self.times: list[float] = []

    async def send(self, name: str, body: bytes) -> None:
        self.sent.append((name, body))
        self.times.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer


class Gateway:
    """Store, outbox and uploader, with some data of every kind."""

    def __init__(self, directory: Path, upstream: Upstream, clock: Any, **consent: Any) -> None:
        whole: Config = minimal_config(directory)
        every = Consent(**(dict.fromkeys(sorted(set(DATA_CLASS.values())), True) | consent))
        self.config = msgspec.structs.replace(whole, consent=every)
        self.store: Store = open_store(self.config)
        self.outbox = Outbox(self.store, clock)
        composer = Composer(self.config, IDENTITY, self.store, clock, version="0.1.0", simulated=True)
        self.uploader = Uploader(
            self.config, self.outbox, composer.compose, upstream, clock, random.Random(1)
        )

    def put_heart(self, number: int, beats: int = 312) -> None:
        start = MIDNIGHT_UTC_S + 300 * number
        summary_id = IDENTITY.id("heart_5min", "p-7f3a", "strap", start)
        with self.store.transaction():
            rev = self.store.put_summary(
                summary_id, "heart_5min", "strap", (start, start + 300), HEART | {"beats": beats}, final=True
            )
            assert rev is not None
            self.outbox.enqueue(Item(summary_id, "heart_5min", str(summary_id), rev))

    def put_glucose(self, count: int = 3) -> None:
        values = [100.0, math.inf, None]
        summary_id = IDENTITY.id("glucose_day", "p-7f3a", "cgm", MIDNIGHT_UTC_S)
        with self.store.transaction():
            session = self.store.begin_session("cgm", MIDNIGHT_UTC_S, 240)
            for n in range(count):
                record = CgmRecord(5 * n, values[n % 3], None, None, 0, 1, False)
                self.store.insert_records(session, [record], "boot-1")
                reading_id = IDENTITY.id("cgm_reading", "p-7f3a", "cgm", session.number, 5 * n)
                self.outbox.enqueue(Item(reading_id, "cgm_reading", reading_ref(session.id, 5 * n), 1))
            period = (MIDNIGHT_UTC_S, MIDNIGHT_UTC_S + DAY_S)
            rev = self.store.put_summary(summary_id, "glucose_day", "cgm", period, GLUCOSE, final=True)
            assert rev is not None
            self.outbox.enqueue(Item(summary_id, "glucose_day", str(summary_id), rev))

    def drain(self) -> None:
        async def steps() -> None:
            for _ in range(1000):
                if await self.uploader.step() is None:
                    return
            raise AssertionError("the outbox is never empty")

        asyncio.run(steps())


def urls(body: bytes) -> list[str]:
    return [entry["request"]["url"] for entry in json.loads(body)["entry"]]


def codes_of(recorder: Recorder) -> set[str]:
    resources = [entry["resource"] for _, body in recorder.sent for entry in json.loads(body)["entry"]]
    return {one["code"]["coding"][0]["code"] for one in resources if "code" in one}


def test_everything_arrives_valid_marked_and_once(tmp_path: Path) -> None:
    upstream = FileUpstream(tmp_path / "out")
    gateway = Gateway(tmp_path, upstream, StillClock())
    for number in range(150):
        gateway.put_heart(number)
    gateway.put_glucose(30)
    gateway.drain()
    assert gateway.outbox.counts()[:4] == (0, 0, 181, 0)
    put: list[str] = []
    for path in sorted(upstream.directory.iterdir()):
        assert path.name.startswith("20261121T000000Z-")
        whole = json.loads(path.read_bytes())
        assert faults(whole) == []
        assert unmarked(whole) == []
        put += [url for url in urls(path.read_bytes()) if url.startswith("Observation")]
    assert len(put) == len(set(put)) == 150 * 2 + 30 + 8
    everything = "".join(path.read_text() for path in upstream.directory.iterdir())
    for identifier in ("A4:C1:38", "A4-C1-38", "strap", '"cgm"'):
        assert identifier not in everything


def test_an_amended_summary_goes_again_under_its_id(tmp_path: Path) -> None:
    recorder = Recorder()
    gateway = Gateway(tmp_path, recorder, StillClock())
    gateway.put_heart(0)
    gateway.drain()
    gateway.put_heart(0, beats=320)
    gateway.drain()
    (one, first), (two, second) = recorder.sent
    assert one != two
    assert urls(first) == urls(second)
    statuses = [json.loads(body)["entry"][2]["resource"]["status"] for body in (first, second)]
    assert statuses == ["final", "amended"]


@pytest.mark.parametrize(
    ("refused", "absent", "left"),
    [
        ("heart_summaries", {"8867-4", "hrv-short-term"}, 1),
        ("glucose_summaries", {"107931-8", "97507-8"}, 1),
        ("glucose_readings", {"99504-3"}, 3),
    ],
)
def test_a_class_without_consent_stays(tmp_path: Path, refused: str, absent: set[str], left: int) -> None:
    recorder = Recorder()
    gateway = Gateway(tmp_path, recorder, StillClock(), **{refused: False})
    gateway.put_heart(0)
    gateway.put_glucose()
    gateway.drain()
    every = {"8867-4", "hrv-short-term", "107931-8", "97507-8", "99504-3"}
    assert codes_of(recorder) & every == every - absent
    assert gateway.outbox.counts().pending == left


def test_without_any_consent_nothing_is_sent(tmp_path: Path) -> None:
    recorder = Recorder()
    gateway = Gateway(tmp_path, recorder, StillClock(), **dict.fromkeys(DATA_CLASS.values(), False))
    gateway.put_heart(0)
    gateway.put_glucose()
    gateway.drain()
    assert recorder.sent == []
    assert Consent() == Consent(heart_summaries=False, glucose_summaries=False, glucose_readings=False)


@pytest.mark.parametrize(
    ("timezone", "utc_s", "allowed"),
    [
        ("UTC", MIDNIGHT_UTC_S - 1, True),
        ("UTC", MIDNIGHT_UTC_S, False),
        # The day is the gateway's own: in Auckland (+13 h) it ends earlier, in Los Angeles (-8 h) later.
        ("Pacific/Auckland", MIDNIGHT_UTC_S - 13 * 3600 - 1, True),
        ("Pacific/Auckland", MIDNIGHT_UTC_S - 13 * 3600, False),
        ("America/Los_Angeles", MIDNIGHT_UTC_S + 8 * 3600 - 1, True),
        ("America/Los_Angeles", MIDNIGHT_UTC_S + 8 * 3600, False),
    ],
)
def test_consent_ends_with_its_last_day(tmp_path: Path, timezone: str, utc_s: int, allowed: bool) -> None:
    whole = minimal_config(tmp_path, **{'id = "gw-1"': f'id = "gw-1"\ntimezone = "{timezone}"'})
    config = msgspec.structs.replace(
        whole, consent=msgspec.structs.replace(whole.consent, valid_until=date(2026, 11, 20))
    )
    clock = StillClock(utc_s)
    store = open_store(config)
    uploader = Uploader(
        config, Outbox(store, clock), lambda _: ("", b""), Recorder(), clock, random.Random(1)
    )
    assert uploader.permitted_kinds() == (set(DATA_CLASS) if allowed else set())


def test_consent_that_ends_holds_back_a_batch_in_flight(tmp_path: Path) -> None:
    clock, recorder = StillClock(), Recorder(UpstreamUnavailable("not now"))
    gateway = Gateway(tmp_path, recorder, clock, valid_until=date(2026, 11, 21))
    gateway.put_heart(0)
    assert asyncio.run(gateway.uploader.step()) is not None
    assert gateway.outbox.counts().inflight == 1
    clock.utc_s += DAY_S
    gateway.drain()
    assert len(recorder.sent) == 1
    assert gateway.outbox.counts()[:2] == (1, 0)
    clock.utc_s -= DAY_S
    gateway.drain()
    assert len(recorder.sent) == 2


def test_a_failed_batch_is_resent_byte_for_byte_after_a_restart(tmp_path: Path) -> None:
    recorder = Recorder(UpstreamUnavailable("not now"))
    gateway = Gateway(tmp_path, recorder, StillClock())
    gateway.put_heart(0)
    asyncio.run(gateway.uploader.step())
    gateway.store.close()
    later = StillClock(MIDNIGHT_UTC_S + 3600, "boot-1")
    again = Gateway(tmp_path, recorder, later)
    again.put_heart(1)
    again.drain()
    assert recorder.sent[0] == recorder.sent[1]
    assert len(recorder.sent) == 3


def test_state_tells_how_it_goes(tmp_path: Path) -> None:
    recorder = Recorder(UpstreamUnavailable("cable\nout"), UpstreamRejected("no such patient"))
    gateway = Gateway(tmp_path, recorder, StillClock())
    gateway.put_heart(0)
    gateway.put_heart(1)
    state = gateway.uploader.state
    asyncio.run(gateway.uploader.step())
    assert (state.failures, state.last_error, state.last_success_utc_ns) == (1, "cable\\nout", None)
    asyncio.run(gateway.uploader.step())
    assert (state.failures, state.last_error) == (2, "no such patient")
    gateway.drain()
    assert (state.failures, state.last_error, state.batches) == (0, None, 2)
    assert state.last_success_utc_ns == MIDNIGHT_UTC_S * 10**9


async def upload_for(gateway: Gateway, seconds: float) -> None:
    """Let the uploader run for some virtual time."""
    task = asyncio.create_task(gateway.uploader.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_pauses_grow_to_the_limit_and_are_spread(tmp_path: Path) -> None:
    recorder = Recorder(*[UpstreamUnavailable("not now")] * 60)

    async def scene() -> None:
        gateway = Gateway(tmp_path, recorder, VirtualClock(MIDNIGHT_UTC_S * 10**9, "boot-1"))
        gateway.put_heart(0)
        await upload_for(gateway, 20_000)

    run_in_virtual_time(scene())
    pauses = [later - earlier for earlier, later in zip(recorder.times, recorder.times[1:], strict=False)]
    assert all(pause <= min(900.0, 2.0**n) for n, pause in enumerate(pauses))
    late = pauses[11:]
    assert len(late) > 20
    assert max(late) > 600
    assert min(late) < 300
    assert len(set(recorder.sent)) == 1


def test_a_commit_wakes_the_uploader_and_success_ends_the_pauses(tmp_path: Path) -> None:
    recorder = Recorder(None, UpstreamUnavailable("not now"))

    async def scene() -> None:
        gateway = Gateway(tmp_path, recorder, VirtualClock(MIDNIGHT_UTC_S * 10**9, "boot-1"))
        task = asyncio.create_task(gateway.uploader.run())
        for number in range(3):
            await asyncio.sleep(100)
            gateway.put_heart(number)
            gateway.uploader.wake.set()
        await asyncio.sleep(100)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert gateway.outbox.counts().acked == 3

    run_in_virtual_time(scene())
    assert recorder.times[0] == pytest.approx(100)
    assert recorder.times[1] == pytest.approx(200)
    assert recorder.times[2] - recorder.times[1] <= 1.0
    assert recorder.times[3] == pytest.approx(300)
    assert len(recorder.sent) == 4


def test_a_backlog_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    recorder = Recorder()
    turns = 0

    async def scene() -> None:
        nonlocal turns
        gateway = Gateway(tmp_path, recorder, VirtualClock(MIDNIGHT_UTC_S * 10**9, "boot-1"))
        for number in range(500):
            gateway.put_heart(number)
        task = asyncio.create_task(gateway.uploader.run())
        while gateway.outbox.counts().acked < 500:
            turns += 1
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_in_virtual_time(scene())
    assert len(recorder.sent) == 5
    assert turns >= 5
