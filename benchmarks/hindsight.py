"""How often do claims about equal studies "hold" under procedures that use scores which were already seen?

    python benchmarks/hindsight.py [--ablations 400]

Two or three studies are equal: they differ only by chance in seeds and test pairs. Each procedure uses the real `check`
on a store whose log of designs is written as by a driver. Claims are counted if their verdict is "holds", and again if
they also hold under `check --strict`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from rich.console import Console
from rich.table import Table

from harness import testbeds
from harness.planning import unlocking
from harness.planning.plan import Plan, PlannedRun
from harness.planning.planner import Planner
from harness.spec import losses
from harness.spec.ablation import Ablation
from harness.spec.budget import Budget
from harness.spec.expectations import Expectation, beats
from harness.spec.space import Space, choice, log_uniform
from harness.spec.study import Study
from harness.stats import intervals
from harness.store.designs import Design
from harness.store.items import Pairs
from harness.store.records import Record
from harness.verdicts.judge import judge
from harness.verdicts.rules import Verdict
from harness.verdicts.until_decided import grown

DEV, TEST = "stsb-dev", "stsb-test"
MNR = losses.MultipleNegativesRankingLoss
PAIRS, MOST = 300, 10
SPREAD = {"seed": 0.6, "pair": 0.25}
"""Standard deviations of the cosines' errors: of those that all seeds of a study share, and of those of one seed."""


def ablation(names: Iterable[str], claims: Iterable[Expectation], seeds: int, most: int | None = None) -> Ablation:
    return Ablation(
        name="equal",
        testbed=replace(testbeds.book, also=()),
        studies=[Study(name, MNR.given(scale=scale), "pair") for scale, name in enumerate(names, 1)],
        space=Space(batch_size=choice(16), lr=log_uniform(1e-6, 2e-4)),
        budget=Budget(trials=1, seeds=seeds, max_seeds=most),
        expect=list(claims),
    )


class Store:
    """The records and the log of one store."""

    def __init__(self, luck: int) -> None:
        self._luck = luck
        self._gold = np.random.default_rng(luck).uniform(size=PAIRS)
        self.records: dict[str, Record] = {}
        self.designs: tuple[Design, ...] = ()

    def look(self, declared: Ablation) -> list[Verdict]:
        """Execute the missing runs of an ablation, as a driver would, and judge its claims."""
        entry = unlocking.design(declared, self.records.values())
        if unlocking.is_news(entry, self.designs):
            self.designs = (*self.designs, entry)
        while runs := [run for run in self._plan(declared).runs if run.state == "to do"]:
            self.records |= {str(run.id): self._record(run) for run in runs}
        return judge(self._plan(declared))

    def _plan(self, declared: Ablation) -> Plan:
        return grown(Planner(declared, self.records.values()), self.designs)

    def _record(self, run: PlannedRun) -> Record:
        study = np.random.default_rng([self._luck, *run.study.encode()])
        seed = np.random.default_rng([self._luck, run.seed, *run.study.encode()])
        noise = SPREAD["pair"] * study.normal(size=PAIRS) + SPREAD["seed"] * seed.normal() * seed.normal(size=PAIRS)
        pairs = Pairs(tuple(self._gold.tolist()), tuple((self._gold + noise).tolist()))
        score = intervals.spearman(pairs.gold, pairs.cosine)
        scores = {f"{DEV}/spearman_cosine": 0.5}
        final = run.stage != "tune"
        if final:
            scores |= {f"{TEST}/spearman_cosine": score, f"{TEST}/pearson_cosine": score}
        predictions = {DEV: pairs, TEST: pairs} if final else {}
        who = (str(run.id), run.study, run.stage, run.seed, run.point, run.trial)
        return Record(*who, "ok", scores=scores, items=predictions)


AB = ("a", "b")
A_BEATS_B, B_BEATS_A = beats("a", "b"), beats("b", "a")


def once(store: Store) -> list[Verdict]:
    return store.look(ablation(AB, [A_BEATS_B], MOST))


def lower(store: Store) -> list[Verdict]:
    """Judge with ten seeds, then with the first two, three, ..., and keep all verdicts that hold."""
    return [v for seeds in (MOST, *range(2, MOST)) for v in store.look(ablation(AB, [A_BEATS_B], seeds))]


def raise_(store: Store) -> list[Verdict]:
    """Judge with two seeds, and add one seed as long as the claim does not hold."""
    return [v for seeds in range(2, MOST + 1) for v in store.look(ablation(AB, [A_BEATS_B], seeds))]


def extend(store: Store) -> list[Verdict]:
    """Add seeds until the claim is decided, at most 4; if it is still open, at most 7; then at most 10."""
    return [v for most in (4, 7, MOST) for v in store.look(ablation(AB, [A_BEATS_B], 3, most))]


def swap(store: Store) -> list[Verdict]:
    """Replace a study that was not beaten, and the claim about it, by another study."""
    return [v for other in "bcd" for v in store.look(ablation(("a", other), [beats("a", other)], MOST))]


def turn(store: Store) -> list[Verdict]:
    """Claim one direction, and then the other."""
    return [v for claim in (A_BEATS_B, B_BEATS_A) for v in store.look(ablation(AB, [claim], MOST))]


def drop(store: Store) -> list[Verdict]:
    """Claim that a beats b, c and d, and then keep only the claim with the largest difference."""
    claims = [beats("a", other) for other in "bcd"]
    verdicts = store.look(ablation("abcd", claims, MOST))
    best = max(range(3), key=lambda index: verdicts[index].difference or 0.0)
    return [*verdicts, *store.look(ablation("abcd", [claims[best]], MOST))]


PROCEDURES: tuple[tuple[str, Callable[[Store], list[Verdict]]], ...] = (
    ("ten seeds, one look", once),
    ("ten seeds, then fewer", lower),
    ("two seeds, then more", raise_),
    ("until decided: at most 4 seeds, then 7, then 10", extend),
    ("the claim reversed", turn),
    ("another study instead of the one not beaten", swap),
    ("three claims, then the best", drop),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--ablations", type=int, default=400)
    number = parser.parse_args().ablations
    table = Table("procedure", "holds", "holds under --strict")
    for name, procedure in PROCEDURES:
        counted = [_counted(procedure, luck) for luck in range(number)]
        table.add_row(name, *(f"{100 * sum(held) / number:.1f} %" for held in zip(*counted, strict=True)))
    Console().print(table)


def _counted(procedure: Callable[[Store], list[Verdict]], luck: int) -> tuple[bool, bool]:
    held = [verdict for verdict in procedure(Store(luck)) if verdict.verdict == "holds"]
    return bool(held), any(not verdict.late for verdict in held)


if __name__ == "__main__":
    main()
