"""A comparison: both sides run, their records are paired and judged, and what moved is located."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.errors import EnvironmentFailed
from harness.executors.start import ENVIRONMENT
from harness.files import as_json, writing
from harness.provenance import without_secrets
from harness.spec.study import UNTRAINED
from harness.stats.intervals import ALPHA
from harness.store import reading
from harness.store.records import Record
from harness.upgrading import programs
from harness.upgrading.judging import WITHIN, Change, changes, pairs
from harness.upgrading.localising import Location, location
from harness.upgrading.probing import VERSION, Job, Probe
from harness.upgrading.sides import Protocol, Side, finished


@dataclass(frozen=True)
class Question:
    """What is compared, and how it is judged."""

    folder: Path
    """The comparison's folder: environments, stores of the sides, and probes."""
    protocol: Protocol
    """What both sides run."""
    within: float = WITHIN
    """Margin inside which a difference counts as none, on a 0 to 1 scale."""
    figure: str | None = None
    """Name of the score that is judged; the headline if None."""
    alpha: float = ALPHA
    """Probability that any study is wrongly called moved."""


@dataclass(frozen=True)
class Comparison:
    """What a comparison found."""

    old: Side
    """The side that `--from` names."""
    new: Side
    """The side that `--to` names."""
    figure: str
    """Name of the score that was judged."""
    changes: tuple[Change, ...]
    """What happened to each study, in the order of the study file."""
    locations: Mapping[str, Location]
    """Where the studies whose scores are not identical begin to differ."""
    packages: Mapping[str, tuple[str | None, str | None]]
    """Packages whose versions differ, with both; None where a side lacks it."""
    conditions: Mapping[str, str]
    """How both sides were trained: precision, threads, forward path."""
    problems: tuple[str, ...] = ()
    """Why a location is missing."""

    @property
    def exit_code(self) -> int:
        """1 if a study moved; 3 if one is undecided or incomplete; 0 if all are the same."""
        verdicts = {change.verdict for change in self.changes}
        return 1 if "MOVED" in verdicts else 0 if verdicts == {"SAME"} else 3


def compare(old: Side, new: Side, question: Question, *, locate: bool = True) -> Comparison:
    """Run both sides as far as they are not done, and judge what moved.

    Args:
        old: the side that `--from` names.
        new: the side that `--to` names.
        question: what is compared.
        locate: also look where the trainings of each study begin to differ. Equal scores do not show that they are
            equal: a set of few queries has few possible scores.

    Raises:
        EnvironmentFailed: a side cannot run; or the sides were trained in different ways.
        UsageError: the study file or an option is wrong.
    """
    first = finished(old, question.folder, question.protocol)
    protocol = replace(question.protocol, precision=first.precision)  # "auto" is measured, and must not differ
    second = finished(new, question.folder, protocol)
    twins = pairs(first.records, second.records, question.figure, first.planned | second.planned)
    order = [*protocol.studies, UNTRAINED]
    judged = changes({study: twins.get(study, []) for study in order}, question.within, question.alpha)
    locations, problems = {}, []
    for change in judged:
        if locate and change.study != UNTRAINED and change.verdict != "INCOMPLETE":
            try:
                probes = [
                    _probed(side, change.study, ended.records, protocol, question.folder)
                    for side, ended in ((old, first), (new, second))
                ]
                locations[change.study] = location(*probes)
            except EnvironmentFailed as problem:
                problems.append(f"{change.study}: where it differs is not known: {problem}")
    figure = question.figure or next((record.headline for record in first.records), "")
    conditions = _conditions(first.records, second.records)
    return Comparison(old, new, figure, tuple(judged), locations, _packages(old, new), conditions, tuple(problems))


def _packages(old: Side, new: Side) -> dict[str, tuple[str | None, str | None]]:
    """Return both versions of each package that differs."""
    before, after = (side.environment.seen.packages for side in (old, new))
    both = {name: (before.get(name), after.get(name)) for name in sorted({*before, *after})}
    return {name: versions for name, versions in both.items() if versions[0] != versions[1]}


def _conditions(old: Iterable[Record], new: Iterable[Record]) -> dict[str, str]:
    """Return how both sides were trained.

    Raises:
        EnvironmentFailed: a run and its twin were trained in different ways, so that a difference would not mean the
            change.
    """
    trained = [{(r.study, r.seed): r for r in side if r.stage == "final" and r.outcome == "ok"} for side in (old, new)]
    told = {}
    for what, of in CONDITIONS.items():
        for key in trained[0].keys() & trained[1].keys():
            values = [of(side[key]) for side in trained]
            if values[0] != values[1]:
                raise EnvironmentFailed(
                    f"{key[0]} seed {key[1]}: the sides differ in their {what} ({values[0]} and {values[1]}), so a "
                    "difference of scores would not mean the change; "
                    f"{'leave out --fast' if what == PATH else 'repeat the command with another --store'}"
                )
        told[what] = ", ".join(sorted({of(record) for side in trained for record in side.values()}))
    return told


PATH = "forward path"
CONDITIONS: Mapping[str, Callable[[Record], str]] = {
    "precision": lambda record: str(record.provenance.get("precision")),
    "threads": lambda record: str(record.provenance.get("threads")),
    "processor": lambda record: str((record.provenance.get("hardware") or {}).get("cpu")),
    PATH: lambda record: str(record.forward.get("path")),
}
"""What must be alike on both sides, and how a record states it."""


def _probed(side: Side, study: str, records: Iterable[Record], protocol: Protocol, folder: Path) -> Probe:
    """Return a probe of a side at a study's first final run, from its file if it was made before.

    Raises:
        EnvironmentFailed: the probe failed.
    """
    run = min((record for record in records if record.study == study), key=lambda record: record.seed)
    assert run.point is not None
    job = Job(
        protocol.testbed, protocol.rows, protocol.epochs, protocol.precision, study, run.point.as_dict(), run.seed
    )
    name = f"{side.key(VERSION, run.id)}.json"  # the id covers loss, rows, base model, point and seed
    try:
        kept: Probe = reading.document(Probe, folder, "probes", name)
        return kept
    except (FileNotFoundError, reading.Unreadable):
        pass
    output = folder / "probes" / f".{name}.{os.getpid()}"
    with writing(output):
        output.parent.mkdir(exist_ok=True)
    line = programs.module(side.environment.python, "harness.upgrading.probe", side.file, as_json(asdict(job)), output)
    done = programs.run(line, environment=programs.surroundings() | ENVIRONMENT | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EnvironmentFailed(f"{side.name}: the probe failed: {without_secrets(last)}")
    with writing(output):
        output.replace(output.with_name(name))
    probe: Probe = reading.document(Probe, folder, "probes", name)
    return probe
