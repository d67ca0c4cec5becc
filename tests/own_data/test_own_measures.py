"""Measures of one's own, and of labels: what they may not do without a word."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from driven import driven
from own_words import answers
from sentence_transformers import SentenceTransformer

from harness import (
    Ablation,
    Budget,
    Point,
    Space,
    Study,
    Testbed,
    beats,
    choice,
    columns,
    keeps,
    log_uniform,
    losses,
    measures,
    sources,
)
from harness.api import audit, load, plan
from harness.compat import Pooling
from harness.store.items import Values
from harness.store.records import Record
from harness.verdicts.judge import judge

PAIRS = answers(60, 1)
TEXTS = [question for question, _ in PAIRS]
VERDICT = keeps("mnr", "untrained", figure="own/value", within=0.5)


def measured(model: SentenceTransformer, sign: float = 1.0) -> float:
    embedded = model.encode(TEXTS[:4])
    return sign * float(embedded.std()) / 100


@pytest.fixture(scope="module")
def base(hub_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "model"
    shutil.copytree(hub_root / "models" / "google-bert" / "bert-base-uncased", folder)
    return folder


def retrieval(seed: int, name: str) -> Any:
    rows = pd.DataFrame(answers(20, seed), columns=["q", "d"])
    return measures.retrieval(sources.frame(rows), name, query="q", document="d")


def declared(base: Path, *also: Any, expect: Any = (), **changes: Any) -> Ablation:
    rows = sources.frame(pd.DataFrame(PAIRS, columns=["q", "d"]))
    bed = Testbed("own", str(base), rows, retrieval(2, "dev"), retrieval(3, "test"), also)
    space = Space(batch_size=choice(8), lr=log_uniform(1e-4, 1e-2))
    study = Study("mnr", loss=losses.MultipleNegativesRankingLoss, view=columns("q", "d"))
    budget, default = Budget(trials=1, seeds=2), Point(8, 3e-3)
    bed = replace(bed, **changes)
    return Ablation("own", bed, [study], space, budget, expect=expect, default=default, precision="fp32")


def finals(store: Path) -> list[Record]:
    return [record for record in load(store).records() if record.stage != "tune"]


def test_an_edited_measure_is_scored_again(base: Path, tmp_path: Path) -> None:
    def of(sign: float) -> Ablation:
        return declared(base, measures.of(lambda model: measured(model, sign), "own"), expect=[VERDICT])

    driven(of(1.0), tmp_path / "store")
    before = {record.id: record.scores for record in finals(tmp_path / "store")}
    (judged,) = judge(plan(of(1.0), tmp_path / "store"))
    assert judged.difference
    driven(of(-1.0), tmp_path / "store")
    for record in finals(tmp_path / "store"):
        assert record.scores["own/value"] == pytest.approx(-before[record.id]["own/value"])
        assert record.scores["test/ndcg@10"] == before[record.id]["test/ndcg@10"]
    (verdict,) = judge(plan(of(-1.0), tmp_path / "store"))
    assert verdict.difference == pytest.approx(-judged.difference)


def shortened(model: Any) -> float:
    model.max_seq_length = 3
    return 0.0


def pooled_otherwise(model: Any) -> float:
    model[1] = Pooling(model[1].embedding_dimension, "cls")
    return 0.0


def without_weights(model: Any) -> float:
    for parameter in model.parameters():
        parameter.zero_()
    return 0.0


def test_a_measure_that_changes_its_model_changes_no_other_score(base: Path, tmp_path: Path) -> None:
    """Each of the sets has the texts of the test set, and is scored after one more measure that spoils the model."""
    spoiling = [shortened, pooled_otherwise, without_weights]
    also = [
        part for does in spoiling for part in (measures.of(does, does.__name__), retrieval(3, f"after-{does.__name__}"))
    ]
    driven(declared(base, *also), tmp_path)
    for record in finals(tmp_path):
        after = {does.__name__: record.scores[f"after-{does.__name__}/ndcg@10"] for does in spoiling}
        assert after == dict.fromkeys(after, record.scores["test/ndcg@10"])


def drawn(model: SentenceTransformer) -> dict[str, float]:
    chosen = random.sample(range(len(TEXTS)), 12)
    return {TEXTS[place]: float(model.encode(TEXTS[place]).mean()) / 100 for place in chosen}


def test_a_measure_that_draws_items_draws_the_same_for_every_model(base: Path, tmp_path: Path) -> None:
    random.seed(random.randrange(10**9))
    ablation = declared(base, test=measures.of(drawn, "own"), expect=[beats("mnr", "untrained")])
    driven(ablation, tmp_path / "store")
    ids = set()
    for record in finals(tmp_path / "store"):
        items = record.items["own"]
        assert isinstance(items, Values)
        ids.add(items.ids)
    assert len(ids) == 1
    assert judge(plan(ablation, tmp_path / "store"))[0].over_items is not None


def giving(value: Any) -> Callable[[Any], Any]:
    return lambda model: value


def test_what_is_no_score_is_said_on_the_terminal_and_in_the_record(base: Path, tmp_path: Path) -> None:
    wrong = {"high": (14.25, "between -1 and 1"), "lost": (float("nan"), "finite"), "text": ("a", "a number")}
    also = [measures.of(giving(value), name) for name, (value, _) in wrong.items()]
    told = driven(declared(base, *also), tmp_path / "store").splitlines()
    for name, (_, words) in wrong.items():
        assert any(f"no score by {name}: " in line and words in line for line in told), told
    assert all(set(wrong) <= set(record.missing) for record in finals(tmp_path / "store"))


def labelled(texts: list[str]) -> sources.Source:
    return sources.frame(pd.DataFrame({"text": texts, "label": [n % 2 for n in range(len(texts))]}))


def test_a_classifier_is_not_scored_on_what_it_or_a_study_was_fitted_on(base: Path, tmp_path: Path) -> None:
    one, other = TEXTS[:30], TEXTS[30:]
    dev = measures.classification(labelled(one), labelled(other[:15]), "dev")
    test = measures.classification(labelled(one), labelled([*other[15:], one[0]]), "test")
    found = audit(declared(base, dev=dev, test=test), tmp_path / "a").of("error")
    assert "texts of test in its own training texts" in {finding.what for finding in found}

    test = measures.classification(labelled(one), labelled(other[15:]), "test")
    alone = declared(base, dev=dev, test=test, source=labelled(TEXTS))
    view = columns("text", label="label")
    study = Study("all", loss=losses.BatchAllTripletLoss, view=view, sampler="group_by_label")
    found = audit(replace(alone, studies=[study]), tmp_path / "b").of("error")
    named = {f"labelled texts of {name} in the training rows" for name in ("dev", "test")}
    assert named <= {each.what for each in found}
    good = replace(alone, studies=[study], testbed=replace(alone.testbed, source=labelled(one)))
    assert not audit(good, tmp_path / "c").of("error")
