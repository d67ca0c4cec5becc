"""The release of a package in which a study's number moved: a binary search over comparisons."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

from harness.errors import EnvironmentFailed, UsageError
from harness.provenance import without_secrets
from harness.spec.study import UNTRAINED
from harness.upgrading import programs
from harness.upgrading.comparison import Comparison, Question, compare
from harness.upgrading.judging import Change, Verdict
from harness.upgrading.sides import Side

AVAILABLE = re.compile(r"^Available versions: (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Found:
    """The narrowest interval of releases in which the number moved."""

    good: str
    """The newest release that is known to have the number of the good one."""
    bad: str
    """The oldest release that is known to have moved."""
    between: tuple[str, ...] = ()
    """Releases between them that could not be judged; none if `bad` is the one."""


@dataclass(frozen=True)
class Step:
    """One comparison of a release with the good one."""

    release: str
    """The release."""
    change: Change | None
    """What it did to the study; None if it cannot be judged."""
    problem: str = ""
    """Why it cannot be judged."""


@dataclass(frozen=True)
class Bisection:
    """What a bisection found."""

    study: str | None
    """The study that was followed; None if no number moved."""
    steps: tuple[Step, ...]
    """All comparisons in order; the first is that of the bad release."""
    found: Found | None
    """Where the number moved; None if it did not."""
    last: Comparison
    """The comparison of the two releases that enclose the move, with the place where the study begins to differ."""


def bisect(
    question: Question,
    releases: Sequence[str],
    side: Callable[[str], Side],
    most: int,
    study: str | None = None,
    tell: Callable[[Step], None] = lambda step: None,
) -> Bisection:
    """Find the release in which a study's number moved.

    Every release is compared with the good one. An undecided step is judged again with more seeds; the level is divided
    by the number of these looks, so that a step without a change is called moved no more often than in one comparison.

    Args:
        question: what is compared, with the number of seeds of the first look.
        releases: releases in order, the good one first and the bad one last.
        side: makes the side of a release.
        most: largest number of seeds.
        study: the study to follow; the one that moved most if None.
        tell: is called after each step.

    Raises:
        EnvironmentFailed: the good or the bad release cannot be run.
        UsageError: the study file or an option is wrong.
    """
    numbers = looks(question.protocol.seeds, most)
    good, steps = side(releases[0]), []
    asked = [
        replace(question, alpha=question.alpha / len(numbers), protocol=replace(question.protocol, seeds=n))
        for n in numbers
    ]

    def compared(release: str, name: str | None) -> Comparison:
        for look in asked:
            comparison = compare(good, side(release), look, locate=False)
            if {"MOVED", "INCOMPLETE"} & (
                verdicts := {c.verdict for c in comparison.changes if name in (None, c.study)}
            ):
                break
            if verdicts == {"SAME"}:
                break
        return comparison

    def step(release: str) -> Verdict | None:
        try:
            change = next(c for c in compared(release, study).changes if c.study == study)
            done = Step(release, None if change.verdict == "INCOMPLETE" else change, change.reason)
        except EnvironmentFailed as problem:
            done = Step(release, None, str(problem))
        steps.append(done)
        tell(done)
        return None if done.change is None else done.change.verdict

    whole = compared(releases[-1], study)
    moved = [c for c in whole.changes if c.verdict == "MOVED" and study in (None, c.study)]
    followed = max(moved, key=lambda change: abs(change.difference or 0.0), default=None)
    for change in [followed] if followed is not None else whole.changes:
        steps.append(Step(releases[-1], change))
        tell(steps[-1])
    if followed is None:
        return Bisection(None, tuple(steps), None, whole)
    study = followed.study
    if study != UNTRAINED:
        asked = [replace(look, protocol=replace(look.protocol, studies=(study,))) for look in asked]
    found = search(releases, step)
    last = compare(side(found.good), side(found.bad), replace(question, protocol=asked[0].protocol))
    return Bisection(study, tuple(steps), found, last)


def search(releases: Sequence[str], judge: Callable[[str], Verdict | None]) -> Found:
    """Return where a number moved, by comparing as few releases with the first one as possible.

    Args:
        releases: releases in order; the first is good, and the last is known to have moved.
        judge: compares a release with the first one; None if it cannot run.

    Returns:
        The narrowest interval. The search ends early at a release that stays undecided.
    """
    left = list(releases[1:-1])
    good, bad = releases[0], releases[-1]
    failed: list[str] = []
    while left:
        middle = left[len(left) // 2]
        verdict = judge(middle)
        if verdict is None:
            failed.append(middle)
            left.remove(middle)
        elif verdict == "MOVED":
            bad, left = middle, left[: left.index(middle)]
        elif verdict == "SAME":
            good, left = middle, left[left.index(middle) + 1 :]
        else:
            break
    inside = releases[releases.index(good) + 1 : releases.index(bad)]
    return Found(good, bad, tuple(inside))


def releases(package: str, good: str, bad: str, find_links: Sequence[str] = (), listed: str | None = None) -> list[str]:
    """Return a package's releases from the good to the bad one.

    Args:
        package: name of the package.
        good: version of the good release.
        bad: version of the bad one, which may be older.
        find_links: folders or pages with wheels.
        listed: the releases in order, separated by commas; asked of the index by pip if None.

    Raises:
        UsageError: one of the two is not among the releases, or they are the same.
        EnvironmentFailed: pip cannot list them.
    """
    known = _of_index(package, find_links) if listed is None else [part.strip() for part in listed.split(",")]
    for version in (good, bad):
        if version not in known:
            raise UsageError(
                f"{package} {version} is not among the releases {', '.join(known)}; give one of them, or all with "
                "--releases A,B,C"
            )
    first, last = known.index(good), known.index(bad)
    if first == last:
        raise UsageError(f"--good and --bad are both {package} {good}; give two releases")
    return known[first : last + 1] if first < last else known[last : first + 1][::-1]


def _of_index(package: str, find_links: Sequence[str]) -> list[str]:
    """Return the final releases that pip finds for this Python, oldest first."""
    if find_spec("pip") is None:
        raise UsageError(f"{package}: pip is not installed here, which lists its releases; give --releases A,B,C")
    links = [part for place in find_links for part in ("--find-links", place)]
    done = programs.run([sys.executable, "-P", "-m", "pip", "index", "versions", *links, "--", package])
    found = AVAILABLE.search(done.stdout)
    if done.returncode or found is None:
        last = (without_secrets(done.stderr).strip().splitlines() or ["no message"])[-1]
        raise EnvironmentFailed(f"{package}: pip cannot list its releases ({last}); give --releases A,B,C")
    return [version.strip() for version in found[1].split(",")][::-1]


def looks(seeds: int, most: int) -> list[int]:
    """Return the numbers of seeds at which a step of the search is judged: doubled each time, up to a maximum."""
    numbers = [seeds]
    while numbers[-1] < most:
        numbers.append(min(2 * numbers[-1], most))
    return numbers
