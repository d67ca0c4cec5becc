"""Evaluation: the figures of sentence-transformers' evaluator and of mteb, and never another model's."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import mteb
import pytest
import torch
from commandline import harness
from hub import TASKS
from models import make_model
from mteb.cache import ResultCache
from sentence_transformers import SentenceTransformer

from harness import measures, testbeds
from harness.api import load
from harness.compat import evaluation
from harness.errors import Diverged, RunFailed, UsageError
from harness.evaluation import scoring
from harness.reading import materials
from harness.scores import UNFIT
from harness.stats import intervals
from harness.testbeds import fetching

STORE = Path("runs", "small-book")


@pytest.fixture(scope="module")
def models(cache: Path, hub_root: Path) -> list[SentenceTransformer]:
    """The tiny base model, and one whose embeddings are quite others; mteb would call both the same."""
    base = make_model(hub_root, SentenceTransformer, dtype="float32")
    other = copy.deepcopy(base)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.randn_like(parameter))
    return [base.eval(), other.eval()]


@pytest.mark.parametrize("part", ["dev", "test"])
def test_sts_scores_are_those_of_the_plain_evaluator(part: str, models: list[SentenceTransformer]) -> None:
    pairs = materials.load_sts(getattr(testbeds.book, part))
    assert len(pairs.gold) == 60
    assert (min(pairs.gold), max(pairs.gold)) == (0.0, 1.0)
    for model in models:
        kept, scores = scoring.score_sts(scoring.Encoder(model), pairs)
        plain = evaluation.EmbeddingSimilarityEvaluator(list(pairs.sentence1), list(pairs.sentence2), list(pairs.gold))(
            model
        )

        # of the second model's cosines, which differ by thousandths, the seventh decimal is worth 1e-6 of Pearson's
        assert scores == {name: pytest.approx(plain[name], abs=5e-6) for name in ("pearson_cosine", "spearman_cosine")}
        assert scores["spearman_cosine"] == pytest.approx(intervals.spearman(kept.gold, kept.cosine), abs=1e-12)
        assert scores["pearson_cosine"] == pytest.approx(intervals.pearson(kept.gold, kept.cosine), abs=1e-12)
        left, right = (
            torch.nn.functional.normalize(model.encode(list(side), convert_to_tensor=True))
            for side in (pairs.sentence1, pairs.sentence2)
        )
        assert kept.cosine == pytest.approx((left * right).sum(1).tolist(), abs=1e-6)
        assert kept.gold == pytest.approx(pairs.gold)


@pytest.mark.parametrize("broken", ["nan", "constant"])
def test_embeddings_that_mean_nothing_are_no_score(broken: str, hub_root: Path, cache: Path) -> None:
    model = make_model(hub_root, SentenceTransformer, dtype="float32")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("nan") if broken == "nan" else 0.0)
        if broken == "constant":
            next(p for n, p in model.named_parameters() if n.endswith("output.LayerNorm.bias")).fill_(1.0)
    with pytest.raises(Diverged, match="not finite" if broken == "nan" else "same cosine"):
        scoring.score_sts(scoring.Encoder(model), materials.load_sts(testbeds.book.dev))


def plain_mteb(model: SentenceTransformer, names: Sequence[str]) -> dict[str, float]:
    """Evaluate by mteb alone, without any cache."""
    tasks = mteb.get_tasks(tasks=list(names))
    for task in tasks:
        folder = fetching.locate(scoring.task_refs([task.metadata.name])[task.metadata.name][0])
        task.metadata = task.metadata.model_copy(update={"dataset": {**task.metadata.dataset, "path": str(folder)}})
    result = mteb.evaluate(model, tasks, cache=None, co2_tracker=False, show_progress_bar=False)
    return {found.task_name: found.get_score() for found in result.task_results}


def test_task_scores_are_mtebs_and_each_model_gets_its_own(models: list[SentenceTransformer], tmp_path: Path) -> None:
    scored = []
    for number, model in enumerate(models):
        scores, missing = scoring.score_tasks(
            scoring.Encoder(model), TASKS, name="a/same", run_id=f"run{number}", folder=tmp_path
        )
        assert missing == {}
        # Embeddings in other batches differ by 1e-7; that tips a prediction or two of a classifier that has not converged
        by = {"Banking77Classification": 0.0051}
        assert scores == {
            name: pytest.approx(value, abs=by.get(name, 1e-6)) for name, value in plain_mteb(model, TASKS).items()
        }
        scored.append(scores)

    assert all(scored[0][task] != scored[1][task] for task in TASKS)
    results = ResultCache(tmp_path).load_results(include_remote=False)
    assert {found.model_revision for found in results.model_results} == {"run0", "run1"}
    for told in tmp_path.rglob("run_settings.jsonl"):
        assert {json.loads(line)["task"] for line in told.read_text(encoding="utf-8").splitlines()} == set(TASKS)
    assert len(list(tmp_path.rglob("run_settings.jsonl"))) == len(list(tmp_path.rglob("model_meta.json"))) == 2


def test_a_task_scores_the_same_each_time(models: list[SentenceTransformer], tmp_path: Path) -> None:
    task = ["TwentyNewsgroupsClustering.v2", "Banking77Classification"]
    first, again = (
        scoring.score_tasks(scoring.Encoder(models[0]), task, name="a/b", run_id=key, folder=tmp_path)[0]
        for key in "xy"
    )

    assert first == again


def test_a_task_without_data_is_missing_and_others_stand(models: list[SentenceTransformer], tmp_path: Path) -> None:
    scores, missing = scoring.score_tasks(
        scoring.Encoder(models[0]), ["SICK-R", "BIOSSES"], name="a/b", run_id="x", folder=tmp_path
    )

    assert list(scores) == ["BIOSSES"]
    assert list(missing) == ["SICK-R"]
    assert "mteb/sickr-sts" in missing["SICK-R"]


def test_unknown_tasks_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"has no task 'STS99'; see https://mteb"):
        scoring.task_refs(["STS12", "STS99"])


def test_a_store_is_read_by_mtebs_own_tools(finished: Path) -> None:
    results = ResultCache(finished / STORE / "mteb").load_results(include_remote=False)
    found = {
        (model.model_name, model.model_revision): {task.task_name: task.get_score() for task in model.task_results}
        for model in results.model_results
    }
    wanted = {
        (f"small/{record.study}", record.id): {
            name.removeprefix("mteb/"): pytest.approx(value, abs=1e-6)
            for name, value in record.scores.items()
            if name.startswith("mteb/")
        }
        for record in load(finished / STORE).records()
        if record.stage != "tune"
    }

    assert found == wanted
    assert all(set(scores) == {"STS16", "BIOSSES"} for scores in found.values())


def test_tasks_that_are_not_available_are_named_and_make_the_run_incomplete(copy: Path) -> None:
    before = {path: path.read_bytes() for path in (copy / STORE / "records").iterdir()}
    done = harness("run", "study.py", "--tasks", "STS16,BIOSSES,SICK-R", "--executor", "inline", "--strict", cwd=copy)

    assert done.returncode == 3
    assert "missing: task SICK-R: mteb/sickr-sts: it is not in the cache" in done.stderr
    assert {path: path.read_bytes() for path in (copy / STORE / "records").iterdir()} == before
    page = (copy / "reports" / "small-book" / "README.md").read_text(encoding="utf-8")
    assert "SICK-R" in page
    assert harness("check", "study.py", cwd=copy).returncode == 3


def test_the_untrained_model_is_scored_as_it_is(finished: Path, models: list[SentenceTransformer]) -> None:
    record = next(r for r in load(finished / STORE).records() if r.stage == "untrained")
    pairs = materials.load_sts(testbeds.book.test)
    plain = evaluation.EmbeddingSimilarityEvaluator(list(pairs.sentence1), list(pairs.sentence2), list(pairs.gold))(
        models[0]
    )

    assert record.scores["stsb-test/spearman_cosine"] == pytest.approx(plain["spearman_cosine"], abs=1e-4)
    assert record.scores["stsb-test/pearson_cosine"] == pytest.approx(plain["pearson_cosine"], abs=1e-4)
    assert json.loads(record.to_json())["record"]["point"] is None


def test_a_task_that_is_a_measure_has_the_mean_of_all_its_subsets_or_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean over those subsets that a model happens to be fit for would be another figure."""
    one, other, encoder = "STS17:en-en", "STS17:ko-ko", cast(scoring.Encoder, None)

    def give(scores: dict[str, float], missing: dict[str, str]) -> None:
        monkeypatch.setattr(scoring, "score_tasks", lambda *_, **__: (scores, missing))

    give({one: 0.5, other: 0.7}, {})
    assert scoring.score_measure(encoder, measures.mteb("STS17")).scores == {"mteb/STS17": pytest.approx(0.6)}
    give({one: 0.5}, {other: f"{UNFIT}every pair has the same cosine"})
    with pytest.raises(Diverged, match="every pair has the same cosine"):
        scoring.score_measure(encoder, measures.mteb("STS17"))
    give({one: 0.5}, {other: "ValueError: its data are damaged"})
    with pytest.raises(RunFailed, match="mteb/STS17: it could not be evaluated: ValueError: its data are damaged"):
        scoring.score_measure(encoder, measures.mteb("STS17"))
    give({}, {})
    with pytest.raises(RunFailed, match="mteb returned no score"):
        scoring.score_measure(encoder, measures.mteb("STS17"))
