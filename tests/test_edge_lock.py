"""One gateway per state directory, and a look at whether one runs that is in nobody's way."""

import os
import threading
from pathlib import Path

import pytest

from edge import lock as locking
from edge.errors import ConfigError
from edge.lock import is_locked, lock


def test_the_lock_is_one_gateways_until_it_lets_go(tmp_path: Path) -> None:
    state = tmp_path / "a" / "state"
    held = lock(state)
    assert state.stat().st_mode & 0o777 == 0o700
    with pytest.raises(ConfigError, match="a gateway is running on"):
        lock(state)
    os.close(held)
    os.close(lock(state))


def test_a_directory_that_cannot_be_made_is_the_operators(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(ConfigError, match=r"gateway\.state_dir"):
        lock(tmp_path / "state")


def test_whether_a_gateway_runs_is_seen_without_making_anything(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
    held = lock(tmp_path)
    assert is_locked(tmp_path)
    os.close(held)
    assert not is_locked(tmp_path)


def test_who_only_looks_keeps_no_gateway_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.close(lock(tmp_path))
    looking = os.open(tmp_path / locking.LOCK_NAME, os.O_RDONLY)
    assert locking._is_free(looking, locking.fcntl.LOCK_SH)
    pauses: list[float] = []

    def look_no_longer(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 2:
            os.close(looking)

    monkeypatch.setattr(locking.time, "sleep", look_no_longer)
    os.close(lock(tmp_path))
    assert len(pauses) == 2


def test_many_looks_at_once_see_the_same(tmp_path: Path) -> None:
    os.close(lock(tmp_path))
    seen: list[bool] = []
    threads = [threading.Thread(target=lambda: seen.append(is_locked(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [False] * 8
