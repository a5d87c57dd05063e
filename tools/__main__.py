"""`python -P -m tools` is the command `vitalgate`."""

import signal

# Until there is something to be cleaned up, an interrupt ends the process as SIGTERM does.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from tools.cli import main as command  # noqa: E402


def main() -> None:
    """The command `vitalgate`, as it is installed."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command()


if __name__ == "__main__":
    main()
