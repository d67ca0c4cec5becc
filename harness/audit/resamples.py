"""Audit rules for intervals over items: gold answers that leave them undefined, and items that form too few groups."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from harness.audit.near_copies import drawn_together
from harness.data.findings import Finding
from harness.evaluation.dependence import groups_of_equal
from harness.reading import materials
from harness.reading.items import fault_of_pairs, labelled
from harness.stats.bootstrap import FEWEST
from harness.stats.defined import have_a_positive, have_two_values
from harness.stats.intervals import FEWEST_DECIDING
from harness.testbeds.measure_kinds import Measure, PairClasses, Retrieval, Sts, Triplets
from harness.text import counted
from harness.texts.normal import pair_keys


def of_measure(measure: Measure, where: str) -> list[Finding]:
    """Return findings on a measure whose claims cannot be judged over its items, or are about few kinds of them.

    Args:
        measure: the measure.
        where: the testbed, as findings name it.

    Raises:
        TestbedUnavailable: its data are missing.
        AuditFailed: its data have another form.
    """
    if isinstance(measure, PairClasses):
        return _of_labels(measure, where)
    if isinstance(measure, Sts):
        return _of_gold_scores(measure, where)
    return _of_groups(measure, where) if isinstance(measure, Retrieval | Triplets) else []


def _of_labels(measure: PairClasses, where: str) -> list[Finding]:
    """Return a warning if some resamples have no pair with the label 1."""
    names = (measure.text1, measure.text2)
    (left, right), labels = labelled(measure.source, names, measure.label, f"measure {measure.name!r}")
    if fault_of_pairs(labels) is not None:
        return []
    gold = [int(label) for label in labels]
    if have_a_positive(gold, _drawn(left, right)):
        return []
    words = (
        f"Only {sum(gold):,} of {len(gold):,} pairs of {measure.name} have the label 1, so some resamples of the pairs "
        "have none, and average precision is undefined in them: no claim about it can be judged. Add such pairs."
    )
    return [Finding("warning", where, f"rare label 1 in {measure.name}", sum(gold), len(gold), words)]


def _of_gold_scores(measure: Sts, where: str) -> list[Finding]:
    """Return a warning if all pairs of some resamples have the same gold score."""
    pairs = materials.load_sts(measure)
    most = max(Counter(pairs.gold).values(), default=0)
    if most == len(pairs.gold) or not all(map(math.isfinite, pairs.gold)):  # errors of another rule
        return []
    if have_two_values(pairs.gold, _drawn(pairs.sentence1, pairs.sentence2)):
        return []
    words = (
        f"{most:,} of {len(pairs.gold):,} pairs of {measure.name} have the same gold score, so all pairs of some "
        "resamples have it, and correlations are undefined in them: no claim about them can be judged. Add pairs with "
        "other scores."
    )
    return [Finding("warning", where, f"nearly constant scores of {measure.name}", most, len(pairs.gold), words)]


def _drawn(left: Sequence[str | None], right: Sequence[str | None]) -> tuple[int, ...]:
    """Return the group in which each pair is drawn; empty if each is drawn for itself."""
    groups = groups_of_equal(pair_keys(left, right))
    return groups if len(set(groups)) >= FEWEST else ()


def _of_groups(measure: Retrieval | Triplets, where: str) -> list[Finding]:
    """Return a warning if a measure has enough items to decide a claim, but too few groups of dependent ones."""
    together, _ = drawn_together(measure)
    items, groups = len(together), len(set(together))
    if not items >= FEWEST_DECIDING > groups:
        return []
    name, of = measure.name, measure.items
    why = "the same relevant documents, or questions of one template"
    if isinstance(measure, Triplets):
        why = "the same anchor, or anchors of one template"
    consequence = (
        f"too few to draw, so intervals are over single {of}: a claim is about further {of} of these groups only, and "
        "its interval is too narrow for others"
        if groups < FEWEST
        else f"and fewer than {FEWEST_DECIDING} that differ decide no comparison, even if all agree"
    )
    words = (
        f"The {items:,} {of} of {name} form only {counted(groups, 'group')} ({why}), {consequence}. "
        f"Add {of} of other kinds."
    )
    return [Finding("warning", where, f"few groups of {of} in {name}", groups, items, words)]
