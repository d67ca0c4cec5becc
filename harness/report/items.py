"""Which items decide: how many queries, triplets or texts a study scores better than the untrained model, and which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.report import titles
from harness.report.facts import Facts, Row
from harness.report.tables import Table, named
from harness.text import escape, score, signed
from harness.verdicts.predictions import Predictions

LISTED = 20
"""Maximum number of items that are listed as most improved, and as most impaired."""

SAME = 5e-8
"""Values that differ by less are equal: they are stored with 7 decimals."""


@dataclass(frozen=True)
class Change:
    """The values of a study's items, and the untrained model's."""

    row: Row
    """The study."""
    ids: tuple[str, ...]
    """Names of the items."""
    before: np.ndarray
    """Values of the untrained model, shape (items,)."""
    after: np.ndarray
    """Means over the study's seeds, shape (items,)."""

    @property
    def gain(self) -> np.ndarray:
        difference: np.ndarray = self.after - self.before
        return difference


def changes(facts: Facts) -> list[Change]:
    """Return the changes of every study whose headline has values per item; those of pairs' correlations have none."""
    untrained = facts.untrained.finals.predictions.get(None)
    if untrained is None or not _named(untrained):
        return []
    found = []
    for row in facts.studies:
        predictions = list(row.finals.predictions.values())
        if predictions and all(each.items == untrained.items for each in predictions):
            after = np.mean([each.values for each in predictions], axis=0)
            found.append(Change(row, tuple(map(str, untrained.items)), np.asarray(untrained.values), after))
    return found


def _named(predictions: Predictions) -> bool:
    """Return whether the items have names and a value each; a pair's gold score is no name."""
    return all(isinstance(item, str) for item in predictions.items)


def section(facts: Facts) -> Iterable[str]:
    """Yield how many items each study improved, and those that the best study changed most; nothing without values."""
    all_changes = changes(facts)
    if not all_changes:
        return
    figure = titles.of_figure(facts.headline.partition("/")[2])
    yield f"## Which {facts.items} decide"
    header = ("study", facts.items, f"{figure} higher than untrained", "equal", "lower")
    yield Table(header, tuple(_counts(change) for change in all_changes)).markdown()
    complete = [change for change in all_changes if change.row.finals.complete] or all_changes
    best = max(complete, key=lambda change: float(change.after.mean()))
    yield (
        f"Counts compare the mean over final seeds with the untrained model. The {facts.items} whose {figure} "
        f"{escape(best.row.name)} changed most are listed by their ids."
    )
    for title, order in (
        ("most improved", np.argsort(-best.gain, kind="stable")),
        ("most impaired", np.argsort(best.gain)),
    ):
        worth = [place for place in order[:LISTED] if (best.gain[place] > SAME) == (title == "most improved")]
        worth = [place for place in worth if abs(best.gain[place]) > SAME]
        if worth:
            rows = tuple(
                (escape(best.ids[place]), score(best.before[place]), score(best.after[place]), signed(best.gain[place]))
                for place in worth
            )
            table = Table((facts.items, "untrained", escape(best.row.name), "change"), rows).markdown()
            yield f"<details><summary>The {len(rows)} {facts.items} {title}</summary>\n\n{table}\n\n</details>"


def _counts(change: Change) -> tuple[str, ...]:
    higher, lower = int((change.gain > SAME).sum()), int((change.gain < -SAME).sum())
    counts = (len(change.ids), higher, len(change.ids) - higher - lower, lower)
    return (named(change.row), *(f"{count:,}" for count in counts))
