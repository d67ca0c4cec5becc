"""Reasons to doubt a result, read off the facts: what the runs cannot tell, said before a reader has to ask."""

from __future__ import annotations

from harness.planning.mixing import made_otherwise
from harness.planning.plan import START_UP
from harness.report.audit import doubts
from harness.report.facts import PUBLIC_HUB, Facts
from harness.report.tables import count, escape, score
from harness.verdicts import hindsight

FEW_SEEDS = 5


def threats(facts: Facts) -> list[str]:
    """Return one sentence or two of markdown for each threat to the validity of this report."""
    found = [
        *_unfinished(facts),
        *_seeds(facts),
        *_pairs(facts),
        *_tuning(facts),
        *(escape(note) for note in hindsight.notes(facts.plan)),
        *_edges(facts),
        *_rows(facts),
        *doubts(facts),
        *_steps(facts),
        *_tasks(facts),
        *_origin(facts),
    ]
    bed = facts.plan.ablation.testbed
    found.append(
        f"One base model, one source of rows and one language, those of testbed {escape(bed.name)}: nothing here says "
        "that the order holds on others."
    )
    return found


def _unfinished(facts: Facts) -> list[str]:
    runs = facts.plan.runs
    done = sum(run.state == "done" for run in runs)
    return (
        [f"Only {done} of {len(runs)} planned runs are done; every mean is over what is there."]
        if done < len(runs)
        else []
    )


def _seeds(facts: Facts) -> list[str]:
    seeds = facts.plan.ablation.budget.seeds
    if seeds == 1:
        return ["One final seed: there is no interval over seeds, and no claim can hold or be violated."]
    known = [
        (d, step) for step in facts.steps[1:] if step.difference and (d := step.difference.detectable()) is not None
    ]
    widest = max(known, key=lambda item: item[0], default=None)
    found = (
        [f"{seeds} final seeds a point are few: the intervals over seeds rest on them."] if seeds < FEW_SEEDS else []
    )
    found += [text for row in facts.rows for text in row.finals.repeated]
    if widest is not None and widest[0] >= 0.00005:
        found.append(
            f"Small differences escape these runs: between {escape(widest[1].before.name)} and "
            f"{escape(widest[1].after.name)}, a true difference below {score(widest[0])} points has less than an 80 "
            "percent chance to be shown."
        )
    return found


def _pairs(facts: Facts) -> list[str]:
    return [
        "Claims are decided on STSB test alone, by Spearman correlation. Its pairs come from the same "
        "sources as the dev set that chose every best point; on other kinds of text, differences may be others."
    ]


def _tuning(facts: Facts) -> list[str]:
    ablation = facts.plan.ablation
    trials = max((len(row.trials) for row in facts.studies), default=0)
    found = [
        "A trial is one run with one seed: the best point is in part the luckiest of a few noisy scores, and its dev "
        "score flatters. The test scores come from other seeds."
    ]
    if 0 < trials <= START_UP:
        found.append(
            f"{trials} trials a study, all at points fixed in advance ({START_UP} come first): the sampler chose none, "
            "and a better point may well exist."
        )
    counts = {len(row.trials) for row in facts.studies}
    if len(counts) > 1:
        found.append(f"Studies had between {min(counts)} and {max(counts)} trials: their spaces are not equally large.")
    if any(study.options for study in ablation.studies):
        found.append("Some studies search options of their own loss with the same number of trials, in a larger space.")
    pruned = sum(run.record is not None and run.record.outcome == "pruned" for run in facts.plan.runs)
    if pruned:
        found.append(f"{pruned} trials were stopped early on their dev curve; slow starters are at a disadvantage.")
    return found


def _edges(facts: Facts) -> list[str]:
    if not facts.edges:
        return []
    listed = "; ".join(f"{escape(e.study)}: {escape(e.dimension)} {e.value:.4g} is {e.why}" for e in facts.edges)
    return [f"A better point may lie beyond what was tried. {listed}."]


def _rows(facts: Facts) -> list[str]:
    short = []
    for row in facts.studies:
        asked = max((r.provenance.get("rows_asked") or 0 for r in row.records), default=0)
        used = max((r.rows for r in row.records), default=0)
        if 0 < used < asked:
            short.append(f"{escape(row.name)} {count(used)}")
    if not short:
        return []
    asked_for = count(facts.plan.ablation.testbed.max_rows)
    return [
        f"Fewer rows than the {asked_for} asked for, as a view drops rows that it cannot use or the data has no more: "
        f"{', '.join(short)}."
    ]


def _steps(facts: Facts) -> list[str]:
    steps = {row.name: n for row in facts.studies if (n := row.typical("steps"))}
    if len(set(steps.values())) < 2:
        return []
    fewest, most = min(steps, key=lambda name: steps[name]), max(steps, key=lambda name: steps[name])
    budget = facts.plan.ablation.budget
    equal = "examples" if budget.examples is not None else "epochs"
    return [
        f"Equal {equal} are not equal steps: from {count(steps[fewest])} ({escape(fewest)}) to {count(steps[most])} "
        f"({escape(most)}) at the best points."
    ]


def _tasks(facts: Facts) -> list[str]:
    found = []
    if facts.missing:
        names = ", ".join(escape(task) for task in facts.missing)
        found.append(
            f"Not every run has a score in every task that the testbed names ({names}); means are over the "
            f"{len(facts.common_tasks)} that all have."
        )
    shared = [task for task in facts.tasks if task in {"STS12", "STS13", "STS14", "STS15", "STS16"}]
    if shared:
        without = any(record.unshared for row in facts.rows for record in row.ended)
        found.append(
            f"{', '.join(shared)}: up to half of the pairs of these tasks are also in STSB, part of them in the dev "
            "set that chose every best point. They are no independent evidence; "
            + (
                "scores without the shared pairs stand in the audit of the data, means have them in."
                if without
                else "shared pairs are not taken out here."
            )
        )
    return found


def _origin(facts: Facts) -> list[str]:
    found = []
    hubs = [hub for hub, _ in facts.provenance("hub") if str(hub).rstrip("/") != PUBLIC_HUB]
    if hubs:
        found.append(
            "Model and data came from another hub than the public one; under the same names it may serve others."
        )
    precisions = [str(precision) for precision, _ in facts.provenance("precision")]
    if len(precisions) == 1 and precisions[0] != "fp32":
        found.append(f"All runs trained in {precisions[0]}, which rounds more coarsely than fp32.")
    found += [escape(f"{note[0].upper()}{note[1:]}.") for note in made_otherwise(facts.plan)]
    if (machines := len(facts.provenance("hardware"))) > 1:
        found.append(f"The runs were made on {machines} different machines.")
    for key, what in (("harness_git", "the harness"), ("git", "the study file's repository")):
        commits = [git for git, _ in facts.provenance(key) if git]
        if len({git.get("commit") for git in commits}) > 1:
            found.append(f"The runs were made at different commits of {what}.")
        if any(git.get("dirty") for git in commits):
            found.append(f"Some runs were made while {what} had uncommitted changes.")
    return found
