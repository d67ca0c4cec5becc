"""Record of one run: scores, per-pair predictions, cost, provenance and outcome.

Records are plain JSON with a checksum, written by `harness.store` and never unpickled or evaluated.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from harness.errors import DamagedRecord
from harness.files import as_json
from harness.scores import HEADLINE, OBJECTIVE, UNFIT
from harness.spec.space import Point

if TYPE_CHECKING:
    import pandas as pd

Stage: TypeAlias = Literal["untrained", "tune", "final"]
Outcome: TypeAlias = Literal["ok", "pruned", "infeasible", "diverged", "failed"]


@dataclass(frozen=True)
class Pairs:
    """A model's predictions on an STS set, in the order of the set."""

    gold: tuple[float, ...]
    """Gold scores from 0 to 1."""
    cosine: tuple[float, ...]
    """Cosine similarities of the model."""


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
    scores: Mapping[str, float] = field(default_factory=dict)
    """Scores on a 0 to 1 scale by name: "stsb-dev/spearman_cosine", "stsb-test/pearson_cosine", "mteb/STS12", ..."""
    unshared: Mapping[str, float] = field(default_factory=dict)
    """Spearman correlation of STS tasks without the pairs that are also in the dev set or the training rows."""
    pairs: Mapping[str, Pairs] = field(default_factory=dict)
    """Predictions by STS set."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Tasks that could not be evaluated, with the reason."""
    curve: tuple[tuple[float, float], ...] = ()
    """(share of training done, dev Spearman) pairs."""
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

    def is_unfit_for(self, task: str) -> bool:
        """Return whether all missing scores of a task are missing because of the model."""
        lacking = [figure for figure in self.figures_of(task) if figure not in self.scores]
        reasons = [self.missing.get(figure.removeprefix("mteb/"), self.missing.get(task, "")) for figure in lacking]
        return bool(reasons) and all(reason.startswith(UNFIT) for reason in reasons)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON's types."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}  # `asdict` copies every cosine
        plain["point"] = None if self.point is None else self.point.as_dict()
        plain["pairs"] = {name: {"gold": pairs.gold, "cosine": pairs.cosine} for name, pairs in self.pairs.items()}
        return plain

    def to_json(self) -> str:
        """Return the record as one line of JSON that ends in its own checksum."""
        body = as_json(self.as_dict())
        return f'{HEAD}{body}, "sha256": "{_checksum(body)}"}}\n'

    @classmethod
    def from_json(cls, text: str, where: str) -> Record:
        """Read the text of `to_json`.

        Raises:
            DamagedRecord: it is not exactly what was written; the message names `where`.
        """
        try:
            outer = json.loads(text)
            plain = outer["record"]
            as_written = _checksum(text[len(HEAD) : text.rindex(', "sha256": ')]) == outer["sha256"]
            if not as_written and _checksum(as_json(plain)) != outer["sha256"]:
                raise ValueError("its checksum does not match")
            if unknown := plain.keys() - {f.name for f in fields(cls)}:
                raise ValueError(f"unknown fields {', '.join(sorted(unknown))}")
            _refuse_odd_types(plain)
            plain["point"] = None if plain["point"] is None else Point.from_dict(plain["point"])
            plain["pairs"] = {name: Pairs(tuple(p["gold"]), tuple(p["cosine"])) for name, p in plain["pairs"].items()}
            plain["warnings"] = tuple(plain.get("warnings", ()))
            plain["curve"] = tuple((share, score) for share, score in plain["curve"])
            return cls(**plain)
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise DamagedRecord(f"{where}: damaged record ({problem})") from problem


_TEXT, _NUMBER, _TABLE = (str,), (int, float), (dict,)
_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "study", "stage", "outcome"), _TEXT),
    **dict.fromkeys(("seed", "rows", "steps", "examples_seen"), (int,)),
    **dict.fromkeys(("train_seconds", "eval_seconds", "peak_memory_mb"), _NUMBER),
    **dict.fromkeys(("scores", "unshared", "pairs", "missing", "diagnostics", "forward", "provenance"), _TABLE),
    "point": (dict, type(None)),
    "trial": (int, type(None)),
    "error": (str, type(None)),
}

_PROVENANCE_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("versions", "hardware", "git", "harness_git", "revisions", "subsets", "trained"), _TABLE),
    **dict.fromkeys(("rows_asked", "threads"), (int,)),
}
"""Types of those parts of a record's provenance that commands read."""


def _refuse_odd_types(plain: Mapping[str, Any]) -> None:
    """Raise ValueError if a field has an unexpected type, which a correct checksum does not exclude."""
    for name, types in _TYPES.items():
        if name in plain and (not isinstance(plain[name], types) or isinstance(plain[name], bool)):
            raise ValueError(f"its {name} is a {type(plain[name]).__name__}")
    for name, types in _PROVENANCE_TYPES.items():
        if not isinstance(plain["provenance"].get(name), (*types, type(None))):
            raise ValueError(f"its provenance's {name} is a {type(plain['provenance'][name]).__name__}")
    if not all(isinstance(of_task, dict) for of_task in (plain["provenance"].get("subsets") or {}).values()):
        raise ValueError("its subsets are not tables")
    if any(isinstance(value, (dict, list)) for value in (plain["point"] or {}).values()):
        raise ValueError("its point is invalid")
    numbers = [*plain["scores"].items(), *plain["unshared"].items(), *plain["diagnostics"].items()]
    numbers += [(name, n) for name, p in plain["pairs"].items() for n in (*p["gold"], *p["cosine"])]
    odd = next((name for name, n in numbers if type(n) not in _NUMBER or not math.isfinite(n)), None)
    if odd is not None:
        raise ValueError(f"{odd} is not a number")
    if plain["stage"] not in get_args(Stage) or plain["outcome"] not in get_args(Outcome):
        raise ValueError(f"a stage {plain['stage']!r} with outcome {plain['outcome']!r} does not exist")


HEAD = '{"record": '
"""Beginning of a record's text; the checked content and its checksum follow."""


@dataclass(frozen=True)
class Declared:
    """A study in a design."""

    subject: str
    """Identity of what it trains and is scored on (`plan.subject_id`)."""
    search: str
    """Identity of its search (`plan.search_id`)."""
    trials: int
    """Number of trials."""


@dataclass(frozen=True)
class Design:
    """A design: what a study file declared when a driver started.

    Attributes:
        studies: by name, what each was given.
        untrained: identity of what the untrained model is scored on, like `Declared.subject`.
        claims: the claims as `unlocking.claims` writes them, each with its studies.
        seeds: number of final seeds.
        max_seeds: maximum number of final seeds if they are added until decided.
        scored: the studies that already had test scores, so that this design was not blind to them.
        records: number of records in the store.
        at: the time (UTC, ISO 8601); reports do not print it.
        study_file: hash of the study file, None if it is unknown.
    """

    studies: Mapping[str, Declared]
    untrained: str
    claims: Mapping[str, tuple[str, ...]]
    seeds: int
    max_seeds: int | None = None
    scored: tuple[str, ...] = ()
    records: int = 0
    at: str = ""
    study_file: str | None = None


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


REPEATS = 0.001
"""Test scores of two trainings of one run that differ by more are reported: rounding does not explain it."""


def completed(earlier: Record | None, again: Record) -> Record:
    """Return the record of a run that was repeated for missing tasks, keeping its first scores.

    If training is not reproducible, every request for further tasks would otherwise give new test scores. A record of
    other library versions, or of a run that did not succeed, is replaced as a whole.
    """
    if earlier is None or again.stage == "tune" or (earlier.outcome, again.outcome) != ("ok", "ok"):
        return again
    if earlier.provenance.get("versions") != again.provenance.get("versions"):
        return again
    notes: tuple[str, ...] = ()
    first, then = earlier.scores.get(HEADLINE, math.nan), again.scores.get(HEADLINE, math.nan)
    if abs(first - then) > REPEATS:
        notes = (
            f"seed {again.seed} scored {then:.4f} when it was trained again for missing tasks, {first:.4f} before: its "
            "training is not reproducible; its first scores are kept",
        )
    scores = {**again.scores, **earlier.scores}
    subsets = {**again.provenance.get("subsets", {}), **earlier.provenance.get("subsets", {})}
    return replace(
        earlier,
        scores=scores,
        unshared={**again.unshared, **earlier.unshared},
        pairs={**again.pairs, **earlier.pairs},
        missing={task: why for task, why in again.missing.items() if f"mteb/{task}" not in scores},
        warnings=tuple(dict.fromkeys((*earlier.warnings, *again.warnings, *notes))),
        provenance={**earlier.provenance, "subsets": subsets},
    )


def by_trial(records: Iterable[Record], study: str) -> list[Record]:
    """Return a study's tuning records in the order of their trials."""
    tuned = [r for r in records if r.study == study and r.stage == "tune" and r.trial is not None]
    return sorted(tuned, key=lambda r: r.trial or 0)


def best(records: Iterable[Record]) -> Record | None:
    """Return the tuning record with the highest dev Spearman, the earliest if tied; None if none succeeded."""
    succeeded = [r for r in records if r.outcome == "ok" and math.isfinite(r.scores.get(OBJECTIVE, math.nan))]
    return max(succeeded, key=lambda r: r.scores[OBJECTIVE], default=None)


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row per run: fields, point.*, scores, unshared.*, diagnostics.*, provenance.*; no per-pair cosines."""
    import pandas as pd  # imported here, because it takes a third of a second that `plan` and `check` do not need

    rows = []
    for record in records:
        plain = record.as_dict()
        del plain["pairs"], plain["curve"]
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
