"""Notes on a claim's evidence: which items differ and depend on each other, and what limits what the numbers say."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.stats import intervals
from harness.text import counted
from harness.verdicts.evidence import Evidence


def of_items(evidence: Evidence, alpha: float) -> list[str]:
    """Return notes about the items that differ, and the groups that they form if some depend on each other.

    Args:
        evidence: the evidence.
        alpha: the claim is judged at level 1 - alpha.
    """
    if evidence.resampled is None or evidence.items is None:
        return []
    items = _items(evidence)
    notes = [f"{evidence.differing:,} of {evidence.items:,} {items} differ."] if evidence.differing is not None else []
    if evidence.rare is not None and evidence.too_few(alpha):
        grouped = evidence.effective not in (None, evidence.items)
        units = f"groups of {items}" if grouped else items
        number = evidence.independent if grouped else evidence.items
        most = f"All but {evidence.rare.others:,} of {number:,}" if evidence.rare.others else f"All {number:,}"
        notes.append(
            f"{most} {units} have the same {'value' if evidence.differing is None else 'difference'}, so the interval "
            f"over {evidence.unit} has exact bounds (Clopper and Pearson, 1934): others may have any value."
        )
    if evidence.independent not in (None, evidence.items) and evidence.effective != evidence.items:
        notes.append(f"{_groups(evidence)}, which say as much as {evidence.effective:,.0f} of equal size.")
    return notes


def caveats(evidence: Evidence) -> list[str]:
    """Return notes about intervals that are too narrow, and about runs that belong to the verdict's reason."""
    notes = list(evidence.notes)
    if evidence.independent not in (None, evidence.items) and evidence.effective == evidence.items:
        notes.append(
            f"{_groups(evidence)}, too few to draw: the interval over {evidence.unit} is about further ones of the "
            "same kind only."
        )
    if evidence.identical:
        return notes
    sides = [side for side in (evidence.new, evidence.old) if side is not None]
    if not notes and evidence.seeds > 1 and any(_is_constant(side) for side in sides):
        notes.append(
            "All seeds of a study give the same value, so the interval over seeds is too narrow to describe new seeds."
        )
    return notes


def _groups(evidence: Evidence) -> str:
    """Say how many groups the items form, and why."""
    items = _items(evidence)
    equal = {
        "pairs": "equal pairs",
        "texts": "equal texts",
        "triplets": "the same anchor, or anchors of one template",
    }
    why = equal.get(items, "the same relevant documents, or questions of one template")
    return f"The {evidence.items:,} {items} form {counted(evidence.independent or 0, 'group')} ({why})"


def _items(evidence: Evidence) -> str:
    return evidence.unit.removeprefix("test ")


def _is_constant(values: Sequence[float] | intervals.Floats) -> bool:
    return math.isclose(min(values), max(values), abs_tol=1e-12)
