"""Model cards: the type that the hub gives each kind of measure."""

from __future__ import annotations

from dataclasses import replace

import pytest
import synthetic

from harness.store.card import model_card


@pytest.mark.parametrize(
    ("scores", "task"),
    [
        (["spearman_cosine", "pearson_cosine"], "semantic-similarity"),
        (["ndcg@10", "mrr@10"], "information-retrieval"),
        (["quality"], "other"),
    ],
)
def test_a_measure_has_the_type_of_its_kind(scores: list[str], task: str) -> None:
    plan = synthetic.make(synthetic.make_ablation(["mnr"], expect=[], seeds=1, trials=1))
    record = next(run.record for run in plan.of("mnr", "final") if run.record is not None)
    card = str(model_card(replace(record, scores={f"my-test/{name}": 0.5 for name in scores})))
    assert f"  - task:\n      type: {task}\n" in card
