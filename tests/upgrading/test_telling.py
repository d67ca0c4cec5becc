"""A comparison in words: for a pull request, and as a document."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.files import as_json
from harness.upgrading.comparison import Comparison
from harness.upgrading.environments import Environment
from harness.upgrading.judging import Pair, changes
from harness.upgrading.localising import Difference, Location
from harness.upgrading.seen import Seen
from harness.upgrading.sides import Side
from harness.upgrading.telling import comment, document, verdict, where

MOVED = [Pair(seed, 0.7, 0.7 + each, False) for seed, each in enumerate((-0.008, -0.009, -0.007))]
SAME = [Pair(seed, 0.7, 0.7, True) for seed in range(3)]
UNDECIDED = [Pair(seed, 0.7, 0.7 + each, False) for seed, each in enumerate((-0.008, 0.009, 0.001))]


def comparison(**by_study: list[Pair]) -> Comparison:
    environment = Environment("0", Path("python"), Seen({}, {}, {}))
    old, new = (Side(name, environment, Path("x.py"), "x.py") for name in ("a==1", "a==2 <b>|`x`"))
    first = Difference("loss", "loss.|weight|", 0.5, 1.0, 2.0)
    where = {name: Location(name, ("tokens",), (), first, None) for name in by_study if name == "moved"}
    return Comparison(
        old,
        new,
        "test/spearman",
        tuple(changes(by_study)),
        where,
        {"a": ("1", "2"), "b": (None, "3")},
        {"threads": "1"},
    )


def test_a_comment_has_the_table_the_reasons_the_place_and_the_command() -> None:
    text = comment(comparison(moved=MOVED, same=SAME), "harness upgrade x.py --to a==2")
    lines = text.splitlines()
    assert lines[0] == r"### a==1 → a==2 \<b\>\|\`x\`"
    assert lines[2].startswith("**A study moved.**")
    assert "| moved | 70.00 | 69.20 | −0.80 [−1.16, −0.44] | 3 | MOVED |" in lines
    assert "| same | 70.00 | 70.00 | +0.00 [+0.00, +0.00] | 3 | SAME |" in lines
    assert any(line.startswith("- moved: identical until: tokens; first difference: loss") for line in lines)
    assert r"loss.\|weight\|" in text
    assert "- 2 packages differ: a 1 and 2; b not there and 3" in lines
    assert "harness upgrade x.py --to a==2" in lines


def test_equal_scores_of_unequal_trainings_are_said() -> None:
    """A set of few queries has few scores: a loss whose scale is ten times as large may leave them all as they were."""
    found = comparison(moved=SAME)
    (line,) = where(found)
    assert line.startswith("moved: the scores are equal, but the trainings are not: identical until: tokens")
    alike = replace(found.locations["moved"], first=None)
    assert not where(replace(found, locations={"moved": alike}))


def test_a_document_is_json_and_says_what_the_exit_code_says() -> None:
    for by_study, outcome, code in (
        ({"moved": MOVED, "same": SAME}, "moved", 1),
        ({"moved": MOVED, "open": UNDECIDED}, "moved", 1),
        ({"same": SAME, "open": UNDECIDED}, "undecided", 3),
        ({"same": SAME, "lost": [replace(SAME[0], new=None, problem="it was not run")]}, "undecided", 3),
        ({"same": SAME}, "same", 0),
    ):
        compared = comparison(**by_study)
        told = json.loads(as_json(document(compared)))
        assert (told["outcome"], compared.exit_code) == (outcome, code)
        assert [each["study"] for each in told["studies"]] == list(by_study)
    first = json.loads(as_json(document(comparison(moved=MOVED))))["studies"][0]
    assert first["difference"] == pytest.approx(-0.008)
    assert first["interval"][0] < -0.008 < first["interval"][1] < 0
    assert first["where"]["first"]["name"] == "loss.|weight|"


def test_a_verdict_is_one_line() -> None:
    told = [verdict(change) for change in comparison(moved=MOVED, same=SAME, open=UNDECIDED).changes]
    assert told[0].startswith("MOVED −0.80 [−1.")
    assert told[1] == "SAME (identical)"
    assert told[2].startswith("UNDECIDED +0.07 [")
