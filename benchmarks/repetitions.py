"""How often does the book's order come out with other seeds? Repetitions of the untuned claims.

    python benchmarks/repetitions.py --repetitions 20 --seeds 4 --store runs/repetitions

Every study of benchmarks/planted.py, which are those of studies/all_losses.py and a planted null, or of another
`--study-file`, is trained at its default point with as many seeds as all repetitions need together, on the embedded
testbed and without mteb. Seeds 1 to n are the first repetition's, the next n the second's. Each repetition is judged by
the same check as an ablation of its own; with one trial the best point is the default one. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from harness import api, testbeds
from harness.planning.plan import Plan, run_id
from harness.planning.planner import make_plan
from harness.scores import HEADLINE
from harness.spec.ablation import Ablation, restrict
from harness.spec.loading import load_study_file
from harness.store.records import Record
from harness.verdicts.judge import judge


def repetition(plan: Plan, number: int, seeds: int) -> Plan:
    """Return the plan of one repetition: its own final runs under the names of seeds 1 to `seeds`."""
    small = replace(plan.ablation, budget=replace(plan.ablation.budget, seeds=seeds))
    known = [run.record for run in plan.runs if run.record is not None]
    return make_plan(small, [own for record in known if (own := _own(small, record, number * seeds)) is not None])


def _own(small: Ablation, record: Record, before: int) -> Record | None:
    if record.stage != "final":
        return record
    seed = record.seed - before
    if not 1 <= seed <= small.budget.seeds:
        return None
    return replace(record, seed=seed, id=run_id(small, record.study, "final", seed, record.point))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=4, help="final seeds of each repetition")
    parser.add_argument("--store", type=Path, default=Path("runs/repetitions"))
    parser.add_argument("--study-file", type=Path, default=Path(__file__).parent / "planted.py")
    options = parser.parse_args(arguments)
    declared = load_study_file(options.study_file)
    seeds = options.repetitions * options.seeds
    plan = api.run(restrict(declared, testbed=testbeds.embedded, trials=1, seeds=seeds, tasks=()), options.store)
    verdicts: dict[str, Counter[str]] = {}
    for number in range(options.repetitions):
        for verdict in judge(repetition(plan, number, options.seeds)):
            verdicts.setdefault(verdict.expectation, Counter())[verdict.verdict] += 1
    finals = [run.record for run in plan.runs if run.stage == "final" and run.record is not None]
    scores = pd.DataFrame([(r.study, 100 * r.scores[HEADLINE]) for r in finals], columns=["study", "score"])
    spread = scores.groupby("study")["score"].agg(["mean", "std", "min", "max", "count"]).round(2)
    print(json.dumps({"verdicts": verdicts, "scores": spread.to_dict("index")}, indent=1))


if __name__ == "__main__":
    main()
