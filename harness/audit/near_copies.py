"""Items of a measure that are near copies of others, which intervals over items nevertheless take for independent."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

from harness.data.findings import Finding, Severity
from harness.evaluation.dependence import groups_of, joined
from harness.reading import beir, materials
from harness.reading.items import columns
from harness.stats.bootstrap import effective_number
from harness.testbeds.measure_kinds import Classification, Measure, PairClasses, Retrieval, Sts, Triplets
from harness.texts.groups import Groups
from harness.texts.near import THRESHOLD, join_near_duplicates
from harness.texts.normal import normalise, pair_keys

TOO_NARROW = 1.05
"""Factor by which an interval may be too narrow from which this is a warning; resampling itself moves it by less."""


def of_measure(measure: Measure, where: str) -> list[Finding]:
    """Return a finding if items of a measure are near copies of others that the bootstrap draws apart from them.

    Two items are near copies if their texts are, of a pair both of them; of queries and anchors, these alone count.

    Args:
        measure: the measure.
        where: the testbed, as findings name it.

    Raises:
        TestbedUnavailable: its data are missing.
        AuditFailed: its data have another form.
    """
    drawn, texts = drawn_together(measure)
    if not drawn:
        return []
    near = _near([*dict.fromkeys(text for item in texts for text in item)])
    together = joined(len(drawn), drawn, [tuple(sorted(near[text] for text in item)) for item in texts])
    sizes, sizes_together = Counter(drawn), Counter(together)
    copies = sum(sizes_together[new] > sizes[old] for old, new in zip(drawn, together, strict=True))
    if not copies:
        return []
    name, items, independent, different = measure.name, measure.items, *map(effective_number, (drawn, together))
    factor = math.sqrt(independent / different)
    severity: Severity = "warning" if factor > TOO_NARROW else "note"
    consequence = (
        f"the set says as much as {different:,.0f} {items} and not as {independent:,.0f}, and intervals are too narrow "
        f"by a factor of up to about {factor:.1f}. Keep one of each."
        if severity == "warning"
        else f"intervals are too narrow by less than {TOO_NARROW - 1:.0%}."
    )
    words = (
        f"{copies:,} of {len(drawn):,} {items} of {name} are near copies of others (similarity of at least "
        f"{THRESHOLD:g}), but intervals over {items} take them for independent evidence. If they are none, "
        + consequence
    )
    return [Finding(severity, where, f"near copies in {name}", copies, len(drawn), words)]


def drawn_together(measure: Measure) -> tuple[tuple[int, ...], Sequence[tuple[str, ...]]]:
    """Return the group in which each item is drawn, copies together, and its normalised texts; empty without texts."""
    where = f"measure {measure.name!r}"
    if isinstance(measure, Retrieval):
        found = beir.load(measure)
        relevant = [frozenset(found.relevant[id]) for id in found.query_ids]
        return _asked(found.queries, relevant)
    if isinstance(measure, Triplets):
        return _asked(columns(measure.source, (measure.anchor,), where)[0])
    items: Sequence[tuple[str, ...]] = ()
    if isinstance(measure, Sts):
        pairs = materials.load_sts(measure)
        items = pair_keys(pairs.sentence1, pairs.sentence2)
    elif isinstance(measure, PairClasses):
        items = pair_keys(*columns(measure.source, (measure.text1, measure.text2), where))
    elif isinstance(measure, Classification):
        items = [(normalise(text),) for text in columns(measure.test, (measure.text,), where)[0]]
    return joined(len(items), items), items


def _asked(texts: Sequence[str], *others: Sequence[Hashable]) -> tuple[tuple[int, ...], Sequence[tuple[str, ...]]]:
    return groups_of(texts, *others) or tuple(range(len(texts))), [(normalise(text),) for text in texts]


def _near(texts: Sequence[str]) -> dict[str, int]:
    """Return a number of each text that it shares with its near copies."""
    groups = Groups(len(texts))
    join_near_duplicates(groups, texts)
    return {text: groups.of(place) for place, text in enumerate(texts)}
