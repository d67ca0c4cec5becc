"""Two stores side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import synthetic

from harness.errors import UsageError
from harness.planning import unlocking
from harness.planning.plan import PlannedRun, trained
from harness.scores import HEADLINE
from harness.spec.ablation import Ablation
from harness.stats import estimates
from harness.store.folder import Store, create
from harness.store.records import Record
from harness.verdicts.compare import as_text, compare, provenance_differences, trained_differences


def stored(folder: Path, change: synthetic.Change = lambda run, record: record, seeds: int = 3) -> Store:
    ablation = synthetic.make_ablation(["softmax", "mnr"], expect=[], seeds=seeds, trials=2)
    store = create(folder, ablation.name, ablation.testbed.name)
    for record in synthetic.make_records(ablation, change=change):
        store.write(record)
    return store


def shift_mnr(run: PlannedRun, record: Record) -> Record:
    """Raise mnr's test score by .01, .02 and .03 at seeds 1, 2 and 3, with another torch."""
    provenance = {**record.provenance, "versions": {**record.provenance["versions"], "torch": "2.14.0"}}
    scores = dict(record.scores)
    if run.study == "mnr" and run.stage == "final":
        scores[HEADLINE] += 0.01 * run.seed
    return replace(record, scores=scores, provenance=provenance)


def test_differences_are_right_minus_left_and_paired_by_seed(tmp_path: Path) -> None:
    frame = compare(stored(tmp_path / "a"), stored(tmp_path / "b", shift_mnr))
    tested = frame[(frame["stage"] == "final") & (frame["runs"] == "best") & (frame["metric"] == HEADLINE)]
    rows = {row["study"]: row for row in tested.to_dict("records")}
    assert len(rows) == len(tested) == 2
    assert set(frame.loc[frame["stage"] == "final", "runs"]) == {"best"}  # the default point, once
    expected = estimates.interval([0.01, 0.02, 0.03])
    assert expected is not None
    assert rows["mnr"]["difference"] == pytest.approx(0.02)
    assert (rows["mnr"]["low"], rows["mnr"]["high"]) == pytest.approx((expected.low, expected.high))
    assert rows["mnr"]["right"] - rows["mnr"]["left"] == pytest.approx(0.02)
    assert (rows["softmax"]["difference"], rows["softmax"]["n"]) == (0, 3)


def test_trials_and_the_untrained_model_are_matched_one_to_one(tmp_path: Path) -> None:
    frame = compare(stored(tmp_path / "a"), stored(tmp_path / "b", shift_mnr))
    for stage, groups in (("untrained", 1), ("tune", 4)):
        rows = frame[frame["stage"] == stage]
        assert len(rows[["study", "runs"]].drop_duplicates()) == groups
        assert rows["low"].isna().all()
        assert (rows["n"] == 1).all()


def test_seeds_of_one_store_only_are_left_out_and_counted(tmp_path: Path) -> None:
    frame = compare(stored(tmp_path / "a", seeds=3), stored(tmp_path / "b", seeds=2))
    finals = frame[frame["stage"] == "final"]
    assert set(finals["n"]) == {2}
    assert set(finals["left_only"]) == {1}
    assert set(finals["right_only"]) == {0}
    assert "seeds that only one store has" in as_text(stored(tmp_path / "a"), stored(tmp_path / "b", seeds=2))


def test_what_was_made_differently_is_listed_first(tmp_path: Path) -> None:
    left, right = stored(tmp_path / "a"), stored(tmp_path / "b", shift_mnr)
    assert provenance_differences(left, right) == [("versions.torch", "2.13.0", "2.14.0")]
    text = as_text(left, right)
    assert text.index("versions.torch") < text.index("stsb-test/spearman_cosine")
    assert "+2.00" in text
    assert "\x1b" not in text
    assert "versions, hardware and commit are the same" in as_text(left, left)


def test_studies_of_one_store_only_are_named(tmp_path: Path) -> None:
    left = stored(tmp_path / "a")
    right = stored(tmp_path / "b", lambda run, record: None if run.study == "softmax" else record)
    assert "softmax" not in set(compare(left, right)["study"])
    text = as_text(left, right)
    assert "only in left: softmax final" in text
    assert "only in right" not in text


def test_a_best_point_that_moved_is_still_compared_as_the_best(tmp_path: Path) -> None:
    def prefer_the_second(run: PlannedRun, record: Record) -> Record:
        scores = dict(record.scores)
        if run.study == "mnr" and run.trial == 1:
            scores["stsb-dev/spearman_cosine"] = 0.99
        return replace(record, scores=scores)

    frame = compare(stored(tmp_path / "a"), stored(tmp_path / "b", prefer_the_second))
    mnr = frame[(frame["study"] == "mnr") & (frame["stage"] == "final")]
    assert set(mnr["runs"]) == {"best", "batch 32, lr 5e-05"}
    default = mnr[(mnr["runs"] != "best") & (mnr["metric"] == HEADLINE)]
    assert default["difference"].tolist() == [0]


def test_stores_with_nothing_in_common_say_so(tmp_path: Path) -> None:
    left = stored(tmp_path / "a")
    right = create(tmp_path / "b", left.ablation, left.testbed)
    assert compare(left, right).empty
    assert "no run of one store matches" in as_text(left, right)


def driven(folder: Path, *ablations: Ablation) -> Store:
    """A store that drivers of these ablations left, one after another."""
    store = create(folder, ablations[0].name, ablations[0].testbed.name)
    for ablation in ablations:
        records: list[Record] = []

        def change(run: PlannedRun, record: Record, ablation: Ablation = ablation) -> Record:
            return replace(record, provenance={**record.provenance, **trained(ablation, run.study)})

        records = synthetic.make_records(ablation, change=change)
        unlocking.append(folder, unlocking.design(ablation, store.records()))
        for record in records:
            store.write(record)
    return store


def of_rows(number: int, **budget: Any) -> Ablation:
    plain = synthetic.make_ablation(["softmax", "mnr"], expect=[], seeds=3, trials=2)
    return replace(plain, testbed=replace(plain.testbed, max_rows=number), budget=replace(plain.budget, **budget))


def test_a_store_that_also_holds_other_plans_runs_is_compared_by_its_last_plan(tmp_path: Path) -> None:
    both = driven(tmp_path / "a", of_rows(200), of_rows(1200))
    alone = driven(tmp_path / "b", of_rows(1200))
    frame = compare(both, alone)
    scores = frame[~frame["metric"].isin(("train_seconds", "peak_memory_mb"))]
    assert len(scores)
    assert (scores["difference"] == 0).all()
    text = as_text(both, alone)
    assert "of other plans left out" in text
    assert "nothing that affects scores is known to differ" in text


def test_what_enters_a_run_s_id_and_differs_is_named(tmp_path: Path) -> None:
    left, rows = driven(tmp_path / "a", of_rows(1200)), driven(tmp_path / "b", of_rows(200))
    text = as_text(left, rows)
    assert "one thing that affects scores differs: rows (mnr, softmax)" in text
    epochs = driven(tmp_path / "c", of_rows(1200, epochs=4.0))
    assert ("epochs (mnr, softmax)", "1", "4.0") in trained_differences(left, epochs)
    several = driven(tmp_path / "d", of_rows(200, epochs=4.0))
    assert "2 things that affect scores differ, so a score difference cannot be attributed to one of them" in as_text(
        left, several
    )


def test_a_store_of_several_plans_without_its_log_is_refused(tmp_path: Path) -> None:
    both = driven(tmp_path / "a", of_rows(200), of_rows(1200))
    (both.folder / unlocking.LOG).unlink()
    with pytest.raises(UsageError, match=r"several plans \(mnr, softmax, untrained\)|several plans \(mnr, softmax\)"):
        compare(both, both)
