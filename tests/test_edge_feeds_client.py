"""One request within limits: of time, of octets, of where it is led; in virtual time, and over real HTTP."""

import asyncio
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from edge_parts import MIDNIGHT_UTC_S
from feed_world import DAY_S, STEP_S, config_of, now_utc_s, sensor, worn

from edge.config import SensorConfig
from edge.feeds import servers, web
from edge.feeds.client import ANSWER_S, Client, FeedFailure
from edge.feeds.polling import Polling
from edge.feeds.servers import Ask, Request, Server
from edge.radio.trouble import Trouble
from hw_sim.clock import run
from hw_sim.followers.answering import Asked, Follower, Said
from hw_sim.followers.carrying import Network, serving
from hw_sim.followers.hostile import Hostile
from hw_sim.followers.nightscout import Nightscout
from hw_sim.followers.phone import Phone
from protocols import sgv

HOST = "feed.lan"
URL = f"http://{HOST}/sgv.json"
SECRET = "correct horse"


class Says:
    """A server that says this."""

    def __init__(self, *said: Said) -> None:
        self.said = list(said)
        self.asked: list[Asked] = []

    async def answer(self, asked: Asked) -> Said:
        self.asked.append(asked)
        return self.said.pop(0) if len(self.said) > 1 else self.said[0]


def failure(follower: Follower, url: str = URL) -> FeedFailure:
    async def ask() -> FeedFailure:
        with pytest.raises(FeedFailure) as failed:
            await Client(Network({HOST: follower}).open).get(Request(url, {}))
        return failed.value

    return run(ask())


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        (Said(401), Trouble.FEED_REFUSED),
        (Said(403), Trouble.FEED_REFUSED),
        (Said(404), Trouble.FEED_NONSENSE),
        (Said(500), Trouble.FEED_UNREACHABLE),
        (Said(200, b"x", {"content-encoding": "gzip"}), Trouble.FEED_NONSENSE),
        (Said(302, b"", {"location": "http://198.51.100.7/x"}), Trouble.FEED_NONSENSE),
        (Said(302, b"", {"location": "//other.lan/x"}), Trouble.FEED_NONSENSE),
        (Said(302, b"", {"location": "ftp://feed.lan/x"}), Trouble.FEED_NONSENSE),
        (Said(302, b"", {"location": "http://[feed.lan/x"}), Trouble.FEED_NONSENSE),
        (Said(302, b"", {}), Trouble.FEED_NONSENSE),
        (Said(304), Trouble.FEED_NONSENSE),
        (Said(200, b"x" * (sgv.BODY_BYTES_MAX + 1)), Trouble.FEED_NONSENSE),
    ],
)
def test_what_goes_wrong_is_named_without_address_and_secret(said: Said, trouble: Trouble) -> None:
    fault = failure(Says(said))
    assert fault.trouble is trouble
    assert HOST not in str(fault) + fault.detail


@pytest.mark.parametrize("zone", ["", " GMT", " GMT+00:00", " -0000"])
def test_the_date_is_in_gmt_wherever_this_machine_stands(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Says(Said(200, b"[]", {"date": f"Sat, 28 Nov 2026 19:32:52{zone}"}))

    async def ask() -> float | None:
        return (await Client(Network({HOST: follower}).open).get(Request(URL, {}))).date_utc_s

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert run(ask()) == 1_795_894_372.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_redirects_stay_on_the_host_and_end() -> None:
    follower = Says(Said(307, b"", {"location": "/other.json"}), Said(200, b"[]"))

    async def ask() -> bytes | None:
        answer = await Client(Network({HOST: follower}).open).get(Request(URL, {"api-secret": "s"}))
        return answer.body

    assert run(ask()) == b"[]"
    assert [asked.path for asked in follower.asked] == ["sgv.json", "other.json"]
    assert "without end" in failure(Hostile("leads in circles", now_utc_s)).detail


def test_https_is_never_led_to_http() -> None:
    follower = Says(Said(302, b"", {"location": URL}))
    assert failure(follower, URL.replace("http:", "https:")).trouble is Trouble.FEED_NONSENSE


@pytest.mark.parametrize("way", ["never answers", "drips"])
def test_a_slow_answer_is_no_answer(way: str) -> None:
    async def ask() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(FeedFailure):
            await Client(Network({HOST: Hostile(way, now_utc_s)}).open).get(Request(URL, {}))
        return loop.time()

    assert run(ask()) == pytest.approx(ANSWER_S)


def test_the_newest_are_asked_for_on_condition_once_they_could_be_used() -> None:
    follower = Says(
        Said(200, b"[]", {"etag": '"1"', "last-modified": "yesterday"}), Said(304), Said(200, b"[]")
    )

    async def ask() -> list[bytes | None]:
        client = Client(Network({HOST: follower}).open)
        bodies = [(await client.get(Request(URL, {}), is_conditional=True)).body for _ in range(2)]
        client.forget()
        return [*bodies, (await client.get(Request(URL, {}), is_conditional=True)).body]

    assert run(ask()) == [b"[]", None, b"[]"]
    told = [asked.headers.get("if-none-match") for asked in follower.asked]
    assert told == [None, '"1"', None]


@pytest.mark.parametrize(
    ("date", "utc_s"),
    [
        ("Sat, 21 Nov 2026 00:00:00 GMT", MIDNIGHT_UTC_S),
        ("Sat, 21 Nov 2026 00:00:00 GMT+00:00", None),
        ("soon", None),
        ("", None),
    ],
)
def test_the_servers_clock_is_read_where_it_is_told(date: str, utc_s: float | None) -> None:
    async def ask() -> float | None:
        client = Client(Network({HOST: Says(Said(200, b"", {"date": date}))}).open)
        return (await client.get(Request(URL, {}))).date_utc_s

    found = run(ask())
    assert found in (utc_s, MIDNIGHT_UTC_S if date.endswith("+00:00") else utc_s)


def test_secrets_go_where_each_server_wants_them_and_requests_show_nothing() -> None:
    root = "http://192.168.1.20:17580"
    digest = servers.sha1(SECRET)
    xdrip = servers.request(root, SECRET, Ask(Server.XDRIP, 3))
    juggluco = servers.request(root + "/", SECRET, Ask(Server.JUGGLUCO, 3))
    night = servers.request(f"{root}/api/v1", SECRET, Ask(Server.NIGHTSCOUT, 3))
    token = servers.request(root, "reader-0123456789abcdef", Ask(Server.NIGHTSCOUT, 3))
    v3 = servers.request(root, "reader-0123456789abcdef", Ask(Server.NIGHTSCOUT_V3, 3), "a.b.c")
    assert xdrip.headers["api-secret"] == night.headers["api-secret"] == digest
    assert juggluco.url.startswith(f"{root}/correct%20horse/sgv.json?")
    assert token.headers["api-secret"] == "reader-0123456789abcdef"
    assert v3.headers["Authorization"] == "Bearer a.b.c"
    assert night.url.startswith(f"{root}/api/v1/entries/sgv.json?")
    for request in (xdrip, juggluco, night, token, v3):
        assert repr(request) == str(request) == f"{request}" == "<request>"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token": 5, "iat": 1, "exp": 2}',
        b'{"token": "a b", "iat": 1, "exp": 2}',
        b'{"token": "a", "iat": "x", "exp": 2}',
        b'{"token": "a", "iat": 1, "exp": NaN}',
        b'{"token": "%s", "iat": 1, "exp": 2}' % (b"a" * 5000),
        b"[" * 200_000,
    ],
)
def test_what_is_no_jwt_is_none(body: bytes) -> None:
    assert servers.jwt_of(body) is None


def test_a_jwt_is_good_for_most_of_its_time() -> None:
    jwt = servers.jwt_of(b'{"token": "aa.bb.cc", "iat": 100, "exp": 1100}')
    assert jwt is not None
    assert (jwt.text, jwt.good_s, repr(jwt)) == ("aa.bb.cc", 900.0, "<jwt>")


# Over real HTTP


def config(directory: Path, address: str, more: str = "") -> SensorConfig:
    return config_of(directory, sensor(address=address, more=more)).sensors[0]


Ask_ = Callable[[SensorConfig], Request]


async def fetched(told: SensorConfig, ask: Ask) -> list[sgv.Sgv]:
    client = Client(web.open_web(told))
    answer = await client.get(servers.request(told.address, told.secret, ask))
    assert answer.body is not None
    return list(sgv.decode(answer.body).entries)


def test_a_name_that_nobody_knows_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(FeedFailure) as failed:
        asyncio.run(fetched(config(tmp_path, "http://phone.lan:17580"), Ask(Server.XDRIP, 1)))
    assert (failed.value.trouble, failed.value.detail) == (Trouble.FEED_UNREACHABLE, "nobody knows its name")


def test_a_phone_and_a_nightscout_over_real_http(tmp_path: Path) -> None:
    diary = worn(MIDNIGHT_UTC_S - 7200, MIDNIGHT_UTC_S)

    async def scenario() -> None:
        phone = Phone(diary, lambda: float(MIDNIGHT_UTC_S), secret=SECRET, is_juggluco=True)
        night = Nightscout(diary, lambda: float(MIDNIGHT_UTC_S), secret=SECRET)
        async with serving(phone) as address:
            told = config(tmp_path, address, f'secret = "{SECRET}"')
            assert len(await fetched(told, Ask(Server.JUGGLUCO, 7))) == 7
        async with serving(night) as address:
            told = config(tmp_path, address, f'secret = "{SECRET}"')
            span = Ask(
                Server.NIGHTSCOUT,
                100,
                1000 * (MIDNIGHT_UTC_S - 3600),
                1000 * (MIDNIGHT_UTC_S - 1800),
                is_history=True,
            )
            assert len(await fetched(told, span)) == 6
            client = Client(web.open_web(told))
            request = servers.request(address, SECRET, Ask(Server.NIGHTSCOUT, 3))
            first = await client.get(request, is_conditional=True)
            again = await client.get(request, is_conditional=True)
            assert (len(json.loads(first.body or b"")), again.body) == (3, None)

    asyncio.run(scenario())


@pytest.mark.parametrize("server", [Server.NIGHTSCOUT, Server.NIGHTSCOUT_V3])
def test_behind_entries_of_the_future_those_of_the_present_are_found(server: Server, tmp_path: Path) -> None:
    diary = worn(MIDNIGHT_UTC_S - 7200, MIDNIGHT_UTC_S)
    for n in range(40):
        diary.enter(MIDNIGHT_UTC_S + 400 * DAY_S + STEP_S * n, 100, MIDNIGHT_UTC_S)

    async def scenario() -> None:
        async with serving(Nightscout(diary, lambda: float(MIDNIGHT_UTC_S))) as address:
            told, polling = config(tmp_path, address), Polling([server], None, Random(1))
            newest = polling.next(0.0)
            assert newest is not None
            rows = len(await fetched(told, newest))
            assert not polling.on_page(newest, [], rows, 0.0, 1000 * MIDNIGHT_UTC_S, ahead=rows)
            behind = polling.next(2.0)
            assert behind is not None
            assert not behind.is_history
            stamps = [entry.utc_ms // 1000 for entry in await fetched(told, behind)]
            assert stamps == list(diary.truth)

    asyncio.run(scenario())


@pytest.mark.parametrize("way", ["never ends", "huge", "leads elsewhere", "a page for people"])
def test_hostile_servers_over_real_http(way: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(Hostile(way, lambda: float(MIDNIGHT_UTC_S))) as address:
            told = config(tmp_path, address)
            if way == "a page for people":
                answer = await Client(web.open_web(told)).get(Request(address, {}))
                assert answer.body is not None
                return
            with pytest.raises(FeedFailure) as failed:
                await Client(web.open_web(told)).get(Request(address, {}))
            assert failed.value.trouble is Trouble.FEED_NONSENSE

    asyncio.run(scenario())


def test_nobody_there_is_said_without_the_address(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(FeedFailure) as failed:
        asyncio.run(fetched(config(tmp_path, address), Ask(Server.XDRIP, 1)))
    assert failed.value.trouble is Trouble.FEED_UNREACHABLE
    assert "127.0" not in failed.value.detail


@pytest.mark.parametrize(
    ("found", "more", "trouble"),
    [
        ("93.184.216.34", "", Trouble.FEED_IN_THE_OPEN),
        ("93.184.216.34", "allow_plain_http = true", Trouble.FEED_UNREACHABLE),
        ("127.0.0.1", "", Trouble.FEED_UNREACHABLE),
    ],
)
def test_a_name_that_stands_for_a_public_address_gets_no_secret_in_the_open(
    found: str, more: str, trouble: Trouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiohttp.resolver import ThreadedResolver

    async def resolve(_: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
        one = {"hostname": host, "host": found, "port": 1, "family": socket.AF_INET, "proto": 0, "flags": 0}
        if more:
            raise OSError("no such name")
        return [one]

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    with pytest.raises(FeedFailure) as failed:
        asyncio.run(fetched(config(tmp_path, "http://night.example.org:1", more), Ask(Server.XDRIP, 1)))
    assert failed.value.trouble is trouble


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    """A server that talks no TLS, or bad TLS, gets nothing."""

    async def scenario() -> FeedFailure:
        async with serving(Hostile("a page for people", lambda: float(MIDNIGHT_UTC_S))) as address:
            told = config(tmp_path, address.replace("http:", "https:"))
            with pytest.raises(FeedFailure) as failed:
                await fetched(told, Ask(Server.XDRIP, 1))
            return failed.value

    assert asyncio.run(scenario()).trouble in (Trouble.FEED_UNTRUSTED, Trouble.FEED_UNREACHABLE)
