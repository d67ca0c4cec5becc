"""Score a run's model: the dev measure in every run, and test, further measures and mteb tasks in final runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

from harness.engine.job import Job
from harness.errors import Diverged, HarnessError
from harness.evaluation import diagnostics, scoring
from harness.reading import materials
from harness.scores import UNFIT
from harness.store.items import Items
from harness.testbeds import Testbed
from harness.testbeds.measure_kinds import Sts, headline
from harness.texts.normal import PairKey, pair_keys


@dataclass(frozen=True)
class Scored:
    """What a run's record keeps of its evaluation; the fields are those of the record."""

    scores: Mapping[str, float]
    items: Mapping[str, Items] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    unshared: Mapping[str, float] = field(default_factory=dict)
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    subsets: Mapping[str, Any] = field(default_factory=dict)


def score_dev(encoder: scoring.Encoder, bed: Testbed) -> Scored:
    """Return the scores of the dev measure.

    Raises:
        Diverged: the model has collapsed, or its embeddings are not finite.
    """
    return Scored(scoring.score_measure(encoder, bed.dev).scores)


def objective(encoder: scoring.Encoder, bed: Testbed) -> float:
    """Return the score that tuning maximises; it uses no random numbers, so it does not change a training."""
    return scoring.score_measure(encoder, bed.dev).scores[headline(bed.dev)]


def score_all(encoder: scoring.Encoder, job: Job, run_id: str) -> Scored:
    """Return the scores of all measures and tasks of a final run or of the untrained model.

    Args:
        encoder: embeds with the model.
        job: the run's job.
        run_id: its id, which is the model's revision in mteb's results.

    Raises:
        Diverged: the model has collapsed on the dev or the test measure, or its embeddings are not finite.
    """
    bed, name = job.ablation.testbed, f"{job.ablation.name}/{job.run.study}"
    assert bed.test is not None
    scores: dict[str, float] = {}
    items: dict[str, Items] = {}
    missing: dict[str, str] = {}
    for measure in bed.measures:
        if measure.name in job.missing:
            continue
        try:
            of_measure = scoring.score_measure(encoder, measure, in_full=True)
        except (Diverged, HarnessError) as problem:
            if measure not in bed.besides:
                raise
            missing[measure.name] = f"{UNFIT if isinstance(problem, Diverged) else ''}{problem}"
            continue
        scores |= of_measure.scores
        items |= {} if of_measure.items is None else {measure.name: of_measure.items}
    by_task, failed = scoring.score_tasks(encoder, job.tasks, name=name, run_id=run_id, folder=job.staging / "mteb")
    scores |= {f"mteb/{task}": score for task, score in by_task.items()}
    geometry: Mapping[str, float] = {}
    if isinstance(bed.dev, Sts):
        dev = materials.load_sts(bed.dev)
        geometry = diagnostics.geometry(*scoring.unit_embeddings(encoder, dev), dev.gold)
    return Scored(
        scores,
        items,
        {**job.missing, **missing, **failed},
        scoring.score_unshared(encoder, by_task, pairs_seen_before_test(bed.sealed())) if by_task else {},
        {name: round(value, scoring.DECIMALS) for name, value in geometry.items()},
        scoring.subsets(job.tasks),
    )


@lru_cache(maxsize=1)
def pairs_seen_before_test(bed: Testbed) -> frozenset[PairKey]:
    """Return the pairs of the dev set, by which points are chosen, and of the rows on which studies may train."""
    seen: list[PairKey] = []
    if isinstance(bed.dev, Sts):
        dev = materials.load_sts(bed.dev)
        seen += pair_keys(dev.sentence1, dev.sentence2)
    rows = materials.load_rows(bed.source).head(bed.limit)
    texts = [str(name) for name in rows if rows[name].map(lambda value: isinstance(value, str)).any()]
    for left, right in pairwise(texts):
        seen += pair_keys(rows[left].tolist(), rows[right].tolist())
    return frozenset(seen)
