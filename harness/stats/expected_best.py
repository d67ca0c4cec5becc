"""Expected best score of k trials, independent of their order (Tang et al., 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence


def expected_best(scores: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return the mean, over all subsets of k of n tried points, of the best score in the subset, for k from 1 to n.

    The unbiased estimator of Tang et al. (2020, "Showing Your Work Doesn't Always Work", ACL): with the scores sorted,
    x(1) to x(n), it is the sum over i of C(i - 1, k - 1) / C(n, k) x(i), as x(i) is the best of a subset exactly when
    the other k - 1 points are among the i - 1 below it. For points drawn independently it estimates the best of k
    draws without bias. For any points it is the exact mean over their subsets, and the harness interprets it as such.

    Args:
        scores: the scores of n tried points, in any order and any unit; None for a point without a score, because its
            run failed, diverged or ran out of memory.

    Returns:
        n means in the same unit; None for each k for which some subset has no score.
    """
    present = sorted(score for score in scores if score is not None)
    n, without = len(scores), len(scores) - len(present)
    means: list[float | None] = []
    for k in range(1, n + 1):
        if k <= without:
            means.append(None)
            continue
        subsets = math.comb(n, k)  # exact integers: their ratio is rounded once
        shares = (math.comb(without + i, k - 1) / subsets for i in range(len(present)))
        means.append(math.fsum(share * score for share, score in zip(shares, present, strict=True)))
    return tuple(means)
