"""Views: the rows that each makes of a small frame, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from harness.errors import AuditFailed, StudyFileError
from harness.spec.losses import INPUTS
from harness.spec.views import VIEWS, mined, noisy

E, N, C = 0, 1, 2
ROWS = pd.DataFrame(
    [
        ("p1", "entailed 1", E),
        ("p1", "neutral 1", N),
        ("p2", "entailed 2", E),
        ("p3", "unlabelled", -1),
        ("p1", "entailed 1 again", E),
        ("p1", "contradicted 1", C),
        ("p4", "entailed 4", E),
        ("p1", "entailed 1 thrice", E),
        # beyond the first eight rows
        ("p2", "contradicted 2", C),
        ("p1", "contradicted 1 again", C),
        ("p5", "entailed 5", E),
        ("p5", "contradicted 5", C),
        ("p4", "unlabelled", -1),
    ],
    columns=["premise", "hypothesis", "label"],
)
FIRST = 8


def built(view: str, limit: int = FIRST) -> list[tuple[object, ...]]:
    made = VIEWS[view].build(ROWS, limit)
    assert tuple(made.columns) == VIEWS[view].columns
    assert list(made.index) == list(range(len(made)))
    return list(made.itertuples(index=False, name=None))


def test_pair_class_keeps_the_labelled_rows_in_order() -> None:
    assert built("pair-class") == [
        ("p1", "entailed 1", 0),
        ("p1", "neutral 1", 1),
        ("p2", "entailed 2", 0),
        ("p1", "entailed 1 again", 0),
        ("p1", "contradicted 1", 2),
        ("p4", "entailed 4", 0),
        ("p1", "entailed 1 thrice", 0),
    ]


def test_pair_score_gives_entailments_one_and_others_nought() -> None:
    scores = [(text, score) for _, text, score in built("pair-score")]

    assert scores == [
        ("entailed 1", 1.0),
        ("neutral 1", 0.0),
        ("entailed 2", 1.0),
        ("entailed 1 again", 1.0),
        ("contradicted 1", 0.0),
        ("entailed 4", 1.0),
        ("entailed 1 thrice", 1.0),
    ]
    assert VIEWS["pair-score"].build(ROWS, FIRST)["score"].dtype == float


def test_pair_keeps_entailments() -> None:
    assert built("pair") == [
        ("p1", "entailed 1"),
        ("p2", "entailed 2"),
        ("p1", "entailed 1 again"),
        ("p4", "entailed 4"),
        ("p1", "entailed 1 thrice"),
    ]


def test_triplet_takes_anchors_from_the_first_rows_and_negatives_of_the_same_premise_from_all() -> None:
    assert built("triplet") == [
        ("p1", "entailed 1", "contradicted 1"),
        ("p2", "entailed 2", "contradicted 2"),  # its contradiction is beyond the first rows
        ("p1", "entailed 1 again", "contradicted 1 again"),
        ("p1", "entailed 1 thrice", "contradicted 1"),  # in turn
    ]  # p4 has no contradiction; p5 is beyond the first rows


@pytest.mark.parametrize("limit", [1, 3, FIRST, 100])
def test_pair_of_triplet_has_the_triplets_anchors_and_positives(limit: int) -> None:
    assert built("pair-of-triplet", limit) == [row[:2] for row in built("triplet", limit)]


def test_more_rows_than_there_are_is_all_rows() -> None:
    assert len(built("pair-class", 10**6)) == 11


def test_a_first_part_without_what_a_view_needs_gives_no_rows() -> None:
    assert VIEWS["triplet"].build(ROWS[ROWS["label"] != C], FIRST).empty
    assert built("pair", 0) == []


def test_building_leaves_the_rows_alone() -> None:
    before = ROWS.copy(deep=True)
    for view in VIEWS:
        built(view)
    pd.testing.assert_frame_equal(ROWS, before)


def test_the_losses_of_nli_rows_are_fed_by_some_view() -> None:
    fed = {name for name, inputs in INPUTS.items() if any(view.feeds(inputs) for view in VIEWS.values())}

    assert INPUTS.keys() - fed == {
        *("BatchAllTripletLoss", "BatchHardSoftMarginTripletLoss", "BatchHardTripletLoss", "BatchSemiHardTripletLoss"),
        *("ContrastiveTensionLossInBatchNegatives", "DistillKLDivLoss", "EmbedDistillLoss", "MSELoss", "MarginMSELoss"),
    }


@pytest.mark.parametrize("view", VIEWS)
def test_rows_of_another_kind_are_refused_with_the_columns_that_there_are(view: str) -> None:
    with pytest.raises(
        AuditFailed, match=r"no column 'hypothesis'; they have premise, hypothese, label; did you mean 'hyp"
    ):
        VIEWS[view].build(ROWS.rename(columns={"hypothesis": "hypothese"}), 1)
    with pytest.raises(AuditFailed, match=r"holds texts; read them by source=sources.nli"):
        VIEWS[view].build(ROWS.assign(label="entailment"), 1)


def test_labels_score_what_the_view_says() -> None:
    assert [score for *_, score in built("pair-score-half")] == [1.0, 0.5, 1.0, 1.0, 0.0, 1.0, 1.0]
    assert built("pair-score-no-neutral") == [
        ("p1", "entailed 1", 1.0),
        ("p2", "entailed 2", 1.0),
        ("p1", "entailed 1 again", 1.0),
        ("p1", "contradicted 1", 0.0),
        ("p4", "entailed 4", 1.0),
        ("p1", "entailed 1 thrice", 1.0),
    ]


def test_positives_are_of_the_labels_that_the_view_says() -> None:
    assert [positive for _, positive in built("pair-of-contradictions")] == ["contradicted 1"]
    assert [positive for _, positive in built("pair-of-all")] == [text for _, text, _ in built("pair-class")]
    assert built("pair-both-ways") == built("pair") + [(b, a) for a, b in built("pair")]


MANY = pd.DataFrame(
    [row for n in range(60) for row in ((f"p{n}", f"e{n}", E), (f"p{n}", f"e{n} too", E), (f"p{n}", f"c{n}", C))],
    columns=["premise", "hypothesis", "label"],
)


def test_random_negatives_are_positives_of_other_premises_for_the_same_anchors() -> None:
    triplets, drawn = (VIEWS[view].build(MANY, len(MANY)) for view in ("triplet", "triplet-random"))

    assert drawn[["anchor", "positive"]].equals(triplets[["anchor", "positive"]])
    assert sorted(drawn["negative"]) == sorted(triplets["positive"]), "each is drawn once"
    assert not (drawn["negative"].str.extract(r"(\d+)")[0] == drawn["anchor"].str.extract(r"(\d+)")[0]).any()
    assert VIEWS["triplet-random"].build(MANY, len(MANY)).equals(drawn)


def test_a_quadruplet_has_the_contradiction_and_the_random_negative() -> None:
    triplets, drawn, both = (VIEWS[view].build(MANY, len(MANY)) for view in ("triplet", "triplet-random", "quadruplet"))

    assert list(both["negative1"]) == list(triplets["negative"])
    assert list(both["negative2"]) == list(drawn["negative"])


def test_random_negatives_of_a_single_premise_are_drawn_all_the_same() -> None:
    one = MANY[MANY["premise"] == "p3"]

    assert len(VIEWS["triplet-random"].build(one, 3)) == 2


def test_random_negatives_of_pairs_are_positives_of_other_premises_for_every_pair() -> None:
    pairs, drawn = (VIEWS[view].build(MANY, len(MANY)) for view in ("pair", "pair-random"))

    assert drawn[["anchor", "positive"]].equals(pairs)
    assert sorted(drawn["negative"]) == sorted(pairs["positive"])
    assert not (drawn["negative"].str.extract(r"(\d+)")[0] == drawn["anchor"].str.extract(r"(\d+)")[0]).any()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_noise_gives_a_share_of_the_rows_one_of_the_wrong_labels(share: float) -> None:
    many = pd.concat([MANY] * 20, ignore_index=True)
    clean, wrong = VIEWS["pair-class"].build(many, 3000), noisy("pair-class", share).build(many, 3000)

    assert wrong[["premise", "hypothesis"]].equals(clean[["premise", "hypothesis"]])
    changed = wrong["label"] != clean["label"]
    assert changed.mean() == pytest.approx(share, abs=0.03)
    assert set(wrong["label"]) <= {E, N, C}
    if share:
        of_entailments = wrong["label"][changed & (clean["label"] == E)]
        assert (of_entailments == N).mean() == pytest.approx(0.5, abs=0.1)
    assert noisy("pair-class", share).build(many, 3000).equals(wrong), "drawn once and for all"


def test_more_noise_spoils_more_rows_and_none_that_less_noise_spares() -> None:
    clean = VIEWS["pair-class"].build(MANY, len(MANY))["label"]
    few, many = (noisy("pair-class", share).build(MANY, len(MANY))["label"] for share in (0.1, 0.5))

    assert set(clean.index[few != clean]) < set(clean.index[many != clean])


def test_noise_reaches_the_pairs_that_a_view_makes_of_labels() -> None:
    pairs = noisy("pair", 1.0).build(ROWS, FIRST)

    assert "entailed 1" not in set(pairs["positive"])
    assert set(pairs["positive"]) <= {"neutral 1", "contradicted 1"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: noisy("pairs", 0.1), "unknown view"),
        (lambda: noisy("pair", 1.5), "between 0 and 1"),
        (lambda: noisy(mined(), 0.1), "are mined"),
        (lambda: mined("triplet"), "only anchor and positive"),
        (lambda: mined(negatives=0), "at least 1"),
        (lambda: mined(margin=-0.1), "margin"),
    ],
)
def test_views_that_cannot_be_meant_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(StudyFileError, match=words):
        make()
