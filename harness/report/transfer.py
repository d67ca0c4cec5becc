"""The report on one ablation on several testbeds: scores side by side, agreement of orders, verdicts of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.files import write_atomically
from harness.report import ranking, result, titles
from harness.report.figures.canvas import draw
from harness.report.figures.ranks import ranks
from harness.report.tables import Table, interval
from harness.stats import intervals
from harness.text import NONE, counted, escape, score, signed
from harness.verdicts.results import spread
from harness.verdicts.rules import Verdict
from harness.verdicts.transfer import Agreement, Side, coefficient


def write_transfer(sides: Sequence[Side], agreements: Sequence[Agreement], folder: Path) -> Path:
    """Write README.md and figures/ranks.svg into `folder`; the same stores give the same bytes.

    Args:
        sides: the testbeds.
        agreements: the agreement of each two of them.
        folder: where the files are written.

    Returns:
        The path of README.md.

    Raises:
        StoreError: the folder cannot be written.
    """
    image = draw(ranks, sides)
    if image is not None:
        write_atomically(folder / "figures" / "ranks.svg", image.decode())
    write_atomically(folder / "README.md", page(sides, agreements, image is not None))
    return folder / "README.md"


def page(sides: Sequence[Side], agreements: Sequence[Agreement], has_figure: bool) -> str:
    """Return the page's markdown."""
    names = [escape(side.testbed) for side in sides]
    scores = dict.fromkeys(titles.of_score(side.plan.ablation.testbed.headline) for side in sides)
    headlines = " and ".join(map(escape, scores))
    sections = [
        f"# {escape(sides[0].plan.ablation.name)} on {' and '.join(names)}",
        f"Does the order of the studies transfer between testbeds? Scores are {headlines} × 100 at each study's "
        "best point, and differences are given in those points.",
        *(text for side in sides for text in result.changed_data(side.plan)),
        "## Agreement",
        _agreement(agreements).markdown(),
        *(_in_reverse(agreement) for agreement in agreements if agreement.in_reverse),
        "*Over seeds*: the 95 percent interval of the coefficient for other final seeds. Studies that differ by less "
        "than the spread over seeds swap ranks in it, which pulls the interval below the coefficient. *Over studies*: "
        "a bootstrap over the studies. *Significant pairs*: pairs of studies whose difference is above or below 0 over "
        "seeds and over test items on both testbeds, at 95 percent each, uncorrected. *Same order*: those of them that "
        "have the same order on both testbeds.",
        "## Scores",
        *(["![Rank of each study on each testbed](figures/ranks.svg)"] if has_figure else []),
        _scores(sides).markdown(),
        "## Budgets",
        _budgets(sides).markdown(),
        "## Expectations",
        _verdicts(sides).markdown() if sides[0].verdicts else "The study file states no expectation.",
    ]
    return "\n\n".join(sections) + "\n"


def _agreement(agreements: Sequence[Agreement]) -> Table:
    header = (
        "testbeds",
        "studies",
        "Spearman's rho",
        "over seeds",
        "over studies",
        "Kendall's tau",
        "significant pairs",
        "same order",
    )
    rows = [
        (
            f"{escape(a.left)}, {escape(a.right)}",
            str(len(a.studies)),
            coefficient(a.rho),
            _coefficients(a.rho_over_seeds),
            _coefficients(a.rho_over_studies),
            coefficient(a.tau),
            str(a.significant),
            str(a.same_order),
        )
        for a in agreements
    ]
    return Table(header, tuple(rows))


def _coefficients(bounds: intervals.Interval | None) -> str:
    return NONE if bounds is None else f"{bounds.low:.2f} to {bounds.high:.2f}"


def _in_reverse(agreement: Agreement) -> str:
    pairs = "; ".join(f"{escape(better)} beats {escape(worse)}" for better, worse in agreement.in_reverse)
    return f"On {escape(agreement.left)}, {pairs}. On {escape(agreement.right)} their order is reversed."


def _scores(sides: Sequence[Side]) -> Table:
    """Return one row per study with its rank on each testbed, sorted by the rank on the last one."""
    names = [finals.study for finals in sides[0].finals]
    places = [_places(side) for side in sides]
    header = ["study"]
    for side in sides:
        header += [f"{escape(side.testbed)}<br>(95 % over seeds)", "rank"]
    rows = []
    for name in sorted(names, key=lambda name: places[-1].get(name, len(names))):
        cells = [escape(name)]
        for side, place in zip(sides, places, strict=True):
            values = list(side.of(name).scores.values())
            mean = score(float(np.mean(values))) if values else NONE
            of = side.of(name)
            bounds = spread(of)
            lost = f"<br>{len(values)} of {counted(of.planned, 'seed')}{ranking.LOST}" if not of.complete else ""
            cells += [f"{mean}<br>({interval(bounds, signs=False)}){lost}" if bounds else mean + lost]
            cells += [ranking.rank(place, name)]
        rows.append(tuple(cells))
    return Table(tuple(header), tuple(rows))


def _places(side: Side) -> dict[str, int]:
    """Return the rank of each study of which all seeds have a score; the untrained model is not ranked."""
    ranked = [finals for finals in side.finals if finals.complete and not finals.constant]
    return ranking.places({finals.study: float(np.mean(list(finals.scores.values()))) for finals in ranked})


def _budgets(sides: Sequence[Side]) -> Table:
    rows = []
    for side in sides:
        bed, budget = side.plan.ablation.testbed, side.plan.ablation.budget
        done, planned = side.plan.count("done"), len(side.plan.runs)
        cells = (
            escape(str(bed.model)),
            "all" if bed.max_rows is None else f"{bed.max_rows:,}",
            str(budget.trials),
            str(budget.seeds),
        )
        rows.append((escape(side.testbed), *cells, f"{bed.lr_scale:g}", f"{done} of {planned}"))
    return Table(
        ("testbed", "model", "rows requested", "trials", "seeds", "lr scale", "runs done"), tuple(rows), left=2
    )


def _verdicts(sides: Sequence[Side]) -> Table:
    """Return one row per claim with each testbed's verdict; all testbeds share the claims of the study file."""
    header = ("claim", *(escape(side.testbed) for side in sides))
    claims = zip(*(side.verdicts for side in sides), strict=True)
    rows = [(escape(verdicts[0].expectation), *map(_cell, verdicts)) for verdicts in claims]
    return Table(header, tuple(rows), left=len(header))


def _cell(verdict: Verdict) -> str:
    return verdict.verdict if verdict.difference is None else f"{verdict.verdict} ({signed(verdict.difference)})"
