"""One secret per gateway, and everything derived from it: the store's key and the pseudonymous ids.

Contract: the same secret and the same parts give the same id on every run, so the upstream recognises what is sent
twice. Without the secret nobody can find the address behind an id by trying all addresses. The secret is made once,
before the database that it protects. No clock and no network here.
"""

import hmac
import os
import stat
from pathlib import Path
from uuid import UUID, uuid5

from edge import durable
from edge.errors import ConfigError

SECRET_BYTES = 32


class Identity:
    """Keys and ids derived from the gateway's secret, one label per purpose."""

    def __init__(self, secret: bytes) -> None:
        assert len(secret) == SECRET_BYTES
        self._secret = secret
        self.store_key = _derive(secret, "store key")
        # Stored in the clear beside the database. It tells a wrong key from a damaged file, and reveals nothing else.
        self.key_check = _derive(secret, "key check")[:8].hex()
        self._namespace = UUID(bytes=_derive(secret, "id namespace")[:16])

    def id(self, kind: str, *parts: str | int) -> UUID:
        """An id made of what a thing is. `parts` leave out what may change, such as the version of an algorithm."""
        names = [kind, *map(str, parts)]
        assert not any("|" in name for name in names)
        return uuid5(self._namespace, "|".join(names))

    def sensor(self, address: str) -> UUID:
        """Pseudonym of a sensor: outside the encrypted store nothing else identifies it."""
        return self.id("sensor", address)

    def keep(self, key_file: Path) -> None:
        """Write the secret into a file that only its owner may read.

        Raises:
            OSError: it could not be written.
        """
        key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.write(key_file, self._secret, 0o600)


def load(key_file: Path, database: Path, known: Identity | None = None) -> Identity:
    """Read the secret, or make it if there is no database yet that needs the old one.

    `known` is the identity that a running gateway has used so far. If its file has vanished, it is written again.

    Raises:
        ConfigError: it is missing beside an existing database, has the wrong length, is readable by others, or cannot
            be read.
    """
    try:
        if key_file.exists():
            return Identity(_read(key_file))
        if known is None and database.exists() and database.stat().st_size > 0:
            raise ConfigError(
                str(key_file),
                f"missing, but {database} needs it",
                "restore the key file, or move the database away",
            )
        identity = known or Identity(os.urandom(SECRET_BYTES))
        identity.keep(key_file)
        return identity
    except OSError as fault:
        raise ConfigError(
            str(key_file), fault.strerror or str(fault), "correct its place or permissions"
        ) from fault


def _derive(secret: bytes, label: str) -> bytes:
    return hmac.digest(secret, f"vitalgate {label}".encode(), "sha256")


def _read(key_file: Path) -> bytes:
    status = key_file.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size != SECRET_BYTES:
        raise ConfigError(str(key_file), f"not a file of {SECRET_BYTES} bytes", "restore the key file")
    if status.st_mode & 0o077:
        raise ConfigError(str(key_file), "open to other users", f"chmod 600 {key_file}")
    return key_file.read_bytes()
