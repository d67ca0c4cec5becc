"""Planning: seeds that a difference needs, against scipy and against the rule that judges."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import synthetic
from commandline import harness

from harness.errors import UsageError
from harness.planning.plan import PlannedRun
from harness.planning.planner import make_plan
from harness.scores import HEADLINE
from harness.spec.expectations import beats, in_order
from harness.stats import estimates, intervals
from harness.stats.power import MOST, power, seeds_needed, upper_spread
from harness.store.items import Pairs
from harness.store.records import Record
from harness.verdicts.power import detections


def test_power_equals_scipys_noncentral_t() -> None:
    for n, size, spreads, alpha in ((3, 0.01, (0.005, 0.005), 0.05), (10, 0.005, (0.008,), 0.0125)):
        freedom = len(spreads) * (n - 1)  # of equal variances
        error = math.hypot(*spreads) / math.sqrt(n)
        critical = scipy.stats.t.ppf(1 - alpha / 2, freedom)
        expected = scipy.stats.nct.sf(critical, freedom, size / error)
        assert power(n, size, spreads, alpha) == pytest.approx(expected, abs=1e-8)
    with pytest.raises(ValueError, match="two seeds"):
        power(1, 0.01, (0.005,))


def test_power_is_the_share_of_intervals_that_lie_above_zero() -> None:
    random = np.random.default_rng(0)
    over_seeds = [estimates.interval(random.normal(0.005, 0.004, 10), random.normal(0, 0.007, 10)) for _ in range(4000)]
    share = np.mean([found is not None and found.low > 0 for found in over_seeds])
    assert power(10, 0.005, (0.004, 0.007)) == pytest.approx(share, abs=0.025)


@pytest.mark.parametrize(
    ("size", "spreads", "alpha"), [(0.005, (0.008,), 0.05), (0.01, (0.005, 0.003), 0.0125), (0.02, (0.001,), 0.05)]
)
def test_seeds_needed_is_the_smallest_number_that_has_the_power(
    size: float, spreads: tuple[float, ...], alpha: float
) -> None:
    n = seeds_needed(size, spreads, alpha)
    assert n is not None
    assert power(n, size, spreads, alpha) >= 0.8
    assert n == 2 or power(n - 1, size, spreads, alpha) < 0.8


def test_out_of_reach_is_none_not_a_large_number() -> None:
    assert seeds_needed(0.0001, (0.01,)) is None
    assert seeds_needed(0.005, (0.0, 0.0)) == 2


def test_upper_spread_is_exceeded_by_the_true_one_in_a_fifth_of_pilots() -> None:
    samples = np.random.default_rng(1).normal(0, 0.008, (20_000, 4))
    limits = [upper_spread(float(s), 4) for s in samples.std(axis=1, ddof=1)]
    assert np.mean(np.array(limits) < 0.008) == pytest.approx(0.2, abs=0.01)


def test_detections_take_the_pilots_spread_and_holms_level() -> None:
    ablation = synthetic.make_ablation(trials=1, expect=[beats("mnr", "softmax"), in_order("softmax", "cosine")])
    plan = synthetic.make(ablation)
    found = detections(plan, 0.005)
    assert [d.claim for d in found] == ["mnr beats softmax", "softmax < cosine"]
    for detection, (better, worse) in zip(found, (("mnr", "softmax"), ("cosine", "softmax")), strict=True):
        scores = {
            name: [r.record.scores[HEADLINE] for r in plan.of(name, "final", "best") if r.record]
            for name in (better, worse)
        }
        spreads = [float(np.std(scores[name], ddof=1)) for name in (better, worse)]
        assert detection.spread == pytest.approx(math.hypot(*spreads))
        assert (detection.alpha, detection.pilot) == (0.025, 3)
        assert detection.over_items is not None
        assert detection.limited_by_pairs == (detection.over_items > 0.005)
        assert (detection.seeds, detection.careful) == (None, None)  # 400 pairs do not show half a point
        assert "no number of final seeds can detect 0.5 points" in str(detection)
        assert " need " not in str(detection)
    for detection, over_items in zip(detections(plan, 0.3), (d.over_items for d in found), strict=True):
        assert over_items is not None
        left = float(np.sqrt(0.3**2 - over_items**2))
        assert detection.seeds == seeds_needed(left, (detection.spread / 2**0.5,) * 2, 0.025) == 2


def test_a_stated_spread_needs_no_pilot_and_a_large_difference_is_not_limited_by_pairs() -> None:
    ablation = synthetic.make_ablation(expect=[beats("mnr", "softmax")])
    nothing = make_plan(ablation, [])
    with pytest.raises(UsageError, match=r"or give it, e\.g\. --sd"):
        detections(nothing, 0.005)
    found = detections(nothing, 0.005, 0.008)[0]
    assert (found.seeds, found.over_items, found.pilot) == (42, None, 0)
    wide = detections(synthetic.make(ablation), 0.3, 0.008)[0]
    assert (wide.limited_by_pairs, wide.seeds) == (False, 2)
    assert "The test items suffice" in str(wide)
    assert f"more than {MOST}" in str(detections(nothing, 0.0001, 0.01)[0])


def test_runs_that_agree_on_every_item_show_neither_spread_nor_error() -> None:
    """Four texts that every run classifies alike suffice for nothing."""
    gold = tuple(i / 40 for i in range(40))
    cosine = tuple((7 * i % 40) / 40 for i in range(40))

    def alike(run: PlannedRun, record: Record) -> Record:
        if HEADLINE not in record.scores:
            return record
        scores = {**record.scores, HEADLINE: intervals.spearman(gold, cosine)}
        return replace(record, scores=scores, items={**record.items, synthetic.TEST: Pairs(gold, cosine)})

    plan = synthetic.make(synthetic.make_ablation(expect=[beats("mnr", "softmax")]), change=alike)
    (found,) = detections(plan, 0.01)
    assert (found.seeds, found.careful, found.over_items) == (None, None, None)
    assert "need cannot be estimated: the 3 seeds in the store have equal scores" in str(found)
    assert "Whether the test items suffice cannot be estimated" in str(found)
    (stated,) = detections(plan, 0.01, 0.008)
    assert "1 points need 12 final seeds" in str(stated)
    assert "Whether the test items suffice cannot be estimated" in str(stated)
    assert "0.00 points" not in f"{found} {stated}"


@pytest.mark.parametrize(("size", "sd"), [(0.0, None), (-0.1, None), (5.0, None), (0.005, -0.1)])
def test_sizes_that_mean_nothing_are_refused(size: float, sd: float | None) -> None:
    with pytest.raises(UsageError, match=r"on a 0 to 1 scale"):
        detections(synthetic.make(), size, sd)


def test_plan_detect_on_the_command_line(study: Path) -> None:
    done = harness("plan", "study.py", "--detect", ".005", "--sd", ".008", cwd=study.parent)
    assert done.returncode == 0, done.stderr
    assert "mnr beats cosine: 0.5 points need 42 final seeds (80 % power with 95 % intervals" in done.stdout
    as_json = harness("plan", "study.py", "--detect", ".005", "--sd", ".008", "--json", cwd=study.parent)
    assert json.loads(as_json.stdout)["detect"][0]["seeds"] == 42
    for wrong, words in ((["--sd", ".008"], "give --detect"), (["--detect", ".005"], "has no pilot")):
        refused = harness("plan", "study.py", *wrong, cwd=study.parent)
        assert (refused.returncode, words in refused.stderr) == (2, True), refused.stderr


def test_planning_imports_no_torch() -> None:
    code = "import sys, harness.verdicts.power, harness.verdicts.order, harness.planning.unlocking; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
