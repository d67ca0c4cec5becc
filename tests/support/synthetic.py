"""Ablations with made-up records: every field as a driver writes it, scores that the predictions really give."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness import testbeds
from harness.audit import cache
from harness.data.findings import Audit, Finding, Overlap
from harness.data.overlap import DEV_SET, ROWS
from harness.planning.plan import Plan, PlannedRun, run_id
from harness.planning.planner import make_plan
from harness.spec import losses
from harness.spec.ablation import Ablation
from harness.spec.budget import Budget
from harness.spec.expectations import Expectation, beats, in_order
from harness.spec.space import Point, Space, choice, log_uniform
from harness.spec.study import UNTRAINED, Study
from harness.stats import intervals
from harness.store.items import Pairs
from harness.store.records import TUNING, Record

DEV, TEST = testbeds.book.dev.name, "stsb-test"
"""The measures of the testbed `book`."""

LOSSES: dict[str, tuple[Callable[..., Any], str, float]] = {
    "softmax": (losses.softmax, "pair-class", 1.0),
    "cosine": (losses.CosineSimilarityLoss, "pair-score", 1.0),
    "mnr": (losses.MultipleNegativesRankingLoss, "pair", 0.33),
    "mnr+hard": (losses.MultipleNegativesRankingLoss, "triplet", 0.31),
}
QUALITY = {UNTRAINED: 0.50, "softmax": 0.60, "cosine": 0.68, "mnr": 0.74, "mnr+hard": 0.80}
TASKS = ("STS12", "STS16", "SICK-R", "Banking77Classification")

PROVENANCE: Mapping[str, Any] = {
    "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
    "study_file": "feedface" * 8,
    "versions": {"python": "3.11.9", "sentence-transformers": "6.2.0", "torch": "2.13.0"},
    "hardware": {"cpu": "a processor", "cores": 2, "gpu": None, "platform": "Linux"},
    "precision": "fp32",
    "hub": "https://huggingface.co",
    "rows_asked": 1200,
    "threads": 2,
}


def make_ablation(
    names: Sequence[str] = tuple(LOSSES),
    *,
    trials: int = 4,
    seeds: int = 3,
    tasks: Sequence[str] = TASKS,
    expect: Sequence[Expectation] | None = None,
) -> Ablation:
    """Return an ablation on the book's testbed; names beyond the usual four borrow a loss from them."""
    usual = list(LOSSES.values())
    studies = []
    for index, name in enumerate(names):
        loss, view, _ = LOSSES.get(name, usual[index % len(usual)])
        studies.append(Study(name, loss, view))
    if expect is None:
        expect = [in_order("softmax", "cosine", "mnr"), beats("mnr+hard", "mnr")]
    return Ablation(
        name="synthetic",
        testbed=replace(testbeds.book, max_rows=1200, also=tuple(tasks)),
        studies=studies,
        space=Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(1e-6, 2e-4)),
        budget=Budget(trials=trials, epochs=1, seeds=seeds),
        expect=expect,
    )


def predictions(quality: float, seed: str, pairs: int = 400) -> Pairs:
    """Return gold scores with ties, as STSB has them, and cosines that correlate with them about as `quality` says.

    Models err partly alike, as real ones do: half of the noise belongs to the pair, half to the model.
    """
    shared, own = random.Random("pairs"), random.Random(seed)
    spread = math.sqrt((1 / quality**2 - 1) / 12)
    gold = tuple(round(shared.random() * 25) / 25 for _ in range(pairs))
    noise = [math.sqrt(0.5) * (shared.gauss(0, 1) + own.gauss(0, 1)) for _ in range(pairs)]
    return Pairs(gold, tuple(round(g + spread * z, 6) for g, z in zip(gold, noise, strict=True)))


def correlations(measure: str, pairs: Pairs) -> dict[str, float]:
    """Return the scores that predictions for an STS set give."""
    return {
        f"{measure}/spearman_cosine": intervals.spearman(pairs.gold, pairs.cosine),
        f"{measure}/pearson_cosine": intervals.pearson(pairs.gold, pairs.cosine),
    }


def pairs_of(record: Record, measure: str = TEST) -> Pairs:
    """Return a record's predictions for an STS set."""
    found = record.items[measure]
    assert isinstance(found, Pairs)
    return found


def geometry(quality: float) -> dict[str, float]:
    """Return diagnostics as a better model has them: closer positives, more evenly spread, more dimensions in use."""
    return {
        "alignment": round(1 - quality, 6),
        "uniformity": round(-4 * quality, 6),
        "anisotropy": round(0.9 - quality, 6),
        "effective_rank": round(100 * quality, 6),
    }


def make_record(run: PlannedRun, ablation: Ablation, quality: float, **changes: Any) -> Record:
    """Return the record of a planned run; a learning rate far from 5e-5 costs quality."""
    assert run.id is not None
    point = run.point
    final = run.stage not in TUNING
    if point is not None:
        quality -= 0.04 * abs(math.log10(point.lr / 5e-5)) + 0.01 * abs(math.log2(point.batch_size / 32))
    random_ = random.Random(f"{run.study} {run.stage} {run.trial} {run.seed}")  # not its id: a new recipe changes ids
    quality = min(0.98, max(0.05, quality + random_.gauss(0, 0.003)))
    dev = quality + 0.01
    items = {DEV: predictions(dev, f"{run.study} dev"), TEST: predictions(quality, run.study)} if final else {}
    scores = {f"{DEV}/spearman_cosine": round(dev, 6), f"{DEV}/pearson_cosine": round(dev - 0.004, 6)}
    scores |= {figure: score for name, pairs in items.items() for figure, score in correlations(name, pairs).items()}
    if final:
        scores |= {f"mteb/{task}": round(quality - 0.05 * i, 6) for i, task in enumerate(ablation.testbed.tasks)}
    unshared: dict[str, float] = {
        name: round(scores[name] - 0.015, 6) for name in ("mteb/STS12", "mteb/STS16") if name in scores
    }
    share = 0.0 if run.study == UNTRAINED else LOSSES.get(run.study, LOSSES["softmax"])[2]
    rows = int(share * ablation.testbed.limit)
    record = Record(
        id=run.id,
        study=run.study,
        stage=run.stage,
        seed=run.seed,
        point=point,
        trial=run.trial,
        outcome="ok",
        scores=scores,
        unshared=unshared,
        items=items,
        curve=((0.25, dev - 0.03), (0.5, dev - 0.02), (1.0, dev)) if point else (),
        diagnostics=geometry(quality) if final else {},
        rows=rows,
        steps=math.ceil(rows / point.batch_size) if point else 0,
        examples_seen=rows,
        train_seconds=rows / 20,
        eval_seconds=20.0 if final else 2.0,
        peak_memory_mb=1500.0 if point else 900.0,
        provenance={**PROVENANCE, "revisions": ablation.testbed.revisions()},
    )
    return replace(record, **changes)


Change = Callable[[PlannedRun, Record], Record | None]


def make_records(
    ablation: Ablation, quality: Mapping[str, float] | None = None, change: Change = lambda run, record: record
) -> list[Record]:
    """Carry out a plan until nothing is to do, as a driver would; `change` alters a record, or drops it by None."""
    qualities = {
        **{study.name: 0.6 + 0.02 * i for i, study in enumerate(ablation.studies)},
        **QUALITY,
        **(quality or {}),
    }
    records: dict[str, Record] = {}
    tried: set[str] = set()
    sampler = random.Random("sampler")
    while True:
        plan = make_plan(ablation, records.values(), pruning=True)
        runs = [run for run in plan.runs if run.state == "to do" and run.id not in tried]
        if not runs:
            waiting = [run for run in plan.runs if run.state == "waiting" and run.stage == "tune"]
            if not waiting:
                return list(records.values())
            runs = [_asked(waiting[0], ablation, sampler)]
        for run in runs:
            record = change(run, make_record(run, ablation, qualities[run.study]))
            tried.add(str(run.id))
            if record is not None:
                records[record.id] = record


def _asked(run: PlannedRun, ablation: Ablation, sampler: random.Random) -> PlannedRun:
    """Choose the point of a trial that the start-up points do not fix."""
    point = Point(sampler.choice((16, 32, 64)), float(f"{10 ** sampler.uniform(-5, -3.8):.4g}"))
    return replace(run, point=point, id=run_id(ablation, run.study, "tune", run.seed, point), state="to do")


def make(ablation: Ablation | None = None, **options: Any) -> Plan:
    """Return the plan of an ablation with its records."""
    ablation = ablation or make_ablation()
    plan = make_plan(ablation, make_records(ablation, **options), pruning=True)
    return replace(plan, audit=make_audit(ablation))


def make_audit(ablation: Ablation, *more: Finding) -> Audit:
    """Return an audit of an ablation with a finding of each kind but an error, and `more`."""
    findings = (
        Finding(
            "note", "study softmax", "label balance", 380, 1200, "Labels of view 'pair-class': 0: 420, 1: 400, 2: 380."
        ),
        Finding("note", "study mnr", "expected false negatives at batch 32", 0.0175, 496, "A batch holds 0.02 pairs."),
        Finding("warning", "study mnr", "duplicate rows", 12, 400, "12 rows of view 'pair' repeat an earlier one."),
        Finding("warning", "testbed book", f"pairs of mteb/STS12 in the {DEV_SET}", 121, 2358, "121 of 2,358 pairs."),
    )
    overlaps = (
        Overlap("stsb-dev", ROWS, 1500, 0, 2905, 36, 7),
        Overlap("stsb-test", ROWS, 1379, 0, 2550, 33, 8),
        Overlap("mteb/STS12", ROWS, 2358, 0, 3100, 0),
        Overlap("stsb-test", DEV_SET, 1379, 4, 2550, 78),
        Overlap("mteb/STS12", DEV_SET, 2358, 121, 3100, 240),
    )
    return cache.new_audit(cache.key(ablation), (*findings, *more), overlaps, (), ())
