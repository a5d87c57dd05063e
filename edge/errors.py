"""What can go wrong in the gateway, each type naming who has to act.

`protocols.errors.DecodeError` (a sensor sent nonsense) belongs to its package; `edge.radio.diagnosis` explains what
bleak raises. Each message is one printable line, fit for log, status document and terminal. No error is handled here.
"""

from edge.radio.trouble import Trouble


class ConfigError(Exception):
    """The operator has to change something before the gateway can start."""

    def __init__(self, key: str, reason: str, remedy: str) -> None:
        self.key, self.reason, self.remedy = one_line(key), one_line(reason), one_line(remedy)
        super().__init__(f"{self.key}: {self.reason}; {self.remedy}")


class _ReasonedError(Exception):
    def __init__(self, reason: str) -> None:
        self.reason = one_line(reason)
        super().__init__(self.reason)


class SensorLost(_ReasonedError):  # noqa: N818 - a state of the radio, not a defect
    """The link is lost, silent or useless: back off and connect again."""

    def __init__(self, reason: str, trouble: Trouble = Trouble.NO_ANSWER) -> None:
        super().__init__(reason)
        self.trouble = trouble


class StoreCorrupt(_ReasonedError):  # noqa: N818
    """The database is damaged, or looks so: stop; the next start looks at all of it, and sets it aside if it is."""


class StoreGone(_ReasonedError):  # noqa: N818
    """The database was deleted or replaced while it was in use: begin a new one."""


class StoreUnavailable(_ReasonedError):  # noqa: N818
    """The database is whole but cannot be used now (disk full, I/O error, locked, no permission)."""


class UpstreamUnavailable(_ReasonedError):  # noqa: N818
    """The upstream could not be reached: send the same bytes again later."""


class UpstreamRejected(_ReasonedError):  # noqa: N818
    """The upstream read the batch and refused it: sending it again would change nothing."""


class Undelivered(_ReasonedError):  # noqa: N818
    """A channel could not tell an alert: try again later."""


def one_line(text: str) -> str:
    """Escape what would break a line or a terminal, and cut what is too long: parts come from files and peers."""
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return line if len(line) <= 400 else line[:399] + "…"
