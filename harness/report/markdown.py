"""The report's page in markdown: verdict, results, threats to validity, and how to reproduce them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from harness.planning.choice import RIVALS
from harness.report import (
    audit,
    budgets,
    checks,
    curves,
    explain,
    items,
    origin,
    protocol,
    ranking,
    result,
    sweeps,
    tables,
    titles,
)
from harness.report.facts import DRAWN, Facts, Row, without_paths
from harness.report.figures import ALL, by_number
from harness.report.threats import threats
from harness.text import counted, escape
from harness.verdicts.rules import Judgement


def page(facts: Facts, figures: Collection[str], command: str) -> str:
    """Return the README's text.

    Args:
        facts: what the page states.
        figures: names of the figures that exist.
        command: the shell command that reproduces the runs.
    """
    ablation = facts.plan.ablation
    sections = [
        f"# {escape(ablation.name)} on testbed {escape(ablation.testbed.name)}",
        f"**{verdict_line(facts)}**",
        *result.section(facts),
        budget_line(facts),
        "## Scores",
        *_result(facts),
        "## Differences",
        _figure("differences", figures, "no two consecutive studies have final runs"),
        f"The figures show the first {DRAWN} of {len(facts.studies)} studies." if len(facts.studies) > DRAWN else "",
        _numbered(facts),
        _explain_intervals(facts),
        *sweeps.section(facts, _figure("sweeps", figures, f"no study of a sweep is among the first {DRAWN}")),
        "## What changed at each step",
        *_steps(facts),
        "## Why they differ",
        _figure("explain", figures, "fewer than two rows have diagnostics"),
        *explain.explanation(facts),
        "## With and without tuning",
        *_ranking(facts),
        *curves.section(facts, _figure("tuning", figures, "no trial has succeeded")),
        *items.section(facts),
        *_forgetting(facts, figures),
        "## Tasks",
        *_tasks(facts, figures),
        "## Learning rates",
        _figure("learning_rates", figures, "no trial has succeeded"),
        curves.edges(facts),
        "## Budgets",
        budgets.given(facts).markdown(),
        budgets.choice(facts),
        "## Cost",
        _figure("cost", figures, "no final run is done"),
        tables.cost(facts).markdown(),
        "## Runs without scores",
        *_unsuccessful(facts),
        "## Checks",
        *checks.section(facts),
        *protocol.orders_as_a_whole(facts.plan),
        "## Data and base model",
        *origin.data_and_model(facts),
        *audit.section(facts),
        "## Designs and test scores",
        *protocol.designs(facts.plan),
        "## Threats to validity",
        "\n".join(f"- {threat}" for threat in threats(facts)),
        "## How to reproduce this",
        *origin.reproduction(facts, command),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def verdict_line(facts: Facts) -> str:
    """Return how many claims are decided and how, in one sentence; the worst outcome first."""
    done = sum(run.state == "done" for run in facts.plan.runs)
    partly = "" if done == len(facts.plan.runs) else f" {done} of {counted(len(facts.plan.runs), 'planned run')} done."
    if not facts.verdicts:
        return "The study file states no expectation." + partly
    numbers = Counter(verdict.verdict for verdict in facts.verdicts)
    late = sum(bool(verdict.late) for verdict in facts.verdicts)
    order: tuple[tuple[Judgement, str, str], ...] = (
        ("violated", "Not as expected", "violated"),
        ("incomplete", "Incomplete", "incomplete"),
        ("inconclusive", "Not enough evidence", "undecided"),
        ("holds", "As expected", "holding"),
    )
    start = next(words for judgement, words, _ in order if numbers[judgement])
    parts = [f"{numbers[judgement]} {word}" for judgement, _, word in order if numbers[judgement]]
    hindsight = f" {late} chosen in hindsight." if late else ""
    return f"{start}: of {counted(len(facts.verdicts), 'claim')} {', '.join(parts)}.{hindsight}{partly}"


def budget_line(facts: Facts) -> str:
    """Return the budget of every study, and the scale of the numbers."""
    ablation, budget = facts.plan.ablation, facts.plan.ablation.budget
    length = (
        f"{budget.examples:,} examples"
        if budget.examples is not None
        else f"{budget.epochs:g} epoch{'s' * (budget.epochs != 1)}"
    )
    if any(study.settings.epochs is not None or "epochs" in study.options for study in ablation.studies):
        length = f"{length} (studies with `epochs` of their own excepted)"
    numbers = sorted({len(row.trials) for row in facts.studies})
    trials = f"{' or '.join(map(str, numbers)) or 'no'} trial{'s' * (numbers != [1])}"
    firsts = {str(ablation.default_point(study)) for study in ablation.studies}
    first = firsts.pop() if len(firsts) == 1 else "each study's default point"
    repeated = f", all for each of {budget.tunings} tunings" if budget.tunings > 1 else ""
    chosen = (
        f"; the {RIVALS} best trials are trained with {counted(budget.further_seeds, 'further seed')} each, and the "
        "one with the highest mean is chosen"
        if budget.further_seeds
        else ""
    )
    return (
        f"Each study has the same budget: {trials} of {length}, scored by "
        f"{escape(titles.of_score(facts.objective))}, the first at {escape(first)}{chosen}; then "
        f"{counted(budget.seeds, 'final run')} with new seeds at the best point and at the first point{repeated}. The "
        "test measure and all others are scored only in final runs. All scores are multiplied by 100, and differences "
        "are given in those points."
    )


def _result(facts: Facts) -> Iterable[str]:
    yield tables.headline(facts).markdown()
    if facts.fewer_points:
        listed = ", ".join(map(escape, facts.fewer_points))
        yield (
            f"† {listed}: the best point was selected from fewer scored points than in other studies (see Budgets), so "
            "the tuned score is at a disadvantage."
        )
    yield ranking.explained(facts)
    yield explain.without_gain(facts)
    yield "Minutes cover training and evaluation of all runs of the study."
    if facts.missing:
        yield f"Missing scores: {', '.join(map(escape, facts.missing))}. The section Tasks gives the reasons."
    left = [f"{escape(row.name)} {n} of {len(row.runs)}" for row in facts.rows if (n := len(row.runs) - row.done)]
    if left:
        yield f"Runs not done: {', '.join(left)}."


def _numbered(facts: Facts) -> str:
    names = [row.name for row in facts.studies]
    listed = ", ".join(f"study {names.index(name) + 1} is {escape(name)}" for name in by_number(facts))
    return f"In the figures, whose font lacks some letters, {listed}." if listed else ""


def _explain_intervals(facts: Facts) -> str:
    return (
        f"The two intervals measure different uncertainties and are kept separate. Over test {facts.items}: the same "
        f"trained models scored on other {facts.items} (paired bootstrap of the difference). Over seeds: the "
        "same configuration trained with other seeds (Welch's t). These intervals are not corrected for multiple "
        "comparisons; the intervals of the checks below are."
    )


def _steps(facts: Facts) -> Iterable[str]:
    if len(facts.steps) < 2:
        yield "There is only one study."
        return
    yield tables.steps(facts).markdown()
    lines = []
    for step in facts.steps[1:]:
        a, b = step.before, step.after
        varied = any(facts.plan.ablation.study(row.name).varies() for row in (a, b))
        changes = (
            ("the loss", a.loss != b.loss),
            ("the view or the settings" if varied else "the view", a.view != b.view),
        )
        meant = [name for name, differs in changes if differs]
        also = [
            words
            for field, words in (("rows", "rows"), ("steps", "steps"), ("examples_seen", "examples seen"))
            if _differs(a, b, field)
        ]
        also += ["best point"] if a.point != b.point and a.point and b.point else []
        text = f"- {escape(a.name)} → {escape(b.name)}: {' and '.join(meant) or 'neither loss nor view'} changed"
        if not (a.ended and b.ended):
            text += ". Other changes are known once both have final runs."
        else:
            text += f", and also {', '.join(also)}." if also else "; nothing else in this table did."
        if len(meant) > 1 or also:
            text += " The difference in score cannot be attributed to a single change."
        lines.append(text)
    yield "\n".join(lines)


def _differs(a: Row, b: Row, field: str) -> bool:
    return None not in (a.typical(field), b.typical(field)) and a.typical(field) != b.typical(field)


def _ranking(facts: Facts) -> Iterable[str]:
    ranked = tables.ranking(facts)
    if not ranked.table.rows[1:]:
        yield "No study has final runs at both points yet."
        return
    both = ranked.tuned.keys() & ranked.untuned.keys()
    if len(both) > 1:
        tuned, untuned = (
            ranking.in_words({name: place for name, place in places.items() if name in both})
            for places in (ranked.tuned, ranked.untuned)
        )
        changed = f"Tuning changes the ranking: {untuned} at the default point, {tuned} at the best point."
        yield (
            f"{'Tuning does not change the ranking.' if tuned == untuned else changed} Ranks are by mean score, and "
            "equal scores share a rank; the intervals above show which neighbouring studies differ."
        )
    yield ranked.table.markdown()
    left = [row.name for row in facts.studies if not (row.finals.scores and row.untuned.scores)]
    if left:
        yield f"Without final runs at both points: {', '.join(map(escape, left))}."


def _tasks(facts: Facts, figures: Collection[str]) -> Iterable[str]:
    yield _figure("tasks", figures, "no final run is done")
    if facts.languages:
        named = "; ".join(f"{escape(name)} ({escape(languages)})" for name, languages in facts.languages.items())
        yield f"Some tasks have subsets that are scored separately. Their languages: {named}."
    if facts.missing:
        yield "\n".join(
            ["Missing scores:", ""]
            + [f"- {escape(t)}: {escape(without_paths(why))}" for t, why in facts.missing.items()]
        )
    if any(row.ended for row in facts.rows):
        yield f"<details><summary>All scores</summary>\n\n{tables.all_scores(facts).markdown()}\n\n</details>"
    yield "The scores of each run are in [scores.csv](scores.csv), its other fields in [records.json](records.json)."


def _forgetting(facts: Facts, figures: Collection[str]) -> Iterable[str]:
    """Yield what training costs elsewhere, if the testbed has further measures."""
    if facts.besides:
        yield "## Gain and forgetting"
        yield _figure("forgetting", figures, "no final run is done")


def _unsuccessful(facts: Facts) -> Iterable[str]:
    outcomes: list[str] = [record.outcome for record in facts.records]
    numbers = [f"{outcomes.count(o)} {o}" for o in ("pruned", "infeasible", "diverged", "failed") if outcomes.count(o)]
    reasons = dict.fromkeys(text for row in facts.rows for text in row.finals.unfit + row.untuned.unfit)
    unfit = [f"- {escape(reason)}" for reason in reasons]
    if unfit:
        yield "\n".join(["Final runs that cannot be compared:", "", *unfit])
    if not numbers:
        yield "" if unfit else "None: every finished run has scores."
        return
    yield f"{', '.join(numbers)} of {len(outcomes)} finished runs."
    pruned = [r for r in facts.records if r.outcome == "pruned" and r.curve and 0 < r.curve[-1][0] < 1]
    if pruned:
        spent = sum(r.train_seconds for r in pruned)
        saved = sum(r.train_seconds * (1 / r.curve[-1][0] - 1) for r in pruned)
        minutes = f"{spent / 60:.1f} minutes of training and saved {saved / 60:.1f}"
        yield f"Pruning stopped {counted(len(pruned), 'trial')} after {minutes}."
    yield tables.unsuccessful(facts).markdown()


def _figure(name: str, figures: Collection[str], otherwise: str) -> str:
    alt = next(drawing.alt for drawing in ALL if drawing.name == name)
    return f"![{alt}](figures/{name}.svg)" if name in figures else f"No figure: {otherwise}."
