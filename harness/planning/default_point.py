"""Whether the default point of a study lies in its space: it is tried first, wherever it lies."""

from __future__ import annotations

from collections.abc import Collection

from harness.spec.ablation import Ablation
from harness.spec.space import outside


def outside_notes(ablation: Ablation, studies: Collection[str]) -> list[str]:
    """Return a line for the studies whose default points lie outside the space in the same way.

    Args:
        ablation: the ablation.
        studies: names of the studies that are looked at.
    """
    names: dict[str, list[str]] = {}
    for study in ablation.studies:
        point = ablation.default_point(study).as_dict()
        reasons = {name: outside(dimension, point[name]) for name, dimension in ablation.dimensions(study).items()}
        words = "; ".join(f"{name} {point[name]} is {why}" for name, why in reasons.items() if why)
        if words and study.name in studies:
            names.setdefault(words, []).append(study.name)
    return [
        f"{', '.join(alike)}: of the default point, which is tried first and may be the best one, {words}; to search "
        "around it, widen the space, or give a default= that the space holds"
        for words, alike in names.items()
    ]
