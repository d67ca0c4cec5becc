"""Labels of NLI rows: read by name if they have names, else in GLUE's order, else refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import AuditFailed

if TYPE_CHECKING:
    from pandas import Series

ENTAILMENT, NEUTRAL, CONTRADICTION = 0, 1, 2

UNLABELLED = -1
"""GLUE's and SNLI's label of a pair on which annotators did not agree."""

NAMES = {
    **dict.fromkeys(("entailment", "entail", "entails", "entailed"), ENTAILMENT),
    **dict.fromkeys(("neutral",), NEUTRAL),
    **dict.fromkeys(("contradiction", "contradict", "contradicts", "contradictory"), CONTRADICTION),
    **dict.fromkeys(("-", "", "-1", "none", "no label", "unlabeled", "unlabelled"), UNLABELLED),
}
"""What names of labels mean, case and surrounding spaces aside."""

SHOWN = 10
"""Values that a refusal shows."""


def known(labels: Series[Any], names: Sequence[str], where: str) -> Series[Any]:
    """Return labels as 0 entailment, 1 neutral, 2 contradiction and -1 for none, nulls included.

    Args:
        labels: integers, whole floats or strings; null where there is none.
        names: meaning of integers by position; if there are none, or they are only numbers, GLUE's order is used.
        where: the data set, for messages.

    Raises:
        AuditFailed: a value has none of these meanings; the message has the values and how to fix it.
    """
    seen = labels[labels.notna()].drop_duplicates().tolist()
    positions = {} if all(name.strip().lstrip("-").isdigit() for name in names) else dict(enumerate(names))
    meaning = {value: _meaning(value, positions) for value in seen}
    unknown = [value for value, meant in meaning.items() if meant is None]
    if unknown:
        told = [repr(positions.get(value, value)) if isinstance(value, int) else repr(value) for value in seen]
        raise AuditFailed(
            f"{where}: column 'label' holds {', '.join(told[:SHOWN])}{', ...' if len(told) > SHOWN else ''}. Read are "
            "the names entailment, neutral and contradiction (of a ClassLabel, or as text), and integers without names "
            "as 0 entailment, 1 neutral, 2 contradiction, -1 no label. If the integers mean something else, say what, "
            'by position, "-" for none: sources.nli(..., labels=("-", "entailment", "neutral", "contradiction"))'
        )
    return labels.map(meaning).fillna(UNLABELLED).astype("int64")


def _meaning(value: object, names: dict[int, str]) -> int | None:
    if isinstance(value, str):
        return NAMES.get(value.strip().lower())
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        return None
    if value == UNLABELLED:
        return UNLABELLED
    if names:
        return NAMES.get(names[int(value)].strip().lower()) if int(value) in names else None
    return int(value) if ENTAILMENT <= value <= CONTRADICTION else None
