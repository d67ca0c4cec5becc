"""What tests/engine/test_stateful.py drives: study files as data, training of a millisecond, and rules of their own.

Nothing here asks the harness what it should say. `Knowledge` keeps by itself what was declared when and which test
scores were known then, and `points` which search asked for which point, so that both can be compared.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import cloudpickle
from synthetic import DEV, TEST

from harness.engine.job import Job
from harness.stats import bootstrap, intervals, repeated_looks
from harness.store.items import Pairs
from harness.store.records import Record
from harness.verdicts import predictions

START_UP = 3
"""Trials with fixed points here, so that a handful of trials already asks the sampler."""

SPACES = (
    "choice(16, 32), lr=log_uniform(1e-6, 2e-4)",
    "choice(16, 32), lr=log_uniform(1e-5, 1e-4)",
    "choice(16, 32), lr=choice(2e-5, 5e-5)",
)
DEFAULTS = ("Point(32, 5e-5)", "Point(16, 4e-5)")


@dataclass(frozen=True)
class Declares:
    """A study of a study file: the scale of its loss, and whether that is tuned, too."""

    scale: int
    option: bool = False

    def source(self, name: str) -> str:
        option = ', options={"scale": choice(10, 20)}' if self.option else ""
        loss = f"losses.MultipleNegativesRankingLoss.given(scale={self.scale})"
        return f'Study("{name}", loss={loss}, view="pair"{option})'


@dataclass(frozen=True)
class Claim:
    """`better` beats `worse` by `margin` hundredths."""

    better: str
    worse: str
    margin: int = 0

    def source(self) -> str:
        return f'beats("{self.better}", "{self.worse}", {self.margin / 100:g})'

    def __str__(self) -> str:
        return f"{self.better} beats {self.worse}" + (f" by {self.margin / 100:g}" if self.margin else "")

    @property
    def studies(self) -> frozenset[str]:
        return frozenset({self.better, self.worse} - {"untrained"})


@dataclass(frozen=True)
class File:
    """A study file's content."""

    studies: Mapping[str, Declares]
    claims: tuple[Claim, ...]
    trials: int = 2
    seeds: int = 2
    space: int = 0
    default: int = 0

    def source(self) -> str:
        studies = ", ".join(given.source(name) for name, given in self.studies.items())
        claims = ", ".join(claim.source() for claim in self.claims)
        return (
            "from harness import *\nfrom dataclasses import replace\nfrom harness.spec.space import Point\n"
            "ablation = Ablation(\n"
            '    name="machine", testbed=replace(testbeds.book, also=(), max_rows=60),\n'
            f"    studies=[{studies}],\n"
            f"    space=Space(batch_size={SPACES[self.space]}), default={DEFAULTS[self.default]},\n"
            f"    budget=Budget(trials={self.trials}, seeds={self.seeds}),\n"
            f"    expect=[{claims}],\n"
            ")\n"
        )

    def subject(self, study: str) -> int:
        """What a study trains: here its loss decides."""
        return self.studies[study].scale

    def search(self, study: str) -> tuple[int, int, bool]:
        return self.space, self.default, self.studies[study].option

    def without(self, study: str) -> File:
        studies = {name: given for name, given in self.studies.items() if name != study}
        return replace(self, studies=studies, claims=tuple(c for c in self.claims if study not in c.studies))


@dataclass(frozen=True)
class Declared:
    """A file as a driver started with it, the most seeds it was given, and the studies with test scores by then."""

    file: File
    most: int | None
    known: frozenset[str]


@dataclass
class Knowledge:
    """What was declared when: the rules of docs/architecture.md, "What was known when", written a second time."""

    log: list[Declared] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    otherwise: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)

    def declare(self, file: File, most: int | None) -> None:
        if not self.log or (self.log[-1].file, self.log[-1].most) != (file, most):
            self.log.append(Declared(file, most, frozenset(self.known)))

    def blind(self, studies: frozenset[str]) -> Declared | None:
        """The last that was declared while one of these studies had no test score."""
        return next((entry for entry in reversed(self.log) if not studies <= entry.known), None)

    def late_study(self, file: File, most: int | None, study: str) -> bool:
        first = self.blind(frozenset({study}))
        if study not in self.known or first is None or study not in first.file.studies:
            return False
        log = [e for e in self.log if study in e.file.studies and (e is first or study in e.known)]
        then = first.file
        if (then.subject(study), then.search(study)) != (file.subject(study), file.search(study)):
            return True
        trials = [entry.file.trials for entry in log if entry.file.search(study) == file.search(study)]
        if file.trials > then.trials or file.trials < max(trials):
            return self.trials_of(file, study) != self.trials_of(then, study) or self.trials_of(file, study) < max(
                self.trials_of(replace(file, trials=n), study) for n in trials
            )
        seeds = max(entry.file.seeds for entry in log)
        if file.seeds < seeds or file.seeds > max(then.seeds, first.most or 0):
            return True
        if first.most is not None and most is None:
            return True
        return bool(({entry.most for entry in log} | {most}) - {None, first.most})

    def trials_of(self, file: File, study: str) -> int:
        """A space without a continuous dimension holds four points, eight with the option, and perhaps the default."""
        if file.space != 2:
            return file.trials
        points = 4 * (2 if file.studies[study].option else 1) + (file.default == 1)
        return min(file.trials, points)

    def known_otherwise(self, file: File, study: str) -> bool:
        """Was it known under another name when it was declared, or declared when a study was known that is gone?"""
        log = [*self.log, Declared(file, None, frozenset(self.known))]
        mine = [study in entry.file.studies and entry.file.subject(study) == file.subject(study) for entry in log]
        began = log[mine.index(True)]
        known = began.known - {study}
        before = [entry.file for entry in log[: mine.index(True) + 1]]
        same = any(n in f.studies and f.subject(n) == file.subject(study) for f in before for n in known)
        return bool(self.log) and (same or bool(known - file.studies.keys()))

    def late(self, file: File, most: int | None, claim: Claim) -> bool:
        first = self.blind(claim.studies)
        made_late = first is not None and claim.studies <= self.known and claim not in first.file.claims
        when = next((entry.known for entry in self.log if claim in entry.file.claims), self.known)
        instead = any(other.studies <= when for other in self.dropped(file))
        return (
            made_late
            or instead
            or any(
                self.late_study(file, most, study) or self.known_otherwise(file, study) or self.used_otherwise(study)
                for study in claim.studies
            )
        )

    def used_otherwise(self, study: str) -> bool:
        """Were final runs scored that are not used any more?"""
        return study in self.otherwise or study in self.left_out

    def dropped(self, file: File) -> set[Claim]:
        """The claims that could have held and were dropped when a study of theirs was known."""
        log = [*self.log, Declared(file, None, frozenset(self.known))]
        gone = set()
        for now, then in pairwise(log):
            for claim in {*now.file.claims} - {*then.file.claims} - {*file.claims}:
                could_hold = any(
                    claim in entry.file.claims and not claim.studies <= entry.known for entry in log[: log.index(then)]
                )
                if claim.studies & then.known and could_hold:
                    gone.add(claim)
        return gone

    def uncounted(self, file: File) -> int:
        """Count the claims that were dropped when a study of theirs was known, and those that were chosen among."""
        against: dict[frozenset[str], list[int]] = {}
        for claim in file.claims:
            blind = [entry for entry in self.log if not claim.studies & entry.known]
            first = self.blind(claim.studies)
            if first is not None and claim.studies & first.known and not (blind and claim in blind[-1].file.claims):
                against.setdefault(claim.studies - first.known, []).append(len(first.known))
        return len(self.dropped(file)) + sum(max(0, max(known) - len(known)) for known in against.values())


@dataclass
class Stub:
    """An executor without training. Scores follow from what is trained, the point and the seed, not from a name.

    Attributes:
        slots: runs at once; which of them ends first is drawn.
        stop_after: end the driver, by what a kill leaves, when so many runs have ended.
        failing: the studies whose runs fail for now.
        began: called before the first run.
    """

    slots: int = 1
    stop_after: int | None = None
    failing: frozenset[str] = frozenset()
    began: Callable[[], None] = lambda: None
    ended: Callable[[Record], None] = lambda record: None
    draw: random.Random = field(default_factory=lambda: random.Random(0))
    runs: int = 0
    pending: list[tuple[Future[Any], Job]] = field(default_factory=list)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        if not self.runs and not self.pending:
            self.began()
        future: Future[Any] = Future()
        self.pending.append((future, cloudpickle.loads(arguments[0])))
        return future

    def stop(self) -> None:
        pass

    def wait(self, running: Any, timeout: float | None = None, return_when: str = "") -> tuple[set[Any], set[Any]]:
        """Stands in for `concurrent.futures.wait`: end one of the runs, drawn by chance."""
        if self.stop_after is not None and self.runs >= self.stop_after:
            raise Killed
        future, job = self.pending.pop(self.draw.randrange(len(self.pending)))
        self.runs += 1
        made = made_up(job, self.failing)
        self.ended(made)
        future.set_result(made)
        return {future}, set(running) - {future}


class Killed(BaseException):
    """A driver that ends here wrote nothing more."""


def made_up(job: Job, failing: frozenset[str]) -> Record:
    """Return the record that a run gives."""
    run, provenance = job.run, {**(job.provenance or {}), "precision": "fp32", "versions": {"torch": "2"}}
    assert run.id is not None
    record = Record(run.id, run.study, run.stage, run.seed, run.point, run.trial, "ok", provenance=provenance)
    if run.study in failing:
        return replace(record, outcome="failed", error="RuntimeError: it fails for a while")
    loss = "none" if run.point is None else repr(job.ablation.study(run.study).loss)
    what = f"{loss} {run.point} {run.seed}"
    quality = 0.5 if run.point is None else 0.6 - 0.02 * abs(math.log10(run.point.lr / 4e-5)) + drawn(what, 0.01)
    if "scale=5" in loss.replace("'", "").replace(": ", "=").replace(", ", "="):
        quality += 0.15
    scores, test = {f"{DEV}/spearman_cosine": round(quality, 6)}, predicted(quality, what)
    if run.stage != "tune":
        scores |= {f"{TEST}/spearman_cosine": intervals.spearman(test.gold, test.cosine)}
    items = {} if run.stage == "tune" else {TEST: test}
    return replace(
        record,
        scores=scores,
        items=items,
        rows=0 if run.point is None else 60,
        steps=4,
        examples_seen=60,
        train_seconds=1.0,
    )


def drawn(what: str, spread: float) -> float:
    return random.Random(hashlib.sha256(what.encode()).digest()).gauss(0, spread)


def predicted(quality: float, what: str) -> Pairs:
    """Return twenty-four pairs whose cosines follow the gold scores the better the higher the quality."""
    shared, own = random.Random("pairs"), random.Random(hashlib.sha256(what.encode()).digest())
    gold = tuple(round(i / 23, 4) for i in range(24))
    spread = 0.6 * (1 - quality)
    return Pairs(gold, tuple(round(g + spread * (shared.gauss(0, 0.9) + own.gauss(0, 0.3)), 5) for g in gold))


@contextmanager
def without_training() -> Iterator[Callable[[Stub], None]]:
    """Let commands run in this process on a `Stub`, with small bootstraps; yields what sets the stub of the next run."""
    now = [Stub()]
    measures = {
        "spearman_cosine": (intervals.spearman, partial(bootstrap.resampled_spearman, resamples=99)),
        "pearson_cosine": (intervals.pearson, partial(bootstrap.resampled_pearson, resamples=99)),
    }
    replaced: dict[str, Any] = {
        "harness.executors.start.start": lambda *_, **__: now[0],
        "harness.engine.driver.wait": lambda *given, **named: now[0].wait(*given, **named),
        "harness.api.fetch": lambda _: {},
        "harness.engine.auditing.require_audit": lambda *_: None,
        "harness.engine.resolve.measured": lambda *_, **__: ({}, {}),
        "harness.engine.resolve.precision_of": lambda *_: "fp32",
        "harness.provenance.git": lambda _: {"commit": None, "dirty": None},
        "harness.spec.loading._below": lambda _: [],
        "harness.report.figures.ALL": (),
        "harness.report.html_page": lambda *_: "",
        "harness.planning.plan.START_UP": START_UP,
        "harness.engine.search.START_UP": START_UP,
        "harness.verdicts.predictions._OF_PAIRS": measures,
        "harness.stats.defined.have_two_values": lambda *_: True,
        "harness.stats.repeated_looks.PATHS": 999,
        "harness.verdicts.order.DRAWS": 99,
        "os.fsync": lambda _: None,
    }
    import harness.engine.driver
    import harness.report  # noqa: F401

    def forget() -> None:
        repeated_looks._smallest_p.cache_clear()
        predictions._mean_resampled.cache_clear()

    forget()
    with ExitStack() as stack:
        for name, value in replaced.items():
            stack.enter_context(patch(name, value))
        yield lambda stub: now.__setitem__(0, stub)
    forget()
