"""How a play went, and how often a scenario passes.

Contract: a play has passed if nothing was found. Else its verdict is whose fault the findings are, the weightiest of
them: who cannot trust the bench knows nothing of the product. Of several plays the rate is told with the interval of
Wilson's score at 95 %, and a scenario has passed if all of its plays have: one that passes when it is played again does
not make up for one that has not.

Not here: whose fault something is (`blame`), what is found (`expectations`, `run`).
"""

import math
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tools.rig.verdict.blame import Blame, Finding
from tools.rig.verdict.evidence import Evidence

PASSED: Final = "passed"
# Of the standard normal distribution, for 95 % on both sides.
Z: Final = 1.959963984540054


class Outcome(Struct, frozen=True, kw_only=True):
    """One play.

    Attributes:
        digest: of all that was seen: of two plays of one seed in virtual time it is the same.
        times: after how many seconds data came, by the moment from which that was measured.
        evidence: what is true beside what was told, if the play came so far.
    """

    seed: int
    findings: tuple[Finding, ...] = ()
    took_s: float = 0.0
    digest: str = ""
    times: dict[str, dict[str, float | None]] = {}
    evidence: Evidence | None = None

    @property
    def failures(self) -> list[str]:
        """What was wrong, a sentence each."""
        return [one.text for one in self.findings]

    @property
    def blame(self) -> Blame | None:
        """Whose fault it is that it has not passed."""
        return min((one.blame for one in self.findings), key=list(Blame).index, default=None)

    @property
    def verdict(self) -> str:
        """ "passed", or whose fault it is."""
        return self.blame or PASSED


def wilson(passed: int, played: int) -> tuple[float, float]:
    """Between which shares the true pass rate lies, with a confidence of 95 %.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if played == 0:
        return 0.0, 1.0
    share, spread = passed / played, Z * Z / played
    middle = share + spread / 2
    half = Z * math.sqrt(share * (1 - share) / played + spread / (4 * played))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def verdict_of(outcomes: Sequence[Outcome]) -> str:
    """ "passed" if all have; else the weightiest."""
    blames = [one.blame for one in outcomes if one.blame is not None]
    return min(blames, key=list(Blame).index, default=None) or PASSED
