"""The release of a package in which a study's number moved: a binary search over comparisons."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

from harness.errors import EnvironmentFailed, HarnessError, UsageError
from harness.provenance import without_secrets
from harness.spec.study import UNTRAINED
from harness.upgrading import programs
from harness.upgrading.comparison import Comparison, Question, compare
from harness.upgrading.judging import Change, Verdict
from harness.upgrading.sides import Protocol, Side

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
    asked = _asked(question, most)
    good, steps = side(releases[0]), []

    def done(step: Step) -> None:
        steps.append(step)
        tell(step)

    whole = _settled(good, side(releases[-1]), asked, study)
    moved = [change for change in whole.changes if change.verdict == "MOVED" and study in (None, change.study)]
    if not moved:
        for change in whole.changes:
            done(Step(releases[-1], change))
        return Bisection(None, tuple(steps), None, whole)
    followed = max(moved, key=lambda change: abs(change.difference or 0.0))
    done(Step(releases[-1], followed))
    name = followed.study
    asked = [replace(look, protocol=_only(look.protocol, name)) for look in asked]

    def judge(release: str) -> Verdict | None:
        try:
            compared = _settled(good, side(release), asked, name)
        except HarnessError as problem:  # e.g. the study file cannot be loaded under this release
            done(Step(release, None, str(problem)))
            return None
        change = next(change for change in compared.changes if change.study == name)
        complete = change.verdict != "INCOMPLETE"
        done(Step(release, change if complete else None, "" if complete else change.reason))
        return change.verdict if complete else None

    found = search(releases, judge)
    seeds = max(step.change.seeds for step in steps if step.change is not None)
    protocol = replace(asked[0].protocol, seeds=max(seeds, asked[0].protocol.seeds))
    return Bisection(
        name, tuple(steps), found, compare(side(found.good), side(found.bad), replace(question, protocol=protocol))
    )


def _asked(question: Question, most: int) -> list[Question]:
    """Return the question at each look of a step: with more seeds each time, at a level that all looks share."""
    numbers = looks(question.protocol.seeds, most)
    alpha = question.alpha / len(numbers)
    return [replace(question, alpha=alpha, protocol=replace(question.protocol, seeds=number)) for number in numbers]


def _only(protocol: Protocol, study: str) -> Protocol:
    """Return the protocol of one study; the untrained model comes with any."""
    return replace(protocol, studies=protocol.studies[:1] if study == UNTRAINED else (study,))


def _settled(good: Side, other: Side, asked: Sequence[Question], study: str | None) -> Comparison:
    """Compare a release with the good one until a study's verdict (or, without one, any or all of them) is clear."""
    for look in asked:
        comparison = compare(good, other, look, locate=False)
        verdicts = {change.verdict for change in comparison.changes if study in (None, change.study)}
        if "MOVED" in verdicts or "UNDECIDED" not in verdicts:
            break
    return comparison


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
    while left:
        middle = left[len(left) // 2]
        verdict = judge(middle)
        if verdict is None:
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
