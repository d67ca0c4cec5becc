"""Threats to validity of a report, derived from its facts."""

from __future__ import annotations

from harness.planning.mixing import condition_notes
from harness.planning.plan import START_UP
from harness.report import titles
from harness.report.audit import doubts
from harness.report.facts import PUBLIC_HUB, Facts
from harness.report.ranking import seeds_of, unranked, why_lost
from harness.text import count, counted, escape, score
from harness.verdicts import hindsight

FEW_SEEDS = 5


def threats(facts: Facts) -> list[str]:
    """Return one sentence or two of markdown for each threat to the validity of this report."""
    texts = [
        *_unfinished(facts),
        *_lost(facts),
        *_seeds(facts),
        *_pairs(facts),
        *_tuning(facts),
        *(escape(note) for note in hindsight.notes(facts.plan)),
        *_edges(facts),
        *_rows(facts),
        *doubts(facts),
        *_steps(facts),
        *_tasks(facts),
        *_slower_paths(facts),
        *_origin(facts),
    ]
    bed = facts.plan.ablation.testbed
    texts.append(
        "The results are for one base model, one source of rows and one language, those of testbed "
        f"{escape(bed.name)}. They do not show that the order is the same for others."
    )
    return texts


def _unfinished(facts: Facts) -> list[str]:
    runs = facts.plan.runs
    done = sum(run.state == "done" for run in runs)
    if done == len(runs):
        return []
    are = "is" if done == 1 else "are"
    return [f"Only {done} of {counted(len(runs), 'planned run')} {are} done; all means are over these runs."]


def _lost(facts: Facts) -> list[str]:
    return [
        f"{escape(row.name)} has scores of {seeds_of(row)} only ({why_lost(row)}). A mean over "
        "the seeds that did not fail may be too high, so the study is not ranked. In "
        "differences a run that diverged counts as a score of 0, and one that failed or is not done is left out."
        for row in unranked(facts)
    ]


def _seeds(facts: Facts) -> list[str]:
    seeds = facts.plan.ablation.budget.seeds
    if seeds == 1:
        return ["There is only one final seed: without an interval over seeds, no claim can hold or be violated."]
    detectable = [
        (d, step) for step in facts.steps[1:] if step.difference and (d := step.difference.detectable()) is not None
    ]
    widest = max(detectable, key=lambda item: item[0], default=None)
    texts = (
        [f"The intervals over seeds are estimated from only {seeds} final seeds per point."]
        if seeds < FEW_SEEDS
        else []
    )
    texts += [text for row in facts.rows for text in row.finals.repeated]
    if widest is not None and widest[0] >= 0.00005:
        texts.append(
            f"Small differences may go undetected: between {escape(widest[1].before.name)} and "
            f"{escape(widest[1].after.name)}, a true difference below {score(widest[0])} points is detected with less "
            "than 80 percent power."
        )
    return texts


def _pairs(facts: Facts) -> list[str]:
    return [
        f"Claims that name no score are judged only by {escape(titles.of_score(facts.headline))}. If its {facts.items} "
        "come from the same sources as the dev set on which every best point was selected, the differences may not be "
        "the same on other kinds of text."
    ]


def _tuning(facts: Facts) -> list[str]:
    ablation = facts.plan.ablation
    trials = max((len(row.trials) for row in facts.studies), default=0)
    texts = [
        "A trial is one run with one seed, so the best point is selected in part by chance, and its dev score is "
        "biased upwards. The test scores come from other seeds."
    ]
    if 0 < trials <= START_UP:
        texts.append(
            f"{_all(trials)} fixed in advance, as the first {START_UP} trials always are. "
            "The sampler chose no point, so a better point may well exist."
        )
    counts = {len(row.trials) for row in facts.studies}
    if len(counts) > 1:
        texts.append(
            f"Studies had between {min(counts)} and {counted(max(counts), 'trial')}, because their search spaces "
            "differ in size."
        )
    if any(study.options for study in ablation.studies):
        texts.append("Some studies also search options of their loss: a larger space with the same number of trials.")
    pruned = sum(run.record is not None and run.record.outcome == "pruned" for run in facts.plan.runs)
    if pruned:
        were = "trial was" if pruned == 1 else "trials were"
        texts.append(f"{pruned} {were} pruned by the dev curve, which is a disadvantage for slow starters.")
    return texts


def _all(trials: int) -> str:
    return (
        "The only trial of each study is at a point" if trials == 1 else f"All {trials} trials per study are at points"
    )


def _edges(facts: Facts) -> list[str]:
    if not facts.edges:
        return []
    listed = "; ".join(f"{escape(e.study)}: {escape(e.dimension)} {e.value:.4g} is {e.why}" for e in facts.edges)
    return [f"A better point may exist beyond the values that were tried. {listed}."]


def _rows(facts: Facts) -> list[str]:
    short = []
    for row in facts.studies:
        requested = max((r.provenance.get("rows_asked") or 0 for r in row.records), default=0)
        used = max((r.rows for r in row.records), default=0)
        if 0 < used < requested:
            short.append(f"{escape(row.name)} {count(used)}")
    if not short:
        return []
    most = facts.plan.ablation.testbed.max_rows
    rows = "all rows" if most is None else f"the {count(most)} rows"
    return [
        f"Some studies trained on fewer than {rows} requested, because their view drops rows that it "
        f"cannot use or the data set has no more: {', '.join(short)}."
    ]


def _steps(facts: Facts) -> list[str]:
    steps = {row.name: n for row in facts.studies if (n := row.typical("steps"))}
    if len(set(steps.values())) < 2:
        return []
    fewest, most = min(steps, key=lambda name: steps[name]), max(steps, key=lambda name: steps[name])
    budget = facts.plan.ablation.budget
    equal = "examples" if budget.examples is not None else "epochs"
    return [
        f"Studies with equal {equal} differ in training steps: from {count(steps[fewest])} ({escape(fewest)}) to "
        f"{count(steps[most])} ({escape(most)}) at the best points."
    ]


def _tasks(facts: Facts) -> list[str]:
    texts = []
    if facts.missing:
        names = ", ".join(escape(task) for task in facts.missing)
        texts.append(
            f"Some runs lack scores for tasks of the testbed ({names}); means are over the {len(facts.common_tasks)} "
            "tasks that all runs have."
        )
    shared = [task for task in facts.tasks if task in {"STS12", "STS13", "STS14", "STS15", "STS16"}]
    if shared:
        without = any(record.unshared for row in facts.rows for record in row.ended)
        texts.append(
            f"{', '.join(shared)}: up to half of the pairs of these tasks are also in STSB, some of them in the dev "
            "set on which every best point was selected, so these tasks are not independent evidence. "
            + (
                "The section Audit of the data gives scores without the shared pairs; means include these pairs."
                if without
                else "Shared pairs are not removed here."
            )
        )
    return texts


def _slower_paths(facts: Facts) -> list[str]:
    """Say where a faster forward path was refused: scores are not affected, but the times are not the usual ones."""
    trained = [record.forward for record in facts.records if record.forward.get("path")]
    refused = sorted((str(each["path"]), str(each["reason"])) for each in trained if each.get("reason"))
    reasons = dict(reversed(refused))  # one for each path, whatever the order of the records
    return [
        f"{sum(path == other for other, _ in refused)} of {counted(len(trained), 'training')} took the "
        f"slower forward path {escape(path)}, so times are not those of the fastest. A reason: {escape(reason)}."
        for path, reason in sorted(reasons.items())
    ]


def _origin(facts: Facts) -> list[str]:
    texts = []
    hubs = [hub for hub, _ in facts.provenance("hub") if str(hub).rstrip("/") != PUBLIC_HUB]
    if hubs:
        texts.append(
            "Model and data came from a hub other than the public one, which may serve other content under the same "
            "names."
        )
    precisions = [str(precision) for precision, _ in facts.provenance("precision")]
    if len(precisions) == 1 and precisions[0] != "fp32":
        texts.append(f"All runs were trained in {precisions[0]}, which rounds more coarsely than fp32.")
    texts += [escape(f"{note[0].upper()}{note[1:]}.") for note in condition_notes(facts.plan)]
    if (machines := len(facts.provenance("hardware"))) > 1:
        texts.append(f"The runs were made on {machines} different machines.")
    for key, what in (("harness_git", "the harness"), ("git", "the study file's repository")):
        commits = [git for git, _ in facts.provenance(key) if git]
        if len({git.get("commit") for git in commits}) > 1:
            texts.append(f"The runs come from different commits of {what}.")
        if any(git.get("dirty") for git in commits):
            texts.append(f"Some runs were made while {what} had uncommitted changes.")
    return texts
