"""A comparison in words: one line a verdict, a document for programs, and a comment for a pull request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from harness.text import counted, escape, score, shown, signed
from harness.upgrading.bisecting import Bisection
from harness.upgrading.comparison import Comparison
from harness.upgrading.judging import Change
from harness.upgrading.localising import Location

VERSION = 1
"""Version of the JSON document."""

MOST = 12
"""Lines of each list of a comment."""


def verdict(change: Change) -> str:
    """Return a verdict with the difference in points: "MOVED −0.80 [−1.10, −0.50]", "SAME (identical)"."""
    if change.verdict == "SAME" and change.identical:
        return "SAME (identical)"
    return " ".join([change.verdict, *([] if change.difference is None else [difference(change)])])


def difference(change: Change) -> str:
    """Return the mean difference in points, with its interval if there is one."""
    if change.interval is None:
        return signed(change.difference)
    return f"{signed(change.difference)} [{signed(change.interval.low)}, {signed(change.interval.high)}]"


def packages(comparison: Comparison) -> str:
    """Return which packages differ between the sides, in a sentence."""
    if not comparison.packages:
        return "all packages have the same versions on both sides"
    listed = [
        f"{name} {old or 'not there'} and {new or 'not there'}" for name, (old, new) in comparison.packages.items()
    ]
    verb = "differs" if len(listed) == 1 else "differ"
    return f"{counted(len(listed), 'package')} {verb}: {'; '.join(map(shown, listed))}"


def method(comparison: Comparison) -> list[str]:
    """Return how the comparison was made, in sentences."""
    conditions = ", ".join(f"{what} {value}" for what, value in comparison.conditions.items() if value)
    seeds = max((change.seeds for change in comparison.changes), default=0)
    levels = [change.interval.level for change in comparison.changes if change.interval is not None]
    level = f" of level {100 * max(levels):.4g} % at most" if levels else ""
    return [
        f"from: {comparison.old.name}",
        f"to: {comparison.new.name}",
        packages(comparison),
        f"judged by {comparison.figure} × 100, at each study's default point, {counted(seeds, 'seed')} on each side "
        f"with the same seeds, intervals over seeds{level} (Student's t, Holm)",
        *([f"both sides: {conditions}"] if conditions else []),
    ]


def where(comparison: Comparison) -> list[str]:
    """Return where each study begins to differ, a line a study, and why that is not known."""
    identical = {change.study for change in comparison.changes if change.identical}
    lines = []
    for study, place in comparison.locations.items():
        differs = place.first is not None or place.evaluation is not None
        if study not in identical or differs:
            hidden = "the scores are equal, but the trainings are not: " * (study in identical)
            lines.append(f"{study}: {hidden}{place}")
    return lines + list(comparison.problems)


def document(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as JSON's types; docs/upgrades.md describes them."""
    return {
        "version": VERSION,
        "outcome": {0: "same", 1: "moved", 3: "undecided"}[comparison.exit_code],
        "from": comparison.old.name,
        "to": comparison.new.name,
        "figure": comparison.figure,
        "studies": [_of_study(change, comparison.locations) for change in comparison.changes],
        "packages": {name: list(both) for name, both in comparison.packages.items()},
        "conditions": dict(comparison.conditions),
        "problems": list(comparison.problems),
    }


def _of_study(change: Change, locations: Mapping[str, Location]) -> dict[str, Any]:
    found = locations.get(change.study)
    return {
        "study": change.study,
        "verdict": change.verdict,
        "reason": change.reason,
        "identical": change.identical,
        "seeds": change.seeds,
        "old": change.old,
        "new": change.new,
        "difference": change.difference,
        "interval": None if change.interval is None else [change.interval.low, change.interval.high],
        "level": None if change.interval is None else change.interval.level,
        "where": None if found is None else asdict(found),
    }


def bisection_as_dict(done: Bisection) -> dict[str, Any]:
    """Return a bisection as JSON's types; docs/upgrades.md describes them."""
    return {
        "version": VERSION,
        "study": done.study,
        "found": None if done.found is None else asdict(done.found),
        "steps": [
            {
                "release": step.release,
                "problem": step.problem,
                **({} if step.change is None else _of_study(step.change, {})),
            }
            for step in done.steps
        ],
        "last": document(done.last),
    }


def comment(comparison: Comparison, command: str) -> str:
    """Return a comment for a pull request in GitHub's markdown.

    Args:
        comparison: the comparison.
        command: the shell command that repeats it.
    """
    outcome = {0: "No study moved.", 1: "A study moved.", 3: "Not decided."}[comparison.exit_code]
    rows = [
        f"| {escape(c.study)} | {score(c.old)} | {score(c.new)} | {difference(c)} | {c.seeds} | {c.verdict} |"
        for c in comparison.changes
    ]
    places = [f"- {escape(line)}" for line in where(comparison)]
    sections = [
        f"### {escape(comparison.old.name)} → {escape(comparison.new.name)}",
        f"**{outcome}** {' '.join(f'{escape(c.study)}: {escape(c.reason)}.' for c in comparison.changes[:MOST])}",
        "\n".join(["| study | from | to | difference | seeds | verdict |", "|---|--:|--:|---|--:|---|", *_cut(rows)]),
        "\n".join(["Where it begins to differ:", "", *_cut(places)]) if places else "",
        "<details><summary>How this was obtained</summary>",
        "\n".join(f"- {escape(line)}" for line in method(comparison)),
        f"```sh\n{command}\n```",
        "</details>",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _cut(lines: list[str]) -> list[str]:
    return lines if len(lines) <= MOST else [*lines[: MOST - 1], f"\nand {len(lines) - MOST + 1} more"]
