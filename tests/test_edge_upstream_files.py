"""The route of files: whole files or none, off the loop, and any trouble is a reason to try again."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from edge import durable
from edge.errors import ConfigError, UpstreamUnavailable
from edge.upstream import files
from edge.upstream.routes import ROUTES
from edge.workers import InlineWorker, ThreadWorker


class FileUpstream(files.FileUpstream):
    """Its disk is waited for at once."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, InlineWorker())


def send(upstream: files.FileUpstream, name: str, body: bytes) -> None:
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
    for others in ("notes.txt", ".notes.txt.part", "one.json.part"):
        (tmp_path / others).write_text("somebody else's")
    send(FileUpstream(tmp_path), "two", b"{}")
    assert names(tmp_path) == [".notes.txt.part", "notes.txt", "one.json.part", "two.json"]


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


def test_what_a_stick_that_was_pulled_out_left_behind_is_swept_away_when_it_is_back(tmp_path: Path) -> None:
    upstream = FileUpstream(tmp_path / "stick")
    send(upstream, "one", b"{}")
    upstream.directory.rename(tmp_path / "unplugged")
    with pytest.raises(UpstreamUnavailable):
        send(upstream, "two", b"{}")
    (tmp_path / "unplugged" / ".two.json.part").write_bytes(b"half")
    (tmp_path / "unplugged").rename(upstream.directory)
    send(upstream, "three", b"{}")
    assert names(upstream.directory) == ["one.json", "three.json"]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/fhir",
        "http://[::1]:8080/a",
        "mqtts://broker/x",
        "file:///srv/out",
        "s3://bucket/a",
    ],
)
def test_a_url_is_no_directory(tmp_path: Path, url: str) -> None:
    # As the configuration makes a path of it.
    with pytest.raises(ConfigError) as refused:
        FileUpstream(tmp_path / url if not url.startswith("/") else Path(url))
    assert refused.value.key == "upstream.directory"
    assert "is a URL" in refused.value.reason
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["http", "a:b/c", "C:", "https:", "10:30/out", "x.y-z"])
def test_an_odd_name_is_a_directory(tmp_path: Path, name: str) -> None:
    send(FileUpstream(tmp_path / name), "one", b"{}")
    assert names(tmp_path / name) == ["one.json"]


def test_the_loop_does_not_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_disk, write_whole = threading.Event(), durable.write

    def write(path: Path, content: bytes, mode: int) -> None:
        assert threading.current_thread() is not threading.main_thread()
        assert on_disk.wait(10.0)
        write_whole(path, content, mode)

    monkeypatch.setattr(durable, "write", write)
    worker = ThreadWorker("files")

    async def scene() -> None:
        sending = asyncio.ensure_future(files.FileUpstream(tmp_path, worker).send("one", b"{}"))
        for _ in range(3):
            await asyncio.sleep(0)  # the loop goes on
        assert not sending.done()
        on_disk.set()
        await sending

    asyncio.run(scene())
    worker.close()
    assert names(tmp_path) == ["one.json"]


def test_its_route_is_one_of_the_routes(tmp_path: Path) -> None:
    assert (FileUpstream(tmp_path).route,) == ROUTES
