"""How every command behaves on a terminal and in a pipe, whatever it does.

Contract: `-h` is `--help`; help names no type of an option that takes no value. What the user has to mend is one line
on stderr, never a traceback: exit code 2 for the call or the configuration, 1 for what failed, 130 after an interrupt.
A reader that has seen enough, such as `head`, is no failure.

Not here: any command.
"""

import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from json import dumps
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from edge.errors import ConfigError, one_line

INTERRUPTED = 130
_UNITS_S: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}

# Options that several commands have.
ConfigFile = Annotated[
    Path,
    typer.Option(
        "--config",
        help="The gateway's TOML file.",
        envvar="VITALGATE_CONFIG",
        metavar="FILE",
        readable=False,  # click need not look: whoever opens it says in one line what is wrong
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]


def _with_plain_flags(params: list[Any]) -> list[Any]:
    """Flags without a type in the help. One that is not given is False: to understand None typer loads pydantic."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
            param.default = param.default or False
    return params


@contextmanager
def _calls_in_one_line() -> Iterator[None]:
    """A call with a word too many, too few or misspelt is told in one line, as everything else is."""
    try:
        yield
    except TyperException as error:
        words, context = str(getattr(error, "format_message", error.__str__)()), getattr(error, "ctx", None)
        if context is None or "\n" in words:  # that is the help, for who types no argument at all
            raise
        words = words.rstrip(".")
        fail(f"{words[:1].lower()}{words[1:]}; `{context.command_path} --help` shows how it is called", 2)


class _Failed(typer.Exit):
    """The end of a command that has said why."""


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _with_plain_flags(super().get_params(ctx))


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _with_plain_flags(super().get_params(ctx))

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _calls_in_one_line():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _calls_in_one_line():  # the command that was called has its arguments read here
            return super().invoke(ctx)


class Commands(typer.Typer):
    """A group of commands that all behave as said above."""

    def __init__(self, **options: Any) -> None:
        names = {"help_option_names": ["-h", "--help"]}
        super().__init__(
            cls=_Group,
            no_args_is_help=True,
            pretty_exceptions_enable=False,
            context_settings=names,
            **options,
        )

    def command(self, *names: Any, **options: Any) -> Callable[[Any], Any]:
        return super().command(*names, cls=_Command, **options)


def main(app: typer.Typer, name: str) -> NoReturn:
    """Run the command that was typed, and exit."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            app(prog_name=name)
        finally:
            print(end="", flush=True)
    except (SystemExit, OSError) as end:
        behind = list(_contexts(end))
        if any(isinstance(error, BrokenPipeError) for error in behind):
            _stop_writing()
            sys.exit(0)
        if isinstance(end, OSError):
            _stop_writing()
            print(f"vitalgate: {one_line(str(end))}", file=sys.stderr)
            sys.exit(1)
        is_told = any(isinstance(error, _Failed) for error in behind)
        if not is_told and any(isinstance(error, KeyboardInterrupt) for error in behind):
            print("vitalgate: interrupted", file=sys.stderr)
        raise
    sys.exit(0)


def _contexts(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what was being handled when it was raised."""
    while error is not None:
        yield error
        error = error.__context__


def _stop_writing() -> None:
    """What is still buffered would fail once more when the interpreter ends."""
    if sys.__stdout__ is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What the user has to mend is one line on stderr, never a traceback."""
    from edge.errors import StoreCorrupt, StoreUnavailable

    groups: list[BaseException] = []
    try:
        try:
            yield
        except SystemError as error:  # what a compiled kernel makes of an interrupt
            if not isinstance(error.__cause__, KeyboardInterrupt):
                raise
            raise error.__cause__ from None
        except OSError as error:
            if error.filename is None:  # what cannot be written to stdout is told by `main`
                raise
            what = error.strerror or str(error)
            raise ConfigError(str(error.filename), what, "name another file or directory") from error
    except* (ConfigError, StoreCorrupt, StoreUnavailable, KeyboardInterrupt) as group:
        groups.append(group)
    if groups:
        from edge.daemon import leaves

        problem = next(leaves(groups[0]))
        if isinstance(problem, KeyboardInterrupt):
            fail("interrupted", INTERRUPTED)
        fail(str(problem), 2 if isinstance(problem, ConfigError) else 1)


def fail(line: str, code: int) -> NoReturn:
    print(f"vitalgate: {line}", file=sys.stderr)
    raise _Failed(code)


def length_s(option: str, length: str, longest_h: float) -> float:
    """A length of time such as 30min or 2h, in seconds. Raises ConfigError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|h)", length, re.ASCII)
    seconds = float(found[1]) * _UNITS_S[found[2]] if found else 0.0
    if not 0.0 < seconds <= longest_h * 3600.0:
        what = f"{length!r} is not a length of time up to {longest_h:g}h"
        raise ConfigError(option, what, "write it like 30min or 2h")
    return seconds


def own_command() -> str:
    """What a shell in this directory runs this command by: nobody has to have it on the PATH."""
    script = Path(sys.executable).with_name("vitalgate")
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -P -m tools"
    here = Path.cwd()
    return shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))


def print_json(document: Any) -> None:
    """In ASCII, which every terminal and every pipe takes."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(document), indent=1).decode()
    print(re.sub(r"[^\x00-\x7f]+", lambda words: dumps(words[0])[1:-1], text))


@contextmanager
def ended_by_interrupt() -> Iterator[None]:
    """Ctrl-C amid compiled code ends the process at once: an exception that is raised there can crash it."""

    def end(*_: object) -> None:
        os.write(2, b"vitalgate: interrupted\n")
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
