"""What can go wrong with the bench itself, so that nobody blames the gateway or the scenario for it.

Contract: a file that has to be mended is a `ConfigError`; everything else that is the bench's fault is a `BenchError`.
Messages are one printable line.
"""

from edge.errors import one_line


class BenchError(Exception):
    """The bench has failed: nothing is said of the gateway."""

    def __init__(self, what: str, reason: str) -> None:
        self.what, self.reason = one_line(what), one_line(reason)
        super().__init__(f"{self.what}: {self.reason}")


class NothingFree(BenchError):  # noqa: N818 - a state of the bench, not a defect
    """Others hold what is wanted: try again later."""


class LeaseLost(BenchError):  # noqa: N818
    """This process was silent for too long: another one may hold what it held, and it must not go on."""


class DongleFailed(BenchError):  # noqa: N818
    """A dongle cannot be opened, or is gone."""


class GatewayUnreachable(BenchError):  # noqa: N818
    """The gateway under test does not answer on its socket, or a command that starts or ends it has failed."""
