"""What all tests share: the mode of the kernels of `dsp`, and a last line about what could not be tested."""

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
