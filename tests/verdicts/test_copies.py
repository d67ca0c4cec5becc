"""Copies of test pairs are no further evidence: a repeated set has the interval and the verdict of the set itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
import synthetic

from harness.planning.plan import PlannedRun
from harness.scores import HEADLINE
from harness.spec.expectations import beats
from harness.spec.study import UNTRAINED
from harness.stats import intervals
from harness.store.items import Pairs
from harness.store.records import Record
from harness.verdicts.judge import judge
from harness.verdicts.rules import Verdict

TEST = HEADLINE.partition("/")[0]
PAIRS = 30


def verdict(copies: int, *, grouped: bool, pairs: int = PAIRS) -> Verdict:
    """Return the verdict on a small gain over the untrained model, scored on pairs that are repeated."""

    def change(run: PlannedRun, record: Record) -> Record:
        if TEST not in record.items:
            return record
        quality = 0.8 if run.study == UNTRAINED else 0.84 + 0.003 * (run.seed or 0)
        known = synthetic.predictions(quality, run.study, pairs)
        groups = tuple(range(pairs)) * copies if grouped else ()
        repeated = Pairs(known.gold * copies, known.cosine * copies, groups)
        score = intervals.spearman(repeated.gold, repeated.cosine)
        return replace(record, items={**record.items, TEST: repeated}, scores={**record.scores, HEADLINE: score})

    ablation = synthetic.make_ablation(("mnr",), trials=1, expect=[beats("mnr", UNTRAINED)])
    (found,) = judge(synthetic.make(ablation, change=change))
    return found


def test_a_repeated_set_is_judged_as_the_set_itself() -> None:
    once, grouped, single = (verdict(1, grouped=False), verdict(50, grouped=True), verdict(50, grouped=False))
    assert (once.verdict, grouped.verdict, single.verdict) == ("inconclusive", "inconclusive", "holds")
    assert once.over_items is not None
    assert grouped.over_items is not None
    assert [grouped.over_items.low, grouped.over_items.high] == pytest.approx(
        [once.over_items.low, once.over_items.high], abs=2e-3
    )
    assert f"The 1,500 pairs form {PAIRS} groups (equal pairs)" in grouped.reason
    assert "groups" not in once.reason + single.reason


def test_copies_of_two_pairs_are_not_judged() -> None:
    few = verdict(20, grouped=True, pairs=2)
    assert few.verdict == "incomplete"
    assert "has predictions for 2 different items" in few.reason
