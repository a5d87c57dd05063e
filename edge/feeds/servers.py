"""How each server is asked for entries: addresses, parameters, secrets. Pure.

Contract: `request` makes what is sent; nothing is sent here. A request holds the wearer's secret: it is never logged,
and its text shows neither address nor headers. What a server is asked for is decided in `polling`.

    server       | path                     | secret
    -------------|--------------------------|------------------------------------------------
    nightscout   | api/v1/entries/sgv.json  | header api-secret: SHA-1 of it; a token as it is
    nightscout v3| api/v3/entries           | a token, exchanged for a JWT; header Authorization
    xdrip        | sgv.json                 | header api-secret: SHA-1 of it
    juggluco     | SECRET/sgv.json          | in the path

Sources: Nightscout's lib/api/entries and lib/api3; xDrip+, webservices/XdripWebService; juggluco.nl, "Web server".
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

PHONE_PORTS: Final = (17580, 17581)
# Nightscout's access tokens: a name and 16 hexadecimal digits.
TOKEN: Final = re.compile(r"[A-Za-z0-9]+-[0-9a-f]{16}")
JWT_BYTES_MAX: Final = 4096


class Server(Enum):
    """The servers, by their names in the configuration."""

    NIGHTSCOUT = "nightscout"
    NIGHTSCOUT_V3 = "nightscout v3"
    XDRIP = "xdrip"
    JUGGLUCO = "juggluco"


PHONES: Final = frozenset({Server.XDRIP, Server.JUGGLUCO})
"""They give their newest entries and cannot be asked for a span of time."""


class Ask(NamedTuple):
    """What a server is asked for: its newest entries, or with `until_ms` those of (after, until].

    Attributes:
        rows_max: the most entries.
        is_history: whether the entries of earlier sensors are wanted, too.
    """

    server: Server
    rows_max: int
    after_ms: int | None = None
    until_ms: int | None = None
    is_history: bool = False


class Request(NamedTuple):
    """What is sent; it is secret."""

    url: str
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return "<request>"


def candidates(url: str, secret: str | None) -> Sequence[Server]:
    """What may be at an address, likeliest first."""
    parts = urlsplit(url)
    if "/api/v3" in parts.path:
        return (Server.NIGHTSCOUT_V3,)
    if parts.port in PHONE_PORTS:
        return (Server.XDRIP, Server.JUGGLUCO)
    v3 = (Server.NIGHTSCOUT_V3,) if secret is not None and TOKEN.fullmatch(secret) else ()
    # Juggluco is not tried everywhere, for that would write the secret into other servers' logs.
    return (Server.NIGHTSCOUT, *v3, Server.XDRIP)


def base(url: str) -> str:
    """The address without what `request` adds."""
    for ending in ("/api/v1/entries/sgv.json", "/api/v1", "/api/v3/entries", "/api/v3", "/sgv.json"):
        url = url.rstrip("/").removesuffix(ending)
    return url.rstrip("/")


def request(url: str, secret: str | None, ask: Ask, jwt: str | None = None) -> Request:
    """What to send for an ask."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    root, query = base(url), _QUERIES[ask.server](ask)
    if ask.server is Server.NIGHTSCOUT_V3:
        if jwt is not None:
            headers["Authorization"] = f"Bearer {jwt}"
        return Request(f"{root}/api/v3/entries?{urlencode(query)}", headers)
    if ask.server is Server.JUGGLUCO:
        segment = f"/{quote(secret, safe='')}" if secret else ""
        return Request(f"{root}{segment}/sgv.json?{urlencode(query)}", headers)
    if secret is not None:
        is_token = ask.server is Server.NIGHTSCOUT and TOKEN.fullmatch(secret)
        headers["api-secret"] = secret if is_token else sha1(secret)
    path = "api/v1/entries/sgv.json" if ask.server is Server.NIGHTSCOUT else "sgv.json"
    return Request(f"{root}/{path}?{urlencode(query)}", headers)


def sha1(secret: str) -> str:
    """The secret as Nightscout and xDrip+ take it; it protects nothing, and both ask for it."""
    return hashlib.sha1(secret.encode(), usedforsecurity=False).hexdigest()


def jwt_request(url: str, secret: str) -> Request:
    """What gives a JWT for an access token."""
    return Request(
        f"{base(url)}/api/v2/authorization/request/{quote(secret, safe='')}", {"Accept": "application/json"}
    )


class Jwt(NamedTuple):
    """A JWT, and for how long it is good."""

    text: str
    good_s: float

    def __repr__(self) -> str:
        return "<jwt>"


def jwt_of(body: bytes) -> Jwt | None:
    """The JWT in an answer; None if there is none."""
    try:
        told = json.loads(body)
        text, iat, exp = told["token"], told["iat"], told["exp"]
        good_s = 0.9 * (float(exp) - float(iat))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None
    is_plain = isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9_\-.]+", text) is not None
    if not is_plain or len(text) > JWT_BYTES_MAX or not math.isfinite(good_s):
        return None
    return Jwt(text, good_s)


def heart_request(url: str, secret: str | None, heart_rate_bpm: int) -> Request:
    """What tells xDrip+ a heart rate; it answers with its newest entry."""
    ask = request(url, secret, Ask(Server.XDRIP, 1))
    return ask._replace(url=f"{ask.url}&heart={heart_rate_bpm}")


def _nightscout(ask: Ask) -> dict[str, str]:
    query = {"count": str(ask.rows_max)}
    if ask.until_ms is not None:
        query |= {"find[date][$gt]": str(ask.after_ms), "find[date][$lte]": str(ask.until_ms)}
    return query


def _nightscout_v3(ask: Ask) -> dict[str, str]:
    query = {"limit": str(ask.rows_max), "sort$desc": "date", "type": "sgv"}
    if ask.until_ms is not None:
        query |= {"date$gt": str(ask.after_ms), "date$lte": str(ask.until_ms)}
    return query


def _phone(ask: Ask) -> dict[str, str]:
    query = {"count": str(ask.rows_max), "brief_mode": "Y"}
    return query | {"all_data": "Y"} if ask.is_history else query


_QUERIES: Final = {
    Server.NIGHTSCOUT: _nightscout,
    Server.NIGHTSCOUT_V3: _nightscout_v3,
    Server.XDRIP: _phone,
    Server.JUGGLUCO: _phone,
}
