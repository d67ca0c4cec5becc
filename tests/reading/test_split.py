"""Division of rows: no text stands on two sides, shares are those asked for, and nothing else decides."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.errors import AuditFailed
from harness.reading.rows import read
from harness.testbeds import sources
from harness.testbeds.sources import Source, Split
from harness.texts import near
from harness.texts.groups import Groups
from harness.texts.near import SHINGLE, THRESHOLD, join_near_duplicates
from harness.texts.normal import normalise

SIDES = ("train", "dev", "test")


def source(**columns: Sequence[object]) -> Source:
    length = len(next(iter(columns.values())))
    return sources.frame(pd.DataFrame({**columns, "row": range(length)}))


def sides(split: Split, column: str = "row") -> dict[str, list[object]]:
    """Return a column by side; a side that no row fits into is empty."""
    found: dict[str, list[object]] = {}
    for name in SIDES:
        found[name] = []
        with suppress(AuditFailed):
            found[name] = read(getattr(split, name)).rows[column].tolist()
    return found


def similarity(one: str, other: str) -> float:
    """Return the Jaccard similarity of shingles, as docs/audit.md defines near-duplicates."""
    left, right = (
        {text[start : start + SHINGLE] for start in range(max(1, len(text) - SHINGLE + 1))} for text in (one, other)
    )
    return len(left & right) / len(left | right)


def sentences(number: int, seed: int = 0, words: int = 10) -> list[str]:
    """Return sentences that are no near-duplicates of each other."""
    rng = random.Random(seed)
    return [" ".join("".join(rng.choices("abcdefghij", k=6)) for _ in range(words)) for _ in range(number)]


WORDS = ("the symptoms", "of a common cold", "treatment", "which causes are known", "Ünlü", "日本の", "3", "of flu")
TEXTS = st.one_of(
    st.none(),
    st.sampled_from(("", " ", "?!", "...", "a", "b")),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=7).map(" ".join),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=7).map(lambda words: " ".join(words).upper() + "?"),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=30), seed=st.integers(0, 3))
@example(rows=[("a b", "c"), ("x", "A, b!"), (None, None), ("", "  "), ("?!", "...")], seed=0)
def test_no_text_and_no_near_duplicate_is_on_two_sides(rows: list[tuple[str | None, str | None]], seed: int) -> None:
    """Even between the two columns; and every row is on one side, in the order it had."""
    of = source(q=[q for q, _ in rows], a=[a for _, a in rows])
    found = sides(of.split(by=["q", "a"], dev=0.3, test=0.3, seed=seed))
    assert sorted(row for side in found.values() for row in side) == list(range(len(rows)))  # type: ignore[type-var]
    assert all(side == sorted(side) for side in found.values())  # type: ignore[type-var]
    texts = {side: {normalise(text) for row in held for text in rows[row]} for side, held in found.items()}  # type: ignore[call-overload]
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        for left, right in product(texts[one] - {""}, texts[other] - {""}):
            assert left != right
            assert similarity(left, right) < THRESHOLD


def test_near_duplicates_are_together_even_if_others_link_them() -> None:
    """Each of 15 chains starts with a text of 20 words and changes one a step: its ends have little in common."""
    chains = []
    for text, other in zip(sentences(15, words=20), sentences(15, seed=1, words=20), strict=True):
        words, later = text.split(), other.split()
        chains.append([normalise(" ".join(later[:step] + words[step:])) for step in range(21)])
    assert similarity(chains[0][0], chains[0][-1]) < 0.2
    assert similarity(chains[0][9], chains[0][10]) > THRESHOLD
    found = sides(source(q=[text for chain in chains for text in chain]).split(by="q", dev=0.2, test=0.2))
    assert {side: len(rows) for side, rows in found.items()} == {"train": 189, "dev": 63, "test": 63}
    for side in found.values():
        assert all({row // 21 * 21 + step for step in range(21)} <= {*side} for row in side)  # type: ignore[operator]


def grouped(texts: Sequence[str]) -> list[int]:
    """Return the first text of each text's group, by the places of both."""
    groups = Groups(len(texts))
    join_near_duplicates(groups, texts)
    return [groups.of(place) for place in range(len(texts))]


def exhaustively_grouped(texts: Sequence[str]) -> list[int]:
    """Return what `grouped` does, by the similarity of all pairs."""
    groups = Groups(len(texts))
    for place, other in combinations(range(len(texts)), 2):
        if similarity(texts[place], texts[other]) >= THRESHOLD:
            groups.join(place, other)
    return [groups.of(place) for place in range(len(texts))]


SYLLABLES = ("ar", "thro", "pneu", "mo", "car", "di", "itis", "a", "syndrome", "of")
FRAMES = ("{}", "whatis{}", "whatarethesymptomsof{}", "whataretheusualtreatmentsof{}inadultsandinchildrenoverten")
NAMES = st.lists(st.sampled_from(SYLLABLES), min_size=1, max_size=7).map("".join)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(frame=st.sampled_from(FRAMES), names=st.sets(NAMES, min_size=2, max_size=50))
def test_texts_of_one_template_have_the_groups_of_an_exhaustive_comparison(frame: str, names: set[str]) -> None:
    texts = sorted(frame.format(name) for name in names)
    assert grouped(texts) == exhaustively_grouped(texts)


@pytest.mark.parametrize("number", [2, 5, 10])
def test_texts_of_each_length_have_the_groups_of_an_exhaustive_comparison(number: int) -> None:
    """Changed at each place in turn, so that similarities are on both sides of the threshold, and on it."""
    texts = {
        f"{text[:place]}{end}"
        for text in map(normalise, sentences(1, words=number))
        for place in range(len(text))
        for end in ("", "x", text[place + 1 :], "x" + text[place + 1 :])
    }
    ordered = sorted(texts - {""})
    groups = grouped(ordered)
    assert groups == exhaustively_grouped(ordered)
    assert 1 < len(set(groups)) < len(ordered)


def test_distinct_texts_may_have_the_same_few_shingles() -> None:
    texts = sorted({(word * 9)[:length] for word in ("a", "ab", "abc") for length in range(5, 12)})
    assert grouped(texts) == exhaustively_grouped(texts)
    assert len(set(grouped(texts))) < len(texts) / 2


def test_the_work_for_a_text_of_a_template_hardly_grows_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in comparisons of two texts, because times differ between machines."""
    compared = [0]

    def counted(*arguments: Any) -> bool:
        compared[0] += 1
        return similar(*arguments)

    similar = near._similar
    monkeypatch.setattr(near, "_similar", counted)
    names = [text.replace(" ", "") for text in sentences(2000, words=2)]
    grouped(sorted(f"whatarethesymptomsof{name}" for name in names))
    assert compared[0] < 2 * len(names)


NUMBERED = (
    "ameetingofthecommitteeonthenewrulesforthewholeunionisinroom{}",
    "{}istheroomofthemeetingofthecommitteeonthenewrulesforthewholeunion",
)


@pytest.mark.parametrize("frame", NUMBERED)
def test_many_near_duplicates_of_each_other_have_the_groups_of_an_exhaustive_comparison(frame: str) -> None:
    numbers = (*range(60), *range(10**9, 10**9 + 40), *range(10**30, 10**30 + 40))
    texts = [frame.format(number) + end for number in numbers for end in ("", "andofeachofitsmembersinallitsparts")]
    groups = grouped(texts)
    assert groups == exhaustively_grouped(texts)
    assert 1 < len(set(groups)) < 20


@pytest.mark.parametrize("frame", NUMBERED)
def test_the_work_for_a_near_duplicate_hardly_grows_with_their_number(
    frame: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in candidates of which signatures are compared: each text has at most one in each band, and a few."""
    looked_at = [0]

    def counted(signatures: Any, text: int, others: Any) -> Any:
        looked_at[0] += len(others)
        return likely(signatures, text, others)

    likely = near._likely
    monkeypatch.setattr(near, "_likely", counted)
    assert len({*grouped([frame.format(number) for number in range(10**4, 10**4 + 2000)])}) == 1
    assert looked_at[0] < 2 * near.BANDS * 2000


def test_two_columns_link_rows_through_each_other() -> None:
    """Rows 0-1 share a question, 1-2 an answer, and so on: one group; by question alone it is in pairs."""
    texts = sentences(400)
    q, a = [texts[row // 2] for row in range(200)], [texts[200 + (row + 1) // 2] for row in range(200)]
    both, alone = source(q=q, a=a).split(by=["q", "a"]), source(q=q, a=a).split(by="q")
    assert {side: len(rows) for side, rows in sides(both).items()} == {"train": 200, "dev": 0, "test": 0}
    assert {side: len(rows) for side, rows in sides(alone).items()} == {"train": 160, "dev": 20, "test": 20}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=40),
    dev=st.floats(0, 0.45),
    test=st.floats(0.01, 0.45),
    seed=st.integers(0, 5),
)
def test_sides_have_their_shares_as_far_as_groups_allow(sizes: list[int], dev: float, test: float, seed: int) -> None:
    texts = [text for text, size in zip(sentences(len(sizes)), sizes, strict=True) for _ in range(size)]
    found = {
        side: len(rows) for side, rows in sides(source(q=texts).split(by="q", dev=dev, test=test, seed=seed)).items()
    }
    for side, share in (("dev", dev), ("test", test)):
        most = max(1, round(share * len(texts))) if share else 0
        assert found[side] <= most
        assert most - found[side] < max(sizes) or not found["train"]
    if max(sizes) == 1 and len(sizes) > 2:
        assert found["test"] == max(1, round(test * len(texts)))


def test_a_group_that_is_larger_than_a_share_is_trained_on() -> None:
    texts = ["What is it?"] * 50 + sentences(50)
    for seed in range(5):
        found = sides(source(q=texts).split(by="q", seed=seed))
        assert {*range(50)} <= {*found["train"]}
        assert (len(found["dev"]), len(found["test"])) == (10, 10)


def test_the_order_of_rows_and_further_rows_hardly_matter() -> None:
    texts = sentences(1000)
    before = sides(source(q=texts).split(by="q"), "q")
    shuffled = random.Random(1).sample(texts, len(texts))
    after = sides(source(q=shuffled).split(by="q"), "q")
    assert {side: {*held} for side, held in before.items()} == {side: {*held} for side, held in after.items()}
    more = sides(source(q=texts + sentences(100, seed=1)).split(by="q"), "q")
    moved = sum(len({*held} - {*more[side]}) for side, held in before.items())
    assert moved <= 20  # a division by chance would move 340 of the 1,000
    assert sides(source(q=texts).split(by="q", seed=1)) != sides(source(q=texts).split(by="q"))
    assert sides(source(q=texts).split(by="q", dev=0.3))["test"] == sides(source(q=texts).split(by="q"))["test"]


PROGRAM = """
import sys
from harness.testbeds import sources
from harness.reading.rows import read
split = sources.file(sys.argv[1]).split(by=["q", "a"], dev=0.2, test=0.2)
print([read(side).rows["row"].tolist() for side in split])
"""


def test_other_processes_divide_alike(tmp_path: Path) -> None:
    path, texts = tmp_path / "pairs.csv", sentences(120)
    near = [text + " again" for text in texts]
    pd.DataFrame({"q": texts + near, "a": near[::-1] + texts, "row": range(240)}).to_csv(path, index=False)
    printed = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    here = sources.file(str(path)).split(by=["q", "a"], dev=0.2, test=0.2)
    assert printed == {f"{[read(side).rows['row'].tolist() for side in here]}\n"}


def test_a_division_is_kept_once_it_is_published() -> None:
    """Saved scores rest on it: a change of the rule has to be deliberate, and to be told."""
    texts = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    found = sides(source(q=texts).split(by="q", dev=0.2, test=0.2), "q")
    assert found == {
        "train": ["one", "three", "four", "six", "eight", "ten"],
        "dev": ["five", "nine"],
        "test": ["two", "seven"],
    }


def test_numbers_divide_by_equality() -> None:
    ids = [100_000 + row // 4 for row in range(400)]
    for column in (ids, [float(each) for each in ids]):
        found = sides(source(id=column).split(by="id"))
        assert {side: len(rows) for side, rows in found.items()} == {"train": 320, "dev": 40, "test": 40}
        assert all({row // 4 * 4 + step for step in range(4)} <= {*side} for side in found.values() for row in side)  # type: ignore[operator]
        assert found == sides(source(id=ids).split(by="id"))
    nulls = sides(source(id=[1.0, None, 2.0, None, 3.0, None]).split(by="id", dev=0.2, test=0.2))
    assert {1, 3, 5} <= {*nulls["train"]}


def test_empty_texts_link_nothing() -> None:
    """Rows without an answer are not one group, but those without any text are."""
    q, a = [*sentences(80), *[None, "", "  "] * 10], [None, ""] * 55
    found = sides(source(q=q, a=a).split(by=["q", "a"], dev=0.2, test=0.2))
    assert {side: len(rows) for side, rows in found.items()} == {"train": 66, "dev": 22, "test": 22}
    assert {*range(80, 110)} <= {*found["train"]}


def test_a_side_without_rows_says_why() -> None:
    with pytest.raises(
        AuditFailed, match=r"split\(by=\['q'\], dev=0.1, test=0.1\) leaves no rows for dev: .*larger than"
    ):
        read(source(q=["a", "A"] * 5).split(by="q").dev)
    with pytest.raises(AuditFailed, match="leaves no rows for dev: its share is 0"):
        read(source(q=["a", "b"]).split(by="q", dev=0).dev)
    with pytest.raises(AuditFailed, match="leaves no rows for train"):
        read(source(q=["a"]).split(by="q").train)


def test_what_rows_cannot_be_divided_by() -> None:
    with pytest.raises(AuditFailed, match="no column question, b to divide by; there are q, row"):
        read(source(q=["a"]).split(by=["question", "q", "b"]).train)
    with pytest.raises(AuditFailed, match=r"column 'q' holds \['a'\] \(list\)"):
        read(source(q=[["a"]]).split(by="q").train)
    with pytest.raises(AuditFailed, match=r"column 'q' holds True \(bool\)"):
        read(source(q=[True, False]).split(by="q").train)


def test_a_side_is_a_source_like_others() -> None:
    of = source(q=sentences(50)).split(by="q", dev=0.2, test=0.2)
    test = read(of.test).rows["row"].tolist()
    assert read(of.test.take(3)).rows["row"].tolist() == test[:3]
    assert read(of.test.where(lambda rows: rows["row"] > 20)).rows["row"].tolist() == [row for row in test if row > 20]
    assert sorted(read(sources.mix(*of)).rows["row"]) == list(range(50))
