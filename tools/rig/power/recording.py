"""Records what a store writes and syncs, in this process: SQLite's files by its VFS, all others by Python's own calls.

Contract: within `recording` each write, truncation, sync, deletion and renaming in one directory becomes an entry, in
order, with its bytes; so does what a script tells. Nothing is changed by it. One recording at a time.

SQLite's methods of files are reached through the symbols that the library of `sqlcipher3` exports, and wrapped where
they stand in the table of its VFS: https://www.sqlite.org/c3ref/vfs.html, https://www.sqlite.org/c3ref/io_methods.html.
What SQLite does without a method of the VFS is entered as its source says: the directory is synced together with the
first sync of a log or journal that it made (os_unix.c, UNIXFILE_DIRSYNC).
"""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

from sqlcipher3 import _sqlite3 as library

_VFS: Final = b"unix-excl"
_OPEN_CREATE, _OPEN_LOGS = 0x4, 0x800 | 0x80000  # main journal, WAL
_OK: Final = 0
_METHODS: Final = 18


class Write(NamedTuple):
    """Bytes are written to a file; `file` numbers files, whatever they are called."""

    file: int
    at: int
    octets: bytes


class Truncate(NamedTuple):
    """A file is cut off."""

    file: int
    size: int


class Sync(NamedTuple):
    """A file is on the disk."""

    file: int


class Link(NamedTuple):
    """A name leads to this file from now on; None: to nothing."""

    name: str
    file: int | None


class SyncDirectory(NamedTuple):
    """All names are on the disk."""


class Told(NamedTuple):
    """What the script said."""

    line: str


Entry: TypeAlias = Write | Truncate | Sync | Link | SyncDirectory | Told


class _Vfs(ctypes.Structure):
    _fields_: ClassVar = [
        ("version", ctypes.c_int),
        ("file_size", ctypes.c_int),
        ("path_max", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("open", ctypes.c_void_p),
        ("delete", ctypes.c_void_p),
    ]


class _Methods(ctypes.Structure):
    _fields_: ClassVar = [("version", ctypes.c_int), ("all", ctypes.c_void_p * _METHODS)]


_CLOSE, _WRITE, _TRUNCATE, _SYNC = 0, 2, 3, 4
_INT, _PTR, _I64 = ctypes.c_int, ctypes.c_void_p, ctypes.c_int64
# Paths are addresses, because SQLite keeps them, and reads the parameters that it put behind them.
_OPEN_T = ctypes.CFUNCTYPE(_INT, _PTR, _PTR, _PTR, _INT, _PTR)
_DELETE_T = ctypes.CFUNCTYPE(_INT, _PTR, _PTR, _INT)
_METHOD_TYPES: Final = {
    _CLOSE: ctypes.CFUNCTYPE(_INT, _PTR),
    _WRITE: ctypes.CFUNCTYPE(_INT, _PTR, _PTR, _INT, _I64),
    _TRUNCATE: ctypes.CFUNCTYPE(_INT, _PTR, _I64),
    _SYNC: ctypes.CFUNCTYPE(_INT, _PTR, _INT),
}


class Recorder:
    """What was written in one directory so far: `entries`, and the files that were there at first."""

    def __init__(self, directory: Path) -> None:
        self.entries: list[Entry] = []
        self.before: dict[str, bytes] = {
            path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()
        }
        self._directory = directory
        self._names: dict[str, int] = {name: number for number, name in enumerate(self.before)}
        self._files = len(self._names)
        # Of SQLite: which file an open one is, and those whose first sync is one of the directory, too.
        self._open: dict[int, int] = {}
        self._unsynced_logs: set[int] = set()

    def tell(self, line: str) -> None:
        """The script says something."""
        self.entries.append(Told(line))

    def name_of(self, path: str) -> str | None:
        """The name of a path in the directory; None if it is not there."""
        parent, name = os.path.split(path)
        return name if parent == str(self._directory) else None

    def has(self, name: str | None) -> bool:
        """Whether the directory has this name now."""
        return name in self._names

    def created(self, name: str) -> int:
        """A name leads to a file that is new, or was there."""
        if name not in self._names:
            self._names[name] = self._files
            self.entries.append(Link(name, self._files))
            self._files += 1
        return self._names[name]

    def removed(self, name: str) -> None:
        if self._names.pop(name, None) is not None:
            self.entries.append(Link(name, None))

    def renamed(self, name: str, to: str) -> None:
        self.entries += [Link(to, self._names[name]), Link(name, None)]
        self._names[to] = self._names.pop(name)

    def synced(self, path: str) -> None:
        """Python syncs a file, of which all is written anew, or the directory."""
        if path == str(self._directory):
            self.entries.append(SyncDirectory())
        elif (name := self.name_of(path)) is not None:
            file = self.created(name)
            if not name.startswith("store.db") or name.endswith((".keycheck", ".damaged")):
                self.entries += [Truncate(file, 0), Write(file, 0, Path(path).read_bytes())]
            self.entries.append(Sync(file))

    def opened(self, handle: int, name: str, *, is_new_log: bool) -> None:
        self._open[handle] = self.created(name)
        if is_new_log:
            self._unsynced_logs.add(self._open[handle])

    def closed(self, handle: int) -> None:
        self._open.pop(handle, None)

    def wrote(self, handle: int, entry: Callable[[int], Entry]) -> None:
        """SQLite does something to an open file."""
        if handle not in self._open:
            return
        file = self._open[handle]
        made = entry(file)
        self.entries.append(made)
        if isinstance(made, Sync) and file in self._unsynced_logs:
            self._unsynced_logs.remove(file)
            self.entries.append(SyncDirectory())


class _Hooks:
    """The VFS with its table changed; put back by `close`."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        calls = ctypes.CDLL(library.__file__)
        calls.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        self._vfs = calls.sqlite3_vfs_find(_VFS).contents
        self._was = self._vfs.open, self._vfs.delete
        self._real_open, self._real_delete = _OPEN_T(self._was[0]), _DELETE_T(self._was[1])
        # What C calls must not be collected, nor may the tables of methods, of which SQLite keeps the addresses.
        self._kept: list[Any] = [_OPEN_T(self._on_open), _DELETE_T(self._on_delete)]
        self._tables: dict[int, _Methods] = {}
        self._vfs.open, self._vfs.delete = (ctypes.cast(hook, _PTR).value for hook in self._kept)

    def close(self) -> None:
        self._vfs.open, self._vfs.delete = self._was

    def _named(self, path: int | None) -> str | None:
        return None if path is None else self._recorder.name_of(os.fsdecode(ctypes.string_at(path)))

    def _on_open(self, vfs: int, path: int | None, handle: int, flags: int, out: int) -> int:
        name = self._named(path)
        is_new = bool(name and flags & _OPEN_CREATE) and not self._recorder.has(name)
        result = int(self._real_open(vfs, path, handle, flags, out))
        if result == _OK and name is not None:
            self._recorder.opened(handle, name, is_new_log=is_new and bool(flags & _OPEN_LOGS))
            methods = ctypes.cast(handle, ctypes.POINTER(_PTR))
            methods[0] = ctypes.addressof(self._wrapped(int(methods[0])))
        return result

    def _on_delete(self, vfs: int, path: int, sync: int) -> int:
        name = self._named(path)
        result = int(self._real_delete(vfs, path, sync))
        if result == _OK and name is not None:
            self._recorder.removed(name)
            if sync:
                self._recorder.entries.append(SyncDirectory())
        return result

    def _wrapped(self, address: int) -> _Methods:
        """The table of methods at an address, with ours in front of some."""
        if address not in self._tables:
            real = _Methods.from_address(address)
            table = _Methods(real.version, real.all)
            for number, form in _METHOD_TYPES.items():
                hook = form(self._hook(number, form(real.all[number])))
                self._kept.append(hook)
                table.all[number] = ctypes.cast(hook, _PTR).value
            self._tables[address] = table
        return self._tables[address]

    def _hook(self, number: int, real: Callable[..., int]) -> Callable[..., int]:
        recorder = self._recorder

        def write(handle: int, octets: int, count: int, at: int) -> int:
            content = ctypes.string_at(octets, count)
            recorder.wrote(handle, lambda file: Write(file, at, content))
            return int(real(handle, octets, count, at))

        def truncate(handle: int, size: int) -> int:
            recorder.wrote(handle, lambda file: Truncate(file, size))
            return int(real(handle, size))

        def sync(handle: int, flags: int) -> int:
            result = int(real(handle, flags))
            recorder.wrote(handle, Sync)
            return result

        def close(handle: int) -> int:
            recorder.closed(handle)
            return int(real(handle))

        hooks: dict[int, Callable[..., int]] = {
            _WRITE: write,
            _TRUNCATE: truncate,
            _SYNC: sync,
            _CLOSE: close,
        }
        return hooks[number]


_current: list[Recorder] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Python's own calls: https://docs.python.org/3/library/audit_events.html."""
    if not _current or event not in ("open", "os.remove", "os.rename"):
        return
    recorder = _current[0]
    path = arguments[0]
    name = recorder.name_of(os.fspath(path)) if isinstance(path, str | os.PathLike) else None
    if name is None:
        return
    if event == "open" and arguments[2] & os.O_CREAT:
        recorder.created(name)
    elif event == "os.remove":
        recorder.removed(name)
    elif event == "os.rename":
        to = recorder.name_of(os.fspath(arguments[1]))
        assert to is not None, f"{path} leaves the directory"
        recorder.renamed(name, to)


sys.addaudithook(_audit)


@contextmanager
def recording(directory: Path) -> Iterator[Recorder]:
    """Record what happens in a directory, which is there already; its path has no symbolic links."""
    assert not _current, "one recording at a time"
    recorder = Recorder(directory)
    hooks = _Hooks(recorder)
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        real_fsync(descriptor)
        recorder.synced(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    _current.append(recorder)
    os.fsync = fsync  # type: ignore[assignment]
    try:
        yield recorder
    finally:
        os.fsync = real_fsync
        _current.clear()
        hooks.close()
