"""What a server of this package is asked and what it says, whatever carries it: real HTTP or virtual time."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import NamedTuple, Protocol


class Asked(NamedTuple):
    """A request: its path without the leading slash, its parameters, its headers in small letters."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Said:
    """An answer; `endless` goes on after the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    endless: AsyncIterator[bytes] | None = None


class Follower(Protocol):
    """A server. It raises ConnectionError where nobody answers."""

    async def answer(self, asked: Asked) -> Said: ...


def date_header(utc_s: float) -> dict[str, str]:
    return {"date": formatdate(utc_s, usegmt=True)}
