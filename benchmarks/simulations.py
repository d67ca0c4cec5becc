"""Simulate the harness's statistics: coverage, wrong verdicts, power, and looking until decided.

    python benchmarks/simulations.py            # prints the tables of docs/statistics.md; minutes on one core
    python benchmarks/simulations.py --figure docs/figures/power.svg

All numbers come from the functions that judge real ablations. The seeds of the generators are fixed. The tests run the
same simulations with fewer samples.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness import testbeds
from harness.planning.plan import Plan, PlannedRun
from harness.report.figures import COLOURS, GREY, MARKERS, draw
from harness.scores import HEADLINE
from harness.spec import losses
from harness.spec.ablation import Ablation
from harness.spec.budget import Budget
from harness.spec.expectations import beats, in_order
from harness.spec.space import Point, Space, choice, log_uniform
from harness.spec.study import Study
from harness.stats import estimates, intervals, repeated_looks
from harness.stats.bootstrap import RESAMPLES, resampled_spearman
from harness.stats.power import power
from harness.store.items import Pairs
from harness.store.records import Record
from harness.verdicts.evidence import Evidence
from harness.verdicts.judge import judge
from harness.verdicts.order import posterior_in_order

Floats = NDArray[np.float64]

TEST = "stsb-test"

SPREADS = (0.005, 0.01)
"""Standard deviations over seeds of STSB test Spearman, the lower and upper of what fine-tuned BERTs show."""

SEEDS = (3, 5, 10, 20)

NAMES = ("a", "b", "c", "d")


def coverage_over_seeds(seeds: int, spread: float, samples: int, collapses: float = 0.0) -> float:
    """Return how often the 95 percent Welch interval holds the true mean difference of two studies.

    Args:
        collapses: chance that one training ends five standard deviations low; the t interval assumes that none does.
    """
    random = np.random.default_rng(seeds)
    scores = random.normal(0, spread, (samples, 2, seeds))
    scores -= 5 * spread * (random.random(scores.shape) < collapses)
    found = [estimates.interval(0.01 + new, old) for old, new in scores]
    return float(np.mean([i is not None and i.low <= 0.01 <= i.high for i in found]))


def coverage_over_pairs(pairs: int, samples: int, resamples: int = 399) -> float:
    """Return how often the 95 percent paired bootstrap interval holds the true difference of two models' Spearman.

    Gold scores lie on a grid of 26 values, as STSB's do, and the models err partly alike.
    """

    def draw(random: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        gold = np.round(random.uniform(0, 5, n) * 5) / 25
        common, own = random.normal(0, 0.2, n), random.normal(0, 0.2, (2, n))
        return gold, gold + common + own * np.array([[1.0], [0.8]])

    gold, models = draw(np.random.default_rng(0), 1_000_000)
    truth = intervals.spearman(gold, models[1]) - intervals.spearman(gold, models[0])
    random = np.random.default_rng(pairs)
    covered = 0
    for seed in range(samples):
        gold, models = draw(random, pairs)
        old, new = (resampled_spearman(gold, scores, resamples=resamples, seed=seed) for scores in models)
        found = intervals.percentile_interval(new - old)
        covered += found.low <= truth <= found.high
    return covered / samples


def equal_ablation(random: np.random.Generator, *, pairs: int, seeds: int, over: str) -> Plan:
    """Return a finished plan with four equal studies and three claims that one beats another.

    Args:
        random: generator of the scores.
        pairs: number of test pairs.
        seeds: number of final seeds.
        over: what varies. "pairs": all seeds of a study agree, and studies differ by the sample of pairs only; "seeds":
            the seed decides how good a model is, and all models err on the same pairs.
    """
    gold = np.round(random.uniform(0, 5, pairs) * 5) / 25
    common = random.normal(size=pairs)
    runs = []
    for name in NAMES:
        own = random.normal(size=pairs)
        for seed in range(1, seeds + 1):
            scale = 0.25 if over == "pairs" else 0.25 * np.exp(random.normal(0, 0.1))
            noise = (common + own) / np.sqrt(2) if over == "pairs" else common
            cosine = gold + scale * (noise + 0.02 * random.normal(size=pairs))
            predicted = Pairs(tuple(gold), tuple(cosine))
            scores = {HEADLINE: intervals.spearman(predicted.gold, predicted.cosine)}
            key = f"{name}{seed}"
            record = Record(key, name, "final", seed, _POINT, None, "ok", scores=scores, items={TEST: predicted})
            runs.append(PlannedRun(name, "final", seed, "done", _POINT, None, key, ("best",), record))
    return Plan(_ABLATION, tuple(runs))


_POINT = Point(32, 5e-5)
_ABLATION = Ablation(
    name="simulated",
    testbed=testbeds.book,
    studies=[Study(name, losses.MultipleNegativesRankingLoss, "pair") for name in NAMES],
    space=Space(batch_size=choice(32), lr=log_uniform(1e-6, 1e-4)),
    budget=Budget(),
    expect=[in_order("a", "b", "c"), beats("d", "a")],
)


def false_verdicts(ablations: int, *, pairs: int, seeds: int, over: str) -> tuple[float, float]:
    """Return in which share of ablations of equal studies a claim holds, and in which any claim is decided."""
    random = np.random.default_rng(seeds)
    found = [
        {verdict.verdict for verdict in judge(equal_ablation(random, pairs=pairs, seeds=seeds, over=over))}
        for _ in range(ablations)
    ]
    return (
        float(np.mean(["holds" in verdicts for verdicts in found])),
        float(np.mean([bool(verdicts & {"holds", "violated"}) for verdicts in found])),
    )


def family_wise(
    ablations: int,
    *,
    studies: int,
    seeds: int,
    over_items: float,
    over_seeds: float,
    holm: bool = True,
    together: bool = True,
) -> float:
    """Return the share of ablations of equal studies with any wrong decision; each is claimed to beat the one before.

    Scores are simulated, and not predictions.

    Args:
        over_items: standard error of a study's score over pairs, equal for all its seeds; the bootstrap estimates it.
        over_seeds: standard deviation over seeds.
        holm: use Holm's correction; otherwise each claim is judged by itself.
        together: also require significance of both uncertainties together; otherwise only the two intervals decide.
    """
    random = np.random.default_rng(studies)
    wrong = 0
    for _ in range(ablations):
        by_pairs = random.normal(0, over_items, (studies, 1))
        scores = by_pairs + random.normal(0, over_seeds, (studies, seeds))
        resampled = scores.mean(axis=1)[:, None] + random.normal(0, over_items, (studies, 399))
        claims = [
            Evidence(tuple(scores[i]), tuple(scores[i - 1]), resampled[i] - resampled[i - 1], items=1379)
            for i in range(1, studies)
        ]
        p_values = [claim.p_value(0.0) if together else _two_intervals_p(claim) for claim in claims]
        levels = intervals.holm_levels(p_values) if holm else [intervals.ALPHA] * len(claims)
        wrong += any(p <= level for p, level in zip(p_values, levels, strict=True))
    return wrong / ablations


def wrong_about_a_score(
    kind: str, samples: int, *, seeds: int, over_items: float, over_seeds: float, together: bool = True
) -> float:
    """Return how often a claim about a study's own score is decided wrongly where the truth lies on its border.

    Args:
        kind: "within" a tolerance of .01: the true mean over seeds on these very test pairs is .01 off, so to hold is
            wrong, and to be violated is, too. "at least": the true mean on pairs of this kind is the score itself, the
            test pairs are drawn, and any decision is wrong.
        over_items: standard error that the draw of the test pairs brings.
        over_seeds: standard deviation over seeds.
        together: apply the whole rule; False judges "at least" by two intervals that need not agree at once.
    """
    random, wrong = np.random.default_rng(seeds), 0
    for _ in range(samples):
        off = 0.01 if kind == "within" else random.normal(0, over_items)
        by_seed = tuple(off + random.normal(0, over_seeds, seeds))
        resampled = np.mean(by_seed) + random.normal(0, over_items, 999)
        known = Evidence(by_seed, None, resampled, items=1379)
        if kind == "within":
            wrong += known.p_within(0.01) <= intervals.ALPHA
        elif together:
            wrong += known.p_value(0.0) <= intervals.ALPHA
        else:
            wrong += all(i is not None and i.low >= 0 for i in (known.over_items(), known.over_seeds())) or all(
                i is not None and i.high < 0 for i in (known.over_items(), known.over_seeds())
            )
    return wrong / samples


def _two_intervals_p(claim: Evidence) -> float:
    assert claim.resampled is not None
    assert claim.old is not None
    seeds = estimates.p_below(0.0, claim.new, claim.old), estimates.p_below(0.0, claim.old, claim.new)
    pairs = intervals.bootstrap_p(claim.resampled, 0.0), intervals.bootstrap_p(-claim.resampled, 0.0)
    return 2 * min(map(max, seeds, pairs))


@dataclass(frozen=True)
class Looking:
    """What looking until decided gave: shares of ablations with a wrong and with a right decision, mean seeds used."""

    wrong: float
    right: float
    seeds: float


def until_decided(
    ablations: int,
    *,
    first: int,
    last: int,
    claims: int = 1,
    size: float = 0.0,
    spread: float = 0.008,
    over_items: float = 0.0,
    spend: bool = True,
) -> Looking:
    """Judge at each seed from `first` to `last`, add seeds for open claims only; the first claim is true by `size`.

    The claims share a study, so their differences are correlated. `right` is the share of ablations in which the first
    claim holds at the end, and `wrong` the share in which another claim is decided (any claim if `size` is 0).

    Args:
        spread: standard deviation of a difference between two seeds, one of each study.
        over_items: standard error of each difference over pairs, which further seeds do not change.
        spend: use the levels for repeated looks; otherwise each look uses the level of a single look.
    """
    random = np.random.default_rng(last)
    looks = repeated_looks.looks_between(first, last) if spend else ()
    wrong, right, seeds = 0, 0, 0.0
    for _ in range(ablations):
        scores = random.normal(0, spread / np.sqrt(2), (claims + 1, last))
        scores[1] += size
        scores[1:] += random.normal(0, over_items, (claims, 1))
        least = scores[0]
        resampled = random.normal(0, over_items, (claims, RESAMPLES))  # fewer cannot reach small levels
        counts, decided = [first] * claims, [False] * claims
        while True:
            p_values = [
                repeated_looks.spent(_at_look(new[:n], least[:n], luck).p_value(0.0), looks, samples=2)
                for new, luck, n in zip(scores[1:], resampled, counts, strict=True)
            ]
            decided = [p <= level for p, level in zip(p_values, intervals.holm_levels(p_values), strict=True)]
            grown = [n if done else min(last, n + 1) for n, done in zip(counts, decided, strict=True)]
            if grown == counts:
                break
            counts = grown
        seeds += sum(counts) / claims
        positive = bool((scores[1] - least)[: counts[0]].mean() > 0)
        right += decided[0] and positive and size > 0
        wrong += any(decided[1:]) or (decided[0] and not (size > 0 and positive))
    return Looking(wrong / ablations, right / ablations, seeds / ablations)


def _at_look(new: Floats, old: Floats, luck: Floats) -> Evidence:
    return Evidence(tuple(new), tuple(old), new.mean() - old.mean() + luck, items=1379)


def sure_of_equals(ablations: int, *, studies: int, seeds: int) -> tuple[float, float]:
    """Return the mean probability over seeds of an order of equal studies, and how often it is above 0.95."""
    random = np.random.default_rng(studies)
    found = [
        posterior_in_order(list(random.normal(0, 0.008, (studies, seeds))), [False] * studies, 1999, seed) or 0.0
        for seed in range(ablations)
    ]
    return float(np.mean(found)), float(np.mean(np.array(found) > 0.95))


def power_figure(spreads: Sequence[float]) -> Figure:
    """Draw power against the true difference for several numbers of seeds, a panel a spread of a study's scores."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, len(spreads), sharey=True)
    sizes = np.linspace(0, 0.04, 161)
    for axes, spread in zip(panels, spreads, strict=True):
        for index, seeds in enumerate(SEEDS):
            shown = [100 * power(seeds, float(size), (spread, spread)) for size in sizes]
            axes.plot(
                100 * sizes, shown, color=COLOURS[index], marker=MARKERS[index], markevery=16, label=f"{seeds} seeds"
            )
        axes.axhline(80, color=GREY, linewidth=1.2, linestyle="--", label="80 percent")
        axes.set(xlabel="true difference in Spearman × 100", xlim=(0, 4), ylim=(0, 102))
        axes.set_title(f"scores over seeds: standard deviation {100 * spread:.1f} points")
    panels[0].set_ylabel("chance that the interval over seeds\nlies above 0, in percent")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    return figure


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def show(text: str) -> None:
    """Print a text at once."""
    print(text, flush=True)


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def print_tables() -> None:
    """Run all simulations and print their tables as markdown, each as it is done."""
    show("Coverage of 95 % t intervals over seeds, in percent (20,000 samples a cell)\n")
    rows = [
        [f"{chance:g}" if chance else "none", *(percent(coverage_over_seeds(n, 0.008, 20_000, chance)) for n in SEEDS)]
        for chance in (0.0, 0.02, 0.05, 0.1)
    ]
    show(table(["chance that a training collapses", *(f"{n} seeds" for n in SEEDS)], rows))
    show("Coverage of 95 % paired bootstrap intervals over pairs, in percent\n")
    rows = [[f"{n:,}", percent(coverage_over_pairs(n, 600))] for n in (250, 900, 1379)]
    show(table(["pairs", "covered"], rows))
    show("Four equal studies, three claims, through `check`, in percent of 200 ablations\n")
    rows = []
    for over in ("pairs", "seeds"):
        for seeds in (3, 5):
            holds, decided = false_verdicts(200, pairs=100, seeds=seeds, over=over)
            rows.append([f"{over}, {seeds} seeds", percent(holds), percent(decided)])
    show(table(["what varies", "a claim holds", "a claim is decided"], rows))
    show("Any wrong decision in ablations of equal studies, in percent of 4,000\n")
    rows = []
    for studies in (2, 4, 8):
        for over_items, over_seeds in ((0.001, 0.01), (0.01, 0.001), (0.007, 0.007)):
            given = {"studies": studies, "seeds": 5, "over_items": over_items, "over_seeds": over_seeds}
            shares = [family_wise(4000, **given, holm=holm) for holm in (True, False)]  # type: ignore[arg-type]
            rows.append([str(studies - 1), f"{100 * over_items:g}", f"{100 * over_seeds:g}", *map(percent, shares)])
    show(table(["claims", "sd over pairs", "sd over seeds", "with Holm", "each by itself"], rows))
    show("Two equal studies, equal uncertainty over pairs and seeds: decided, in percent of 6,000 ablations\n")
    rows = []
    for seeds in SEEDS:
        given = {"studies": 2, "seeds": seeds, "over_items": 0.005, "over_seeds": 0.005 * seeds**0.5}
        shares = [family_wise(6000, **given, together=together) for together in (False, True)]  # type: ignore[arg-type]
        rows.append([str(seeds), *map(percent, shares)])
    show(table(["seeds", "by two intervals only", "and by both together"], rows))
    show("A study's own score, with the true value at the border of the claim: decided, in percent of 6,000\n")
    rows = []
    for seeds in SEEDS:
        alike = {"seeds": seeds, "over_items": 0.005, "over_seeds": 0.005 * seeds**0.5}
        narrow, wide = ({"seeds": seeds, "over_items": pairs, "over_seeds": 0.005} for pairs in (0.001, 0.01))
        shares = [
            *(wrong_about_a_score("within", 6000, **given) for given in (narrow, wide)),  # type: ignore[arg-type]
            *(wrong_about_a_score("at least", 6000, **alike, together=both) for both in (False, True)),
        ]
        rows.append([str(seeds), *map(percent, shares)])
    header = [
        "seeds",
        "within, pairs' error .1",
        "within, pairs' error 1",
        "at least, by two intervals only",
        "at least",
    ]
    show(table(header, rows))
    show("Power in percent: true difference in points, standard deviation a study in points\n")
    rows = [
        [f"{100 * spread:g}", f"{100 * size:g}", *(percent(power(n, size, (spread, spread))) for n in SEEDS)]
        for spread in SPREADS
        for size in (0.005, 0.01, 0.02, 0.03)
    ]
    show(table(["sd", "difference", *(f"{n} seeds" for n in SEEDS)], rows))
    show("Looking until decided: 4,000 ablations of one claim, 2,000 of three\n")
    rows = []
    for first, last in ((3, 10), (5, 10), (5, 20)):
        for claims in (1, 3):
            runs = 4000 if claims == 1 else 2000
            spent, naive = (
                until_decided(runs, first=first, last=last, claims=claims, spend=spend) for spend in (True, False)
            )
            rows.append([f"{first} to {last}", str(claims), percent(spent.wrong), percent(naive.wrong)])
    show(table(["seeds", "claims", "wrong decisions", "the same at the level of one look"], rows))
    show("One true claim, sd of the difference 0.8 points: seeds used and power, 4,000 ablations\n")
    rows = []
    for first, last in ((3, 10), (5, 10), (5, 20)):
        for size in (0.0, 0.005, 0.01, 0.02):
            found = until_decided(4000, first=first, last=last, size=size)
            fixed = [percent(power(n, size, (0.008 / 2**0.5,) * 2)) if size else "" for n in (first, last)]
            rows.append([f"{first} to {last}", f"{100 * size:g}", f"{found.seeds:.1f}", percent(found.right), *fixed])
    head = ["seeds", "difference", "mean seeds used", "power", "power, the fewest fixed", "power, the most fixed"]
    show(table(head, rows))
    show("Probability over seeds of orders of equal studies, 5 seeds, 2,000 orders\n")
    rows = [
        [str(studies), f"{mean:.3f}", percent(sure)]
        for studies in (2, 3, 4)
        for mean, sure in [sure_of_equals(2000, studies=studies, seeds=5)]
    ]
    show(table(["studies", "mean probability", "above 0.95, in percent"], rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", metavar="FILE", type=Path, help="draw the power curves instead")
    options = parser.parse_args()
    if options.figure is None:
        print_tables()
        return
    image = draw(power_figure, SPREADS)
    assert image is not None
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    options.figure.write_bytes(image)


if __name__ == "__main__":
    main()
