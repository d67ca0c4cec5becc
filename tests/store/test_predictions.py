"""Predictions in records: pairs and values come back as they were, and others are refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from harness.errors import DamagedRecord
from harness.scores import HEADLINE, OBJECTIVE
from harness.store.items import Pairs, Values
from harness.store.records import HEAD, Record, completed

RECORD = Record(
    id="a" * 32,
    study="mnr",
    stage="final",
    seed=1,
    point=None,
    trial=None,
    outcome="ok",
    objective="questions-dev/mrr@10",
    headline="questions-test/ndcg@10",
    scores={"questions-dev/mrr@10": 0.4, "questions-test/ndcg@10": 0.5, "questions-test/mrr@10": 0.75},
    items={
        "questions-test": Values(("q1", "\u00fc \u2028 2"), {"ndcg@10": (0.25, 0.75), "mrr@10": (0.5, 1.0)}),
        "nothing": Values((), {"value": ()}),
        "pairs": Pairs((0.0, 1.0), (0.125, -1.0)),
        "equal pairs": Pairs((0.0, 1.0, 1.0), (0.125, -1.0, -1.0), (0, 1, 1)),
    },
)


def changed(**parts: Any) -> str:
    """The text of a record whose JSON was changed, with the checksum of the changed one."""
    plain = {**json.loads(RECORD.to_json())["record"], **parts}
    body = json.dumps(plain, ensure_ascii=False)
    digest = hashlib.sha256(body.encode()).hexdigest()
    return f'{HEAD}{body}, "sha256": "{digest}"}}\n'


def test_a_record_with_values_of_items_comes_back_as_it_was() -> None:
    assert Record.from_json(RECORD.to_json(), "here") == RECORD
    assert (RECORD.dev_score, RECORD.test_score) == (0.4, 0.5)
    assert Record.from_json(changed(), "here") == RECORD, "`changed` without a change is none"


def values(**parts: Any) -> dict[str, Any]:
    return {"ids": ["q1", "q2"], "by_figure": {"mrr@10": [0.5, 1.0]}, **parts}


DAMAGED: dict[str, dict[str, Any]] = {
    "a value too few": values(by_figure={"mrr@10": [0.5]}),
    "a value too many": values(by_figure={"mrr@10": [0.5, 1.0, 0.0]}),
    "one figure of another length": values(by_figure={"a": [0.5, 1.0], "b": [0.5]}),
    "a name too few": values(ids=["q1"]),
    "a text": values(by_figure={"mrr@10": [0.5, "1"]}),
    "a truth": values(by_figure={"mrr@10": [0.5, True]}),
    "not a number": values(by_figure={"mrr@10": [0.5, float("nan")]}),
    "infinite": values(by_figure={"mrr@10": [0.5, float("inf")]}),
    "no names": {"by_figure": {"mrr@10": [0.5, 1.0]}},
    "no values": {"ids": ["q1", "q2"]},
    "a list of figures": values(by_figure=[[0.5, 1.0]]),
    "a cosine that is missing": {"gold": [0.5]},
    "a group that is missing": {"gold": [0.5, 1.0], "cosine": [0.5, 1.0], "groups": [0]},
    "a group that is no number": {"gold": [0.5], "cosine": [0.5], "groups": ["0"]},
}


@pytest.mark.parametrize("case", DAMAGED)
def test_predictions_of_another_form_are_damage(case: str) -> None:
    with pytest.raises(DamagedRecord, match="here: damaged record"):
        Record.from_json(changed(items={"questions-test": DAMAGED[case]}), "here")


def test_a_record_of_the_store_before_has_its_pairs_and_the_two_sts_sets() -> None:
    plain = json.loads(RECORD.to_json())["record"]
    for name in ("items", "objective", "headline"):
        del plain[name]
    plain |= {
        "pairs": {"stsb-test": {"gold": [0.0, 1.0], "cosine": [0.5, 0.25]}},
        "scores": {OBJECTIVE: 0.7, HEADLINE: 0.6},
    }
    body = json.dumps(plain)
    found = Record.from_json(f'{HEAD}{body}, "sha256": "{hashlib.sha256(body.encode()).hexdigest()}"}}', "here")

    assert found.items == {"stsb-test": Pairs((0.0, 1.0), (0.5, 0.25))}
    assert (found.dev_score, found.test_score) == (0.7, 0.6)


def of_measures(**contents: str) -> Record:
    """A finished run with a score of each measure, and a record of which content it is."""
    scores = {**RECORD.scores, **{f"{name}/value": 0.5 for name in contents}}
    items = {**RECORD.items, **{name: Values(("i",), {"value": (0.5,)}) for name in contents}}
    return replace(RECORD, scores=scores, items=items, provenance={"measures": contents, "versions": {"torch": "2"}})


def test_a_measure_is_lacking_without_scores_or_if_its_data_are_others() -> None:
    record = of_measures(old="one", older="two")
    assert not record.lacks_measure("old", "one")
    assert record.lacks_measure("old", "other")
    assert record.lacks_measure("ol", None), "no score is its own, although a name begins alike"
    assert record.lacks_measure("new", "one")
    assert not record.lacks_measure("old", None), "data that were not read here cannot be compared"
    assert not record.lacks_measure("questions-test", "one"), "nor those of a record that says nothing of them"
    plain = replace(record, scores={"mteb/STS12": 0.5})
    assert not plain.lacks_measure("mteb/STS12", None)
    assert plain.lacks_measure("mteb/STS1", None)


def test_scores_of_a_measure_whose_data_changed_are_replaced_and_all_others_stay() -> None:
    earlier, again = of_measures(old="one", same="three"), of_measures(old="two", same="three", new="four")
    again = replace(
        again,
        scores={name: score + 0.25 for name, score in again.scores.items()},
        items={name: Values(("j",), {"value": (0.75,)}) for name in ("old", "same", "new")},
    )
    found = completed(earlier, again)

    assert {name: found.scores[f"{name}/value"] for name in ("old", "same", "new")} == {
        "old": 0.75,
        "same": 0.5,
        "new": 0.75,
    }
    assert found.scores["questions-test/ndcg@10"] == 0.5, "the first test scores stay"
    assert {name: found.items[name].as_dict()["ids"] for name in ("old", "same", "new")} == {
        "old": ("j",),
        "same": ("i",),
        "new": ("j",),
    }
    assert found.items["pairs"] == RECORD.items["pairs"]
    assert found.provenance["measures"] == {"old": "two", "same": "three", "new": "four"}
    for name, content in found.provenance["measures"].items():
        assert not found.lacks_measure(name, content)


def test_a_measure_that_the_repetition_could_not_score_keeps_its_scores_and_stays_lacking() -> None:
    earlier, again = of_measures(old="one"), of_measures()
    again = replace(again, missing={"old": "its file is not there"})
    found = completed(earlier, again)
    assert (found.scores["old/value"], found.missing) == (0.5, {})
    assert not found.lacks_measure("old", "one")
    assert found.lacks_measure("old", "two")
