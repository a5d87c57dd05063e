"""What all tests share: the mode of the kernels of `dsp`, which tests begin, and a last line about what could not be
tested.
"""

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Not the library that may lie beside the sources: what is tested does not depend on what was built before.
os.environ.setdefault("VITALGATE_KERNELS", "jit")
# How long an example takes says nothing on a machine that is slow or busy.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


# These files begin first, because they take longest: a worker runs whole files, and none is to be alone with a long one
# in the end. The first builds the library and compiles every kernel, so those that come later need not wait.
LONGEST = (
    "test_dsp_compiled.py",
    "test_system_schedules.py",
    "test_system_*.py",
    "test_edge_sensors_cgm_property.py",
    "test_dsp_modes.py",
    "test_edge_daemon_process.py",
    "test_edge_upstream_schedules.py",
    "test_protocols_fuzz.py",
    "test_tools_*.py",
)


def place(item: pytest.Item) -> int:
    """Of a test's file among the others."""
    fitting = (k for k, pattern in enumerate(LONGEST) if item.path.match(pattern))
    return next(fitting, len(LONGEST))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    from kernel_modes import leave_out  # it looks at the mode, which is set above

    leave_out(items)
    items.sort(key=place)


def pytest_collection_finish() -> None:
    """What was imported stays: the collector of garbage need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A gateway that has ended in this process ignores the signals that ended it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


UNTESTED = "not tested: "  # how the reason of such a skip begins


def untested(config: pytest.Config) -> Iterator[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    for report in reporter.stats.get("skipped", []) if reporter else []:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if UNTESTED in reason:
            yield reason.partition(": ")[2]


def pytest_unconfigure(config: pytest.Config) -> None:
    """The very last line, where nobody overlooks it."""
    if not hasattr(config, "workerinput"):
        for line in sorted(set(untested(config))):
            print(line)
