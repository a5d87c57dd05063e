"""Whether the signal processing can be called: not while its kernels are being compiled for the first time.

Contract: who calls kernels on the event loop, or in a thread that others wait for, asks here first. Otherwise the call
would wait for the compiler: seconds, on a small machine minutes. What has come until then waits in memory. Which
kernels there are is not known here.
"""

from collections.abc import Callable


class KernelsReady:
    """Becomes ready once, and stays so."""

    def __init__(self, *, is_ready: bool = True) -> None:
        self.is_ready = is_ready
        self._waiting: list[Callable[[], None]] = []

    def when(self, call: Callable[[], None]) -> None:
        """Make the call when they are ready: at once if they are."""
        if self.is_ready:
            call()
        else:
            self._waiting.append(call)

    def set(self) -> None:
        """They are ready."""
        self.is_ready = True
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()
