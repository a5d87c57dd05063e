"""The embedded upstream: whole files or none, and any trouble is a reason to try again."""

import asyncio
import os
from pathlib import Path

import pytest

from edge.errors import UpstreamUnavailable
from edge.upstream.files import FileUpstream


def send(upstream: FileUpstream, name: str, body: bytes) -> None:
    asyncio.run(upstream.send(name, body))


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_batch_is_a_file(tmp_path: Path) -> None:
    upstream = FileUpstream(tmp_path / "a" / "b")
    send(upstream, "one", b"{}")
    send(upstream, "two", b"[]")
    send(upstream, "one", b"{}")
    assert names(upstream.directory) == ["one.json", "two.json"]
    assert (upstream.directory / "one.json").read_bytes() == b"{}"
    assert (upstream.directory / "one.json").stat().st_mode & 0o007 == 0


def test_what_a_crash_left_behind_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / ".one.json.part").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("somebody else's")
    send(FileUpstream(tmp_path), "two", b"{}")
    assert names(tmp_path) == ["notes.txt", "two.json"]


@pytest.mark.parametrize("broken", ["fsync", "write", "rename"])
def test_a_failing_disk_leaves_what_was_there_and_can_be_tried_again(
    tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = FileUpstream(tmp_path)
    send(upstream, "one", b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if broken == "fsync":
            patch.setattr(os, "fsync", fail)
        elif broken == "rename":
            patch.setattr(Path, "rename", fail)
        else:
            patch.setattr(os, "fdopen", fail)
        with pytest.raises(UpstreamUnavailable, match=f"cannot write to {tmp_path}: No space left on device"):
            send(upstream, "one", b"new")
        with pytest.raises(UpstreamUnavailable):
            send(upstream, "two", b"{}")
    assert names(tmp_path) == ["one.json"]
    assert (tmp_path / "one.json").read_bytes() == b"old"
    send(upstream, "one", b"new")
    assert (tmp_path / "one.json").read_bytes() == b"new"


def test_a_directory_that_cannot_be_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UpstreamUnavailable, match="cannot write to"):
            send(FileUpstream(directory), "one", b"{}")


def test_a_directory_that_comes_back_is_used_again(tmp_path: Path) -> None:
    upstream = FileUpstream(tmp_path / "stick")
    send(upstream, "one", b"{}")
    upstream.directory.rename(tmp_path / "unplugged")
    with pytest.raises(UpstreamUnavailable, match="No such file"):
        send(upstream, "two", b"{}")
    (tmp_path / "unplugged").rename(upstream.directory)
    send(upstream, "two", b"{}")
    assert names(upstream.directory) == ["one.json", "two.json"]
