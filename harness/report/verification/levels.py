"""The levels of claims: those that Holm's correction gives, at each of repeated looks if seeds are added."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.report.verification.comparing import NUMBER, Compared, value
from harness.stats.repeated_looks import nominal

_ALPHA = 0.05
_MOST = 1000
"""More claims than a study file has, also with those that were withdrawn, which Holm's correction counts as well."""
_LOOKS = re.compile(
    r"Final seeds (?:are|were once) added one at a time while a verdict (?:is|was) inconclusive, up to (\d{1,3}); "
    r"(?:this design adds none, but )?verdicts may (?:be|have been) reached at any number of seeds from (\d{1,3}) on"
)


def of_claim(page: str, printed: str, samples: int) -> list[float]:
    """Return every level that Holm's correction can give and that is printed so; none if it gives no such level.

    Args:
        page: the text of README.md, which says at which numbers of seeds verdicts may have been reached.
        printed: the level as the table has it, in percent with four digits, e.g. "99.17 %".
        samples: 2 for a difference between two studies with independent seeds, else 1.
    """
    looks = _LOOKS.search(page)
    seeds = range(int(looks.group(2)), int(looks.group(1)) + 1) if looks else ()
    return [level for number in range(1, _MOST + 1) if _shown(level := _level(number, seeds, samples)) == printed]


def _level(number: int, seeds: Sequence[int], samples: int) -> float:
    """Return the level at which Holm's correction judges the strongest of `number` claims that are left."""
    return 1 - nominal(_ALPHA / number, seeds, samples)


def _shown(level: float) -> str:
    return f"{100 * level:.4g} %"


def strictest(printed: Sequence[str], claims: int) -> Iterator[Compared]:
    """Yield whether a claim is judged at least at the level that Holm's correction gives the strongest of all claims.

    Repeated looks only make levels stricter.
    """
    levels = [value(number) for text in printed for number in NUMBER.findall(text)]
    least = 100 * (1 - _ALPHA / claims)
    if levels and max(levels) < value(f"{least:.4g}"):
        yield Compared(0, f"Checks: {claims} claims have no level of {least:.4g} % or more, as Holm's correction gives")
