"""Sketches of tensors, and where two trainings begin to differ."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from harness.upgrading.localising import location
from harness.upgrading.probing import EVALUATION, VERSION, Probe, Stage
from harness.upgrading.sketches import Sketch, distance, of_texts, sketch

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=(64, 32))
STAGES = (
    "training rows",
    "initial weights",
    "loss at step 1",
    "gradients at step 1",
    "weights after step 1",
    EVALUATION,
)
NAMES = (
    "0.model.embeddings.word_embeddings.weight",
    "0.model.encoder.layer.1.output.dense.weight",
    "loss.classifier.weight",
)


def probe(precision: str = "fp32", **changed: Mapping[str, np.ndarray]) -> Probe:
    """A probe whose stages all see the same arrays, except for those that are given by the stage's first word."""
    stages = []
    for stage in STAGES:
        seen = dict.fromkeys(NAMES, WEIGHTS) | dict(changed.get(stage.split()[0], {}))
        stages.append(Stage(stage, {name: sketch(value) for name, value in seen.items()}))
    return Probe(VERSION, "softmax", precision, tuple(stages))


@pytest.mark.parametrize("share", [1e-6, 1e-3, 0.3, 1.5])
def test_sketches_show_by_how_much_tensors_differ(share: float) -> None:
    estimates = []
    for number in range(40):
        random = np.random.default_rng(number)
        one = random.normal(size=3001)
        step = random.normal(size=3001)
        other = one + share * step / np.linalg.norm(step) * np.linalg.norm(one)
        estimates.append(distance(sketch(one), sketch(other)) * max(np.linalg.norm(one), np.linalg.norm(other)))
        assert estimates[-1] / (share * np.linalg.norm(one)) == pytest.approx(1, abs=0.6)
    norm = np.mean([np.linalg.norm(np.random.default_rng(number).normal(size=3001)) for number in range(40)])
    assert np.mean(estimates) == pytest.approx(share * norm, rel=0.1)


def test_a_sketch_sees_what_sums_and_lengths_do_not() -> None:
    assert distance(sketch(WEIGHTS), sketch(WEIGHTS[::-1])) > 0.5  # another order
    assert distance(sketch(WEIGHTS), sketch(-WEIGHTS)) > 1  # another sign
    assert distance(sketch(WEIGHTS), sketch(WEIGHTS.copy())) == 0
    assert distance(sketch(WEIGHTS), sketch(WEIGHTS.reshape(32, 64))) == math.inf
    assert distance(sketch(WEIGHTS), sketch(WEIGHTS * np.nan)) == math.inf
    assert distance(sketch(np.zeros(4)), sketch(-np.zeros(4))) == 0  # other bytes, the same numbers
    assert distance(of_texts(["a", "b"]), of_texts(["a", "b"])) == 0
    assert distance(of_texts(["a", "b"]), of_texts(["b", "a"])) == math.inf


def test_a_sketch_is_the_same_everywhere() -> None:
    """Both sides of a comparison make their own, under other versions of numpy."""
    assert sketch(np.arange(70)).numbers[:4] == (-32.0, -31.0, 30.0, -99.0)


def test_no_difference_is_told_as_such() -> None:
    found = location(probe(), probe())
    assert found.first is None
    assert found.evaluation is None
    assert found.identical == STAGES[:-1]
    assert str(found) == "no difference in the first steps of a training; the untrained model is evaluated alike"


def test_the_first_difference_counts_and_names_the_parameters() -> None:
    changed = {"loss.classifier.weight": 2 * WEIGHTS}
    found = location(probe(), probe(gradients=changed, weights=changed))
    assert found.first is not None
    assert (found.first.stage, found.first.name) == ("gradients at step 1", "loss.classifier.weight")
    assert found.first.groups == ("the loss's own parameters",)
    assert found.first.agreeing == ("the embeddings", "the layers")
    assert found.first.new == pytest.approx(2 * (found.first.old or 0))
    assert found.identical[-1] == "loss at step 1"
    assert str(found).startswith(
        "identical until: loss at step 1; first difference: gradients at step 1, of the loss's own parameters "
        f"(loss.classifier.weight: norm {np.linalg.norm(WEIGHTS):.4g} against {2 * np.linalg.norm(WEIGHTS):.4g}"
    )


def test_rounding_is_told_apart_from_a_difference() -> None:
    rounded = {NAMES[1]: WEIGHTS * (1 + 1e-6 * RANDOM.normal(size=WEIGHTS.shape))}
    found = location(probe(), probe(initial=rounded, gradients={NAMES[0]: 1.1 * WEIGHTS}))
    assert found.identical == STAGES[:1]
    assert found.rounded == STAGES[1:3]
    assert found.first is not None
    assert found.first.stage == "gradients at step 1"
    assert "equal up to rounding until: loss at step 1" in str(found)
    only_rounding = location(probe(), probe(gradients=rounded))
    assert only_rounding.first is None
    assert "rounding in gradients at step 1" in str(only_rounding)


def test_half_precision_rounds_coarser_in_training_only() -> None:
    coarse = {NAMES[1]: WEIGHTS * (1 + 4e-3 * RANDOM.normal(size=WEIGHTS.shape))}
    assert location(probe("bf16"), probe("bf16", gradients=coarse)).first is None
    assert location(probe(), probe(gradients=coarse)).first is not None
    assert location(probe("bf16"), probe("bf16", initial=coarse)).first is not None


def test_gradients_that_are_nothing_but_rounding_are_no_difference() -> None:
    """Those of a key's bias are 0 but for rounding, since attention does not change if all keys are shifted."""
    noise = [{"0.encoder.layer.1.key.bias": 1e-6 * RANDOM.normal(size=32)} for _ in range(2)]
    assert location(probe(gradients=noise[0]), probe(gradients=noise[1])).first is None
    assert location(probe(weights=noise[0]), probe(weights=noise[1])).first is not None


def test_what_only_one_side_has_is_a_difference() -> None:
    more = {"loss.logit_scale": np.ones(1)}
    for old, new in ((probe(), probe(initial=more)), (probe(initial=more), probe())):
        found = location(old, new)
        assert found.first is not None
        assert (found.first.stage, found.first.name, found.first.relative) == (
            "initial weights",
            "loss.logit_scale",
            None,
        )


def test_evaluation_is_judged_apart_from_training() -> None:
    found = location(probe(), probe(evaluation={NAMES[0]: 2 * WEIGHTS}))
    assert found.first is None
    assert found.evaluation is not None
    assert "evaluation differs" in str(found)


def test_names_from_a_library_are_shown_and_not_interpreted() -> None:
    found = location(probe(), probe(gradients={"loss.\x1b[31m": np.ones(3)}))
    assert "\x1b" not in str(found)
    assert isinstance(sketch(np.ones(3)), Sketch)
