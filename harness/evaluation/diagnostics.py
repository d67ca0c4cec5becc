"""Diagnostics of an embedding space: alignment, uniformity, mean cosine, effective rank. Only numpy.

They are computed on the dev set's sentences, so that no test set is used; no verdict rests on them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ALIKE = 0.8
"""Gold score (0 to 1) from which a pair counts as positive: SimCSE takes STSB pairs of 4 of 5 and above."""

MOST = 4096
"""Maximum number of distinct sentences that are compared with one another; of more, an evenly spaced subset is used."""


def geometry(left: np.ndarray, right: np.ndarray, gold: Sequence[float]) -> dict[str, float]:
    """Describe the space in which the pairs of an STS set lie.

    Args:
        left, right: embeddings of each pair's sentences, shape (pairs, dimension), each row of length 1.
        gold: each pair's score, 0 to 1.

    Returns:
        `alignment`: mean squared distance of positive pairs, 0 to 4, smaller is closer (Wang and Isola 2020, eq. 1 with
            alpha 2); left out where no pair is positive.
        `uniformity`: log of the mean of exp(-2 d^2) over all pairs of distinct embeddings, -8 to 0, smaller is more
            evenly spread (Wang and Isola 2020, eq. 2 with t 2).
        `anisotropy`: mean cosine of distinct embeddings, 0 where directions balance (Ethayarajh 2019).
        `effective_rank`: the dimensions that the centred embeddings spread over, 1 to dimension: exp of the entropy of
            their normalised singular values (Roy and Vetterli 2007).
    """
    figures = {}
    positive = np.asarray(gold) >= ALIKE
    if positive.any():
        figures["alignment"] = float(np.square(left[positive] - right[positive]).sum(axis=1).mean())
    points = np.unique(np.concatenate([left, right]), axis=0)
    if len(points) > MOST:
        points = points[np.linspace(0, len(points) - 1, MOST).astype(int)]
    if len(points) < 2:
        return figures
    cosines = (points @ points.T)[np.triu_indices(len(points), k=1)].astype(np.float64)
    figures["uniformity"] = float(np.log(np.exp(4 * cosines - 4).mean()))  # d^2 = 2 - 2 cos
    figures["anisotropy"] = float(cosines.mean())
    spectrum = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    share = spectrum[spectrum > 0] / spectrum.sum()
    figures["effective_rank"] = float(np.exp(-(share * np.log(share)).sum()))
    return {name: value for name, value in figures.items() if np.isfinite(value)}
