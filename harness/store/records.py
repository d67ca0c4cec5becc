"""Record of one run: scores, predictions, cost, provenance and outcome.

Records are plain JSON with a checksum, written by `harness.store` and never unpickled or evaluated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

from harness.errors import DamagedRecord
from harness.files import as_json
from harness.scores import HEADLINE, OBJECTIVE, UNFIT
from harness.spec.budget import TUNING_STEP
from harness.spec.names import names_a_folder
from harness.spec.space import Point, Value
from harness.store import reading
from harness.store.items import Items

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

Stage: TypeAlias = Literal["untrained", "tune", "repeat", "final"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""The stages in their order."""

TUNING: tuple[Stage, ...] = ("tune", "repeat")
"""The stages that choose a point and are therefore scored on the dev set only."""

Outcome: TypeAlias = Literal["ok", "pruned", "infeasible", "diverged", "failed"]


@dataclass(frozen=True)
class Record:
    """One finished run."""

    id: str
    """Hash of everything that decides the result."""
    study: str
    """Name of the study, or "untrained"."""
    stage: Stage
    """Stage of the plan that the run belongs to."""
    seed: int
    """Seed of the training."""
    point: Point | None
    """Batch size, learning rate and options; None for the untrained model."""
    trial: int | None
    """Number of the trial from 0; None for other stages."""
    outcome: Outcome
    """ok; pruned by its dev curve; infeasible (out of memory); diverged (NaN or infinite loss); failed otherwise."""
    error: str | None = None
    """Message, or head of the traceback, of a run without scores."""
    objective: str = OBJECTIVE
    """Name of the score that tuning maximises."""
    headline: str = HEADLINE
    """Name of the score that verdicts are about."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Scores on a 0 to 1 scale by name: "stsb-dev/spearman_cosine", "medquad-test/ndcg@10", "mteb/STS12", ..."""
    unshared: Mapping[str, float] = field(default_factory=dict)
    """Spearman correlation of STS tasks without the pairs that are also in the dev set or the training rows."""
    items: Mapping[str, Items] = field(default_factory=dict)
    """Predictions for the items of dev, test and further measures, by name of the measure."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Tasks and further measures that could not be evaluated, with the reason."""
    curve: tuple[tuple[float, float], ...] = ()
    """(share of training done, score that tuning maximises) pairs."""
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    """Diagnostics of the dev set's embeddings (see `harness.evaluation.diagnostics`)."""
    forward: Mapping[str, Any] = field(default_factory=dict)
    """Which forward path trained the model, its error against the plain path, and why (`harness.model.certificate`)."""
    warnings: tuple[str, ...] = ()
    """Warnings of libraries, each line once."""
    rows: int = 0
    """Rows that the study trained on."""
    steps: int = 0
    """Optimizer steps."""
    examples_seen: int = 0
    """Training examples, over all epochs."""
    train_seconds: float = 0.0
    """Wall time of training."""
    eval_seconds: float = 0.0
    """Wall time of evaluation."""
    peak_memory_mb: float = 0.0
    """Peak memory of the process, or of the GPU, during this run."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Versions, hardware, commit and what was trained."""

    @property
    def tuning(self) -> int:
        """Number of the tuning that the run belongs to, from 0."""
        return self.seed // TUNING_STEP

    @property
    def dev_score(self) -> float | None:
        """The score that tuning maximises, None if there is none."""
        return self.scores.get(self.objective)

    @property
    def test_score(self) -> float | None:
        """The score that verdicts are about, None if there is none."""
        return self.scores.get(self.headline)

    @property
    def retryable(self) -> bool:
        """Whether repeating the run may help: it failed or ran out of memory."""
        return self.outcome in ("failed", "infeasible")

    def figures_of(self, task: str) -> tuple[str, ...]:
        """Return the names of a task's scores: one, or one per subset if the task has several."""
        subsets = self.provenance.get("subsets", {})
        return tuple(f"mteb/{name}" for name in subsets.get(task, (task,)))

    def lacks(self, task: str) -> bool:
        """Return whether a score of a task is missing."""
        return any(figure not in self.scores for figure in self.figures_of(task))

    def lacks_measure(self, name: str, content: str | None) -> bool:
        """Return whether the scores of a measure are missing, or are of other data.

        Args:
            name: name of the measure.
            content: hash of its data, None if it is not known.
        """
        scored = self.provenance.get("measures", {}).get(name)
        return not _scored(name, self.scores) or (None not in (scored, content) and scored != content)

    def is_unfit_for(self, task: str) -> bool:
        """Return whether all missing scores of a task or measure are missing because of the model."""
        lacking = [figure for figure in self.figures_of(task) if figure not in self.scores]
        reasons = [self.missing.get(figure.removeprefix("mteb/"), self.missing.get(task, "")) for figure in lacking]
        return bool(reasons) and all(reason.startswith(UNFIT) for reason in reasons)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON's types."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}  # `asdict` copies every number
        plain["point"] = None if self.point is None else self.point.as_dict()
        plain["items"] = {name: of_measure.as_dict() for name, of_measure in self.items.items()}
        return plain

    def to_json(self) -> str:
        """Return the record as one line of JSON that ends in its own checksum."""
        body = as_json(self.as_dict()).encode(errors="replace").decode()  # an error may hold what is no Unicode
        return f'{HEAD}{body}, "sha256": "{_checksum(body)}"}}\n'

    @classmethod
    def from_json(cls, text: str, where: str) -> Record:
        """Read the text of `to_json`.

        Raises:
            DamagedRecord: it is not exactly what was written; the message names `where`.
        """
        try:
            outer = reading.parsed(text)
            plain = outer["record"]
            as_written = _checksum(text[len(HEAD) : text.rindex(', "sha256": ')]) == outer["sha256"]
            if not as_written and _checksum(as_json(plain)) != outer["sha256"]:
                raise ValueError("its checksum does not match")
            if "pairs" in plain:  # store version 2
                plain["items"] = plain.pop("pairs")
            if unknown := plain.keys() - {f.name for f in fields(cls)}:
                raise ValueError(f"unknown fields {', '.join(sorted(unknown))}")
            point = reading.typed(plain.pop("point"), Mapping[str, Value] | None, "its point")
            stored: Record = reading.typed({**plain, "point": None}, cls)
            if not names_a_folder(stored.study):
                raise ValueError("its study has a name that no study can have")
            for name, declared in _PROVENANCE.items():
                if name in stored.provenance:
                    reading.typed(stored.provenance[name], declared, f"its provenance's {name}")
            if point is not None:
                reading.typed(point["batch_size"], int, "its batch size")
                reading.typed(point["lr"], float, "its learning rate")
            return stored if point is None else replace(stored, point=Point.from_dict(point))
        except (reading.Unreadable, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            raise DamagedRecord(f"{where}: damaged record ({problem})") from problem


_PROVENANCE: Mapping[str, Any] = {
    **dict.fromkeys(("versions", "revisions", "measures"), Mapping[str, str]),
    **dict.fromkeys(("hardware", "trained", "contents"), Mapping[str, Any]),
    **dict.fromkeys(("git", "harness_git"), Mapping[str, str | bool | None]),
    **dict.fromkeys(("study_file", "subject", "search", "hub", "precision"), str | None),
    "subsets": Mapping[str, Mapping[str, str]],
    "rows_asked": int | None,
    "threads": int,
}
"""Types of those parts of a record's provenance that commands read."""


HEAD = '{"record": '
"""Beginning of a record's text; the checked content and its checksum follow."""


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


REPEATS = 0.001
"""Test scores of two trainings of one run that differ by more are reported: rounding does not explain it."""


def completed(earlier: Record | None, again: Record) -> Record:
    """Return the record of a run that was repeated for missing tasks, keeping its first scores.

    If training is not reproducible, every request for further tasks would otherwise give new test scores. A record of
    other library versions, or of a run that did not succeed, is replaced as a whole.
    """
    if earlier is None or again.stage in TUNING or (earlier.outcome, again.outcome) != ("ok", "ok"):
        return again
    if earlier.provenance.get("versions") != again.provenance.get("versions"):
        return again
    notes: tuple[str, ...] = ()
    first, then = earlier.test_score, again.test_score
    if first is not None and then is not None and abs(first - then) > REPEATS:
        notes = (
            f"seed {again.seed} scored {then:.4f} when it was trained again for missing tasks, {first:.4f} before: its "
            "training is not reproducible; its first scores are kept",
        )
    measures, then_measures = (r.provenance.get("measures", {}) for r in (again, earlier))
    stale = {name for name, content in then_measures.items() if measures.get(name, content) != content}
    scores = {**again.scores, **_without(stale, earlier.scores)}
    subsets = {**again.provenance.get("subsets", {}), **earlier.provenance.get("subsets", {})}
    return replace(
        earlier,
        scores=scores,
        unshared={**again.unshared, **earlier.unshared},
        items={**again.items, **_without(stale, earlier.items)},
        missing={name: why for name, why in again.missing.items() if not _scored(name, scores)},
        warnings=tuple(dict.fromkeys((*earlier.warnings, *again.warnings, *notes))),
        provenance={**earlier.provenance, "subsets": subsets, "measures": {**then_measures, **measures}},
    )


def _scored(name: str, scores: Collection[str]) -> bool:
    """Return whether a task, a subset or a measure has a score."""
    return f"mteb/{name}" in scores or any(figure == name or figure.startswith(f"{name}/") for figure in scores)


def _without(measures: Collection[str], by_name: Mapping[str, T]) -> dict[str, T]:
    """Return what is not of these measures."""
    return {name: value for name, value in by_name.items() if name.partition("/")[0] not in measures}


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row per run: fields, point.*, scores, unshared.*, diagnostics.*, provenance.*; no predictions."""
    import pandas as pd  # imported here, because it takes a third of a second that `plan` and `check` do not need

    rows = []
    for record in records:
        plain = record.as_dict()
        del plain["items"], plain["curve"]
        point, scores, provenance = plain.pop("point") or {}, plain.pop("scores"), plain.pop("provenance")
        diagnostics = plain.pop("diagnostics")
        unshared, forward = plain.pop("unshared"), plain.pop("forward")
        rows.append(
            {
                **plain,
                **{f"point.{name}": value for name, value in point.items()},
                **scores,
                **{f"diagnostics.{name}": value for name, value in diagnostics.items()},
                **{f"unshared.{name}": value for name, value in unshared.items()},
                **{f"forward.{name}": value for name, value in forward.items()},
                **{f"provenance.{name}": value for name, value in provenance.items()},
            }
        )
    return pd.DataFrame(rows)
