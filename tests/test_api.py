"""From Python: run, plan, check, report, load; and losses that no worker could import."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from harness import Ablation, Budget, Space, Study, api, beats, choice, log_uniform, testbeds
from harness.engine.options import Options
from harness.errors import StudyFileError, UsageError
from harness.executors import Executor
from harness.executors.start import start
from harness.planning.plan import Plan
from harness.spec import losses
from harness.spec.ablation import Precision
from harness.training.precision import precision_here


def closure(power: float) -> Callable[..., nn.Module]:
    """Return a loss class that only this call knows."""

    class PowerLoss(nn.Module):
        def __init__(self, model: nn.Module, scale: float = 1.0) -> None:
            super().__init__()
            self.model, self.scale = model, scale

        def forward(self, features: list[dict[str, Tensor]], labels: Tensor) -> Tensor:
            left, right = (self.model(column)["sentence_embedding"] for column in features)
            distance: Tensor = self.scale * (left - right).abs().pow(power).mean()
            return distance

    return PowerLoss


def make_ablation(**changes: Any) -> Ablation:
    fields: dict[str, Any] = {
        "name": "api",
        "testbed": replace(testbeds.book, also=(), max_rows=90),
        "studies": [
            Study("closure", closure(1.5), "pair", options={"scale": choice(0.5, 2.0, default=2.0)}),
            Study("lambda", lambda model: losses.MultipleNegativesRankingLoss(model, scale=10.0), "triplet"),
        ],
        "space": Space(batch_size=choice(8, 16), lr=log_uniform(1e-4, 1e-2)),
        "budget": Budget(trials=2, epochs=1, seeds=2, examples=32),
        "expect": [beats("lambda", "closure")],
    }
    return Ablation(**{**fields, **changes})


@pytest.fixture(scope="module")
def done(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    store = tmp_path_factory.mktemp("api") / "store"
    return api.run(make_ablation(), store, Options(keep_models="none"), workers=1), store


def test_losses_that_no_worker_can_import_run_in_workers(done: tuple[Plan, Path]) -> None:
    plan, _ = done

    assert not plan.unfinished()
    assert {run.state for run in plan.runs} == {"done"}
    assert {run.record.outcome for run in plan.runs if run.record} == {"ok"}
    scales = {dict(run.point.options)["scale"] for run in plan.of("closure", "tune") if run.point}
    assert scales == {0.5, 2.0}


def test_for_one_run_that_is_left_one_worker_starts_ahead(
    done: tuple[Plan, Path], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = done
    last = plan.of("lambda", "final")[-1].record
    assert last is not None
    again = shutil.copytree(store, tmp_path / "store")
    (again / "records" / f"{last.id}.json").unlink()
    asked: list[int] = []

    def watched(*given: Any, **others: Any) -> Executor:
        asked.append(others["ahead"])
        return start(*given, **others)

    monkeypatch.setattr("harness.executors.start.start", watched)

    assert not api.run(make_ablation(), again, Options(keep_models="none"), workers=3).unfinished()
    assert asked == [1]


def test_a_frame_has_a_row_a_run(done: tuple[Plan, Path]) -> None:
    plan, store = done
    frame = api.load(store).frame()

    assert len(frame) == len(plan.runs)
    assert {
        "id",
        "study",
        "stage",
        "seed",
        "outcome",
        "steps",
        "train_seconds",
        "point.batch_size",
        "point.lr",
        "point.scale",
        "stsb-dev/spearman_cosine",
        "stsb-test/pearson_cosine",
    } <= set(frame.columns)
    assert frame.groupby("stage")["stsb-test/spearman_cosine"].count().to_dict()["tune"] == 0
    trained = frame[frame["stage"] != "untrained"]
    assert (trained["examples_seen"] >= trained["rows"].clip(upper=32) - 15).all()
    assert frame.set_index("id")["point.lr"].notna().sum() == len(trained)


def test_no_model_is_kept_if_none_is_asked_for(done: tuple[Plan, Path]) -> None:
    assert not (done[1] / "models").exists()


def test_plan_check_and_report_need_the_store_alone(done: tuple[Plan, Path], tmp_path: Path) -> None:
    _, store = done
    ablation = make_ablation()
    plan = api.plan(ablation, store)
    verdicts = api.check(ablation, store)
    page = api.report(ablation, store, tmp_path / "r", "harness run x.py")

    assert [run.state for run in plan.runs] == ["done"] * len(plan.runs)
    assert [(v.better, v.worse) for v in verdicts] == [("lambda", "closure")]
    assert page == tmp_path / "r" / "README.md"
    assert "harness run x.py" in page.read_text(encoding="utf-8")


def test_run_again_does_nothing(done: tuple[Plan, Path]) -> None:
    plan, store = done
    assert api.run(make_ablation(), store).runs == plan.runs


def test_a_loss_that_changed_is_another_run(done: tuple[Plan, Path]) -> None:
    changed = make_ablation(
        studies=[Study("lambda", lambda model: losses.MultipleNegativesRankingLoss(model, scale=11.0), "triplet")],
        expect=[],
    )
    plan = api.plan(changed, done[1])

    assert {run.state for run in plan.of("lambda", "tune")} == {"to do"}
    assert plan.of("untrained")[0].state == "done"


@pytest.mark.parametrize(
    "change",
    [
        {"testbed": replace(testbeds.book, also=(), max_rows=91)},
        {"budget": Budget(trials=2, epochs=1, seeds=2, examples=33)},
        {"testbed": replace(testbeds.book, also=(), max_rows=90, model=replace(testbeds.book.base, revision="0" * 40))},
        {"testbed": replace(testbeds.book, also=(), max_rows=90, pooling="cls")},
    ],
)
def test_what_decides_a_result_makes_another_run(change: dict[str, Any], done: tuple[Plan, Path]) -> None:
    assert {run.state for run in api.plan(make_ablation(**change), done[1]).of("closure", "tune")} == {"to do"}


def test_another_precision_than_this_machines_own_makes_another_run(done: tuple[Plan, Path]) -> None:
    other: Precision = "bf16" if precision_here("auto") == "fp32" else "fp32"
    assert {run.state for run in api.plan(make_ablation(precision=other), done[1]).of("closure", "tune")} == {"to do"}


@pytest.mark.parametrize("change", [{"expect": []}, {"testbed": replace(testbeds.book, also=("STS12",), max_rows=90)}])
def test_what_decides_no_training_makes_no_other_trial(change: dict[str, Any], done: tuple[Plan, Path]) -> None:
    assert {run.state for run in api.plan(make_ablation(**change), done[1]).of("closure", "tune")} == {"done"}


def test_reading_without_a_store_is_a_usage_error(tmp_path: Path) -> None:
    for read in (
        lambda: api.check(make_ablation(), tmp_path),
        lambda: api.load(tmp_path),
        lambda: api.report(make_ablation(), tmp_path),
    ):
        with pytest.raises(UsageError, match="no store here"):
            read()
    assert {run.state for run in api.plan(make_ablation(), tmp_path).runs} == {"to do", "waiting"}


def test_a_loss_that_cannot_travel_says_so(cache: Path, tmp_path: Path) -> None:
    lock = threading.Lock()
    locked = Study("locked", lambda model: (lock, losses.CosineSimilarityLoss(model))[1], "pair-score")

    with pytest.raises(StudyFileError, match=r"study 'locked': its loss contains .*lock.*"):
        api.run(make_ablation(studies=[locked], expect=[]), tmp_path, executor="inline")
    assert not (tmp_path / ".staging").exists()
