"""A record: one run with its scores, per-pair predictions, cost, provenance and outcome.

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
    """An STS set's gold scores (0 to 1) and the model's cosines, both in the set's own order."""

    gold: tuple[float, ...]
    cosine: tuple[float, ...]


@dataclass(frozen=True)
class Record:
    """One finished run.

    `outcome`: ok; pruned (stopped on its dev curve); infeasible (did not fit the device); diverged (NaN or infinite
    loss); failed (anything else, with the head of its traceback in `error`).
    `scores`: "stsb-dev/spearman_cosine", "stsb-test/pearson_cosine", "mteb/STS12" and so on, all in points of 1.0.
    `unshared`: of STS tasks, the Spearman without the pairs that the dev set or the rows hold, too.
    `missing`: the tasks that could not be evaluated, with the reason. `curve`: (share of training done, dev Spearman).
    `diagnostics`: what the dev set's embeddings look like (see `harness.evaluation.diagnostics`); no score.
    `forward`: how the model was run while it trained: which path, how far it was from the plain one, and why (see
    `harness.model.certificate`). `warnings`: what the libraries warned of, each line once.
    `train_seconds` and `eval_seconds` are wall time, `peak_memory_mb` the process's (or the GPU's) highest in this run.
    """

    id: str
    study: str
    stage: Stage
    seed: int
    point: Point | None
    trial: int | None
    outcome: Outcome
    error: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    unshared: Mapping[str, float] = field(default_factory=dict)
    pairs: Mapping[str, Pairs] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    curve: tuple[tuple[float, float], ...] = ()
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    forward: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    rows: int = 0
    steps: int = 0
    examples_seen: int = 0
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mendable(self) -> bool:
        """Tell whether doing the run again may give something else: it failed, or memory ran out, on this machine."""
        return self.outcome in ("failed", "infeasible")

    def figures_of(self, task: str) -> tuple[str, ...]:
        """Return the names of a task's scores: one, or one a subset where the run found it to have several."""
        subsets = self.provenance.get("subsets", {})
        return tuple(f"mteb/{name}" for name in subsets.get(task, (task,)))

    def lacks(self, task: str) -> bool:
        """Tell whether a score of a task is missing."""
        return any(figure not in self.scores for figure in self.figures_of(task))

    def is_unfit_for(self, task: str) -> bool:
        """Tell whether all that is missing of a task is so because of the model."""
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
        """Read `to_json`'s text; raise DamagedRecord, naming `where`, if it is not exactly what was written."""
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

_MADE: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("versions", "hardware", "git", "harness_git", "revisions", "subsets", "trained"), _TABLE),
    **dict.fromkeys(("rows_asked", "threads"), (int,)),
}
"""The parts of a record's provenance that commands read, and what they are."""


def _refuse_odd_types(plain: Mapping[str, Any]) -> None:
    """Raise ValueError if a record's parts are not what they are called: its checksum may be right all the same."""
    for name, types in _TYPES.items():
        if name in plain and (not isinstance(plain[name], types) or isinstance(plain[name], bool)):
            raise ValueError(f"its {name} is a {type(plain[name]).__name__}")
    for name, types in _MADE.items():
        if not isinstance(plain["provenance"].get(name), (*types, type(None))):
            raise ValueError(f"its provenance's {name} is a {type(plain['provenance'][name]).__name__}")
    if not all(isinstance(of_task, dict) for of_task in (plain["provenance"].get("subsets") or {}).values()):
        raise ValueError("its subsets are no tables")
    if any(isinstance(value, (dict, list)) for value in (plain["point"] or {}).values()):
        raise ValueError("its point is none")
    numbers = [*plain["scores"].items(), *plain["unshared"].items(), *plain["diagnostics"].items()]
    numbers += [(name, n) for name, p in plain["pairs"].items() for n in (*p["gold"], *p["cosine"])]
    odd = next((name for name, n in numbers if type(n) not in _NUMBER or not math.isfinite(n)), None)
    if odd is not None:
        raise ValueError(f"{odd} is not a number")
    if plain["stage"] not in get_args(Stage) or plain["outcome"] not in get_args(Outcome):
        raise ValueError(f"no run is {plain['stage']} and {plain['outcome']}")


HEAD = '{"record": '
"""What a record's text begins with; then come what its checksum is of, and the checksum."""


@dataclass(frozen=True)
class Declared:
    """What a design gives a study: what it trains (`plan.subject_id`), its search, and how many trials."""

    subject: str
    search: str
    trials: int


@dataclass(frozen=True)
class Design:
    """What was declared when a driver started.

    Attributes:
        studies: by name, what each was given.
        untrained: what the untrained model is scored on, and in which precision, as `Declared.subject` says it.
        claims: the claims that verdicts would be given on, as `claims` writes them, each with its studies.
        seeds, max_seeds: final seeds, and the most of them where seeds are added until decided.
        scored: the studies that had test scores by then: of them, this design was not declared blindly.
        records: how many records the store held.
        at: the time (UTC, ISO 8601), which no report prints.
        study_file: the hash of the study file, None where it is not known.
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
"""How far two trainings of one run may lie apart on the test set before that is told: more than rounding explains."""


def completed(earlier: Record | None, again: Record) -> Record:
    """Return the record of a run that was done again for tasks that it lacked: the scores that it had first stand.

    A loss whose training does not repeat would otherwise give new test scores as often as somebody asks for other
    tasks. A record of other versions of the libraries, or of a run that did not succeed, is replaced as a whole.
    """
    if earlier is None or again.stage == "tune" or (earlier.outcome, again.outcome) != ("ok", "ok"):
        return again
    if earlier.provenance.get("versions") != again.provenance.get("versions"):
        return again
    told: tuple[str, ...] = ()
    first, then = earlier.scores.get(HEADLINE, math.nan), again.scores.get(HEADLINE, math.nan)
    if abs(first - then) > REPEATS:
        told = (
            f"seed {again.seed} scored {then:.4f} when it was trained again for tasks that it lacked, {first:.4f} "
            "before: its training does not repeat; the scores that it had first stand",
        )
    scores = {**again.scores, **earlier.scores}
    subsets = {**again.provenance.get("subsets", {}), **earlier.provenance.get("subsets", {})}
    return replace(
        earlier,
        scores=scores,
        unshared={**again.unshared, **earlier.unshared},
        pairs={**again.pairs, **earlier.pairs},
        missing={task: why for task, why in again.missing.items() if f"mteb/{task}" not in scores},
        warnings=tuple(dict.fromkeys((*earlier.warnings, *again.warnings, *told))),
        provenance={**earlier.provenance, "subsets": subsets},
    )


def by_trial(records: Iterable[Record], study: str) -> list[Record]:
    """Return a study's tuning records in the order of their trials."""
    tuned = [r for r in records if r.study == study and r.stage == "tune" and r.trial is not None]
    return sorted(tuned, key=lambda r: r.trial or 0)


def best(records: Iterable[Record]) -> Record | None:
    """Return the tuning record with the highest dev Spearman, the earliest of equals; None if none succeeded."""
    scored = [r for r in records if r.outcome == "ok" and math.isfinite(r.scores.get(OBJECTIVE, math.nan))]
    return max(scored, key=lambda r: r.scores[OBJECTIVE], default=None)


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row a run: fields, point.*, scores, unshared.*, diagnostics.*, provenance.*; no per-pair cosines."""
    import pandas as pd  # a third of a second that `plan` and `check` do not need

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
