"""A comparison: both sides run, their records are paired and judged, and what moved is located."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.errors import EnvironmentFailed
from harness.executors.start import ENVIRONMENT
from harness.files import as_json, write_atomically
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
        locate: also look where studies whose scores are not identical begin to differ.

    Raises:
        EnvironmentFailed: a side cannot run; or the sides were trained in different ways.
        UsageError: the study file or an option is wrong.
    """
    first = finished(old, question.folder, question.protocol)
    protocol = replace(question.protocol, precision=first.precision)  # "auto" is measured, and must not differ
    second = finished(new, question.folder, protocol)
    conditions = _conditions(first.records, second.records)
    judged = changes(pairs(first.records, second.records, question.figure), question.within, question.alpha)
    order = [*protocol.studies, UNTRAINED]
    judged.sort(key=lambda change: order.index(change.study))
    locations, problems = {}, []
    for change in judged:
        if locate and change.study != UNTRAINED and not change.identical and change.verdict != "INCOMPLETE":
            job = _job(change.study, first.records, protocol)
            try:
                probes = [_probed(side, job, question.folder) for side in (old, new)]
                locations[change.study] = location(*probes)
            except EnvironmentFailed as problem:
                problems.append(f"{change.study}: where it differs is not known: {problem}")
    figure = question.figure or next((record.headline for record in first.records), "")
    sees = [side.environment.seen.packages for side in (old, new)]
    packages = {
        name: (sees[0].get(name), sees[1].get(name))
        for name in sorted({*sees[0], *sees[1]})
        if sees[0].get(name) != sees[1].get(name)
    }
    return Comparison(old, new, figure, tuple(judged), locations, packages, conditions, tuple(problems))


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


def _job(study: str, records: Iterable[Record], protocol: Protocol) -> Job:
    """Return the job of a probe: the first final run of a study."""
    record = min((r for r in records if r.study == study and r.point is not None), key=lambda r: r.seed)
    assert record.point is not None
    return Job(
        protocol.testbed, protocol.rows, protocol.epochs, protocol.precision, study, record.point.as_dict(), record.seed
    )


def _probed(side: Side, job: Job, folder: Path) -> Probe:
    """Return a probe of a side, from its file if it was made before.

    Raises:
        EnvironmentFailed: the probe failed.
    """
    name = f"{side.key(VERSION, asdict(job))}.json"
    try:
        kept: Probe = reading.document(Probe, folder, "probes", name)
        return kept
    except (FileNotFoundError, reading.Unreadable):
        pass
    command = programs.module(side.environment.python, "harness.upgrading.probe", side.file, as_json(asdict(job)))
    done = programs.run(command, environment=programs.surroundings() | ENVIRONMENT | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EnvironmentFailed(f"{side.name}: the probe failed: {without_secrets(last)}")
    probe: Probe = reading.typed(reading.parsed(done.stdout), Probe)
    write_atomically(folder / "probes" / name, as_json(asdict(probe)) + "\n")
    return probe
