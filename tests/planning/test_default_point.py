"""A default point outside the space: it is tried first, and the plan says so in one line."""

from __future__ import annotations

from dataclasses import replace

import synthetic

from harness import Ablation, Space, choice, log_uniform
from harness.cli.tables import plan_summary
from harness.planning.planner import make_plan


def ablation(space: Space) -> Ablation:
    return replace(synthetic.make_ablation(["softmax", "mnr"], expect=[]), space=space)


def told(made: Ablation, only: str | None = None) -> list[str]:
    plan = make_plan(made, [])
    if only:
        plan = replace(plan, runs=tuple(run for run in plan.runs if run.study == only))
    return [line for line in plan_summary(plan, 1) if "outside the space" in line]


def test_a_default_point_outside_the_space_is_one_line_of_the_plan() -> None:
    above = ablation(Space(batch_size=choice(16, 32), lr=log_uniform(1e-4, 5e-3)))
    (line,) = told(above)
    assert line.startswith("softmax, mnr: of the default point")
    assert "lr 5e-05 is outside the space, which begins at 0.0001;" in line
    assert "batch_size" not in line
    assert [line.partition(":")[0] for line in told(above, only="mnr")] == ["mnr"]

    (both,) = told(ablation(Space(batch_size=choice(8, 16), lr=log_uniform(1e-6, 1e-5))))
    assert "batch_size 32 is outside the space, which holds 8, 16; lr 5e-05 is outside" in both
    assert told(ablation(Space(batch_size=choice(16, 32), lr=log_uniform(5e-5, 5e-3)))) == []


def test_studies_with_options_of_their_own_are_told_apart() -> None:
    made = ablation(Space(batch_size=choice(32), lr=log_uniform(1e-5, 1e-4)))
    first, second = made.studies
    fixed = replace(first, fixed={"lr": 1e-3})  # outside the common space, and all that this study may take
    tuned = replace(second, options={"scale": choice(10, 20, default=30)})
    (line,) = told(replace(made, studies=[fixed, tuned]))
    assert line.startswith("mnr: ")
    assert "scale 30 is outside the space, which holds 10, 20" in line
