"""Whose fault it is that a play has not passed: the product's, the bench's, the scenario's or the infrastructure's.

    what was raised                                        where              whose
    -------------------------------------------------------|------------------|----------------
    ConfigError about the installation or a missing kernel | anywhere         | infrastructure
    any other ConfigError                                  | anywhere         | scenario
    MemoryError, a missing package, a worker that died     | anywhere         | infrastructure
    OSError of a full, broken or forbidden disk            | not in a gateway | infrastructure
    BenchError, GuestError, ...: an error of the rig's own | anywhere         | bench
    what the world may do: OSError, an error of bleak      | under a gateway  | product
    an error of programming                                | in hw_sim, tools | bench
    an error of programming                                | in the product   | product
    the gateway is not done in its time                    | anywhere         | product

Contract: `blame` looks at the type of an error and at the innermost of our own functions that it went through. Of a
group the weightiest counts. If the infrastructure is at fault nothing can be said of the bench, and so on in the order
of `Blame`.
"""

import errno
import traceback
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from edge.errors import ConfigError
from tools.rig.home.machine import GatewayEnded, NotSettled


class Blame(StrEnum):
    """Whose fault it is, the weightiest first."""

    INFRASTRUCTURE = "infrastructure"
    BENCH = "bench"
    SCENARIO = "scenario"
    PRODUCT = "product"


class Finding(NamedTuple):
    """What is wrong, in a sentence, and whose fault it is."""

    blame: Blame
    text: str


ROOT: Final = Path(__file__).parents[3]
PRODUCT: Final = ("edge", "protocols", "dsp")
RIG: Final = ("hw_sim", "tools")
PROGRAMMING: Final = (AssertionError, TypeError, AttributeError, LookupError, NameError, ArithmeticError)
HOST: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EIO,
        errno.ENOMEM,
        errno.EMFILE,
        errno.ENFILE,
        errno.EACCES,
        errno.EPERM,
    }
)
# Of the keys that a ConfigError names.
MACHINE: Final = ("installation", "the real Bluetooth", "this machine")


def blame(error: BaseException) -> Blame:
    """Whose fault an error is."""
    return min((_of_one(one) for one in _leaves(error)), key=list(Blame).index)


def finding(error: BaseException, where: str = "") -> Finding:
    """An error as a finding."""
    said = error.message if isinstance(error, GatewayEnded) else "; ".join(map(_said, _leaves(error)))
    return Finding(blame(error), f"{said}{where}")


def _said(error: BaseException) -> str:
    if isinstance(error, ConfigError | NotSettled):
        return str(error)
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def _of_one(error: BaseException) -> Blame:
    packages = list(_packages(error))
    match error:
        case ConfigError():
            return Blame.INFRASTRUCTURE if error.key.startswith(MACHINE) else Blame.SCENARIO
        case NotSettled():
            return Blame.PRODUCT
        case MemoryError() | ModuleNotFoundError() | BrokenProcessPool():
            return Blame.INFRASTRUCTURE
        case OSError() if error.errno in HOST and not set(packages) & set(PRODUCT):
            return Blame.INFRASTRUCTURE
    if type(error).__module__.split(".")[0] in RIG:
        return Blame.BENCH
    is_ours = isinstance(error, PROGRAMMING)
    if is_ours or not set(packages) & set(PRODUCT):
        return Blame.PRODUCT if packages and packages[-1] in PRODUCT else Blame.BENCH
    return Blame.PRODUCT


def _packages(error: BaseException) -> Iterator[str]:
    """Our own packages that an error went through, the innermost last."""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if path.is_relative_to(ROOT):
            package = path.relative_to(ROOT).parts[0]
            if package in (*PRODUCT, *RIG):
                yield package
