"""Cached audits: when an audit is still valid, and reading and writing it in a store.

`harness.data.checks` has the rules, `harness.audit.examine` applies them to a testbed in a process of its own, and
this module has what driver, commands and report need of the result: light to import.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import asdict, replace
from pathlib import Path

from harness.data.findings import Audit, Finding, Overlap, by_severity
from harness.errors import StoreError
from harness.files import as_json, write_atomically
from harness.planning.plan import RECIPE, Plan
from harness.spec import losses
from harness.spec.ablation import Ablation
from harness.spec.parts import Part
from harness.spec.space import Choice
from harness.spec.study import Study
from harness.spec.views import named
from harness.store import reading
from harness.texts.near import BANDS, PER_BAND, SHINGLE, THRESHOLD

FILE = "audit.json"

VERSION = 7
"""Increased by hand when the audit checks more, or judges differently: all audits are then repeated."""


def key(ablation: Ablation) -> str:
    """Hash what decides an audit: rows, dev and test sets, tasks, and of each study its view, loss and batches."""
    bed = ablation.testbed
    decides = {
        "version": VERSION,
        "recipe": RECIPE,
        "near": [SHINGLE, THRESHOLD, BANDS, PER_BAND],
        "testbed": bed.identity(),
        "rows": bed.max_rows,
        "also": sorted(repr(measure) + str(bed.content_of(measure)) for measure in bed.besides),
        "max_dropped": bed.max_dropped,
        "tasks": sorted(bed.tasks),
        "studies": [[study.name, study.reads, ablation.decides(study)] for study in ablation.studies],
        "batch_sizes": batch_sizes(ablation),
        "batches": [
            [study.name, smallest_batch(ablation, study), ablation.default_point(study).options]
            for study in own_losses(ablation)
        ],
    }
    return hashlib.sha256(as_json(decides).encode()).hexdigest()[:16]


def batch_sizes(ablation: Ablation) -> list[int]:
    """Return all batch sizes of the space and the default point, smallest first."""
    return sorted({ablation.default.batch_size, *(int(size) for size in ablation.space.batch_size.values)})


def read(folder: Path) -> Audit | None:
    """Return a store's audit, None if it has none.

    Raises:
        StoreError: the audit cannot be read.
    """
    try:
        found: Audit = reading.document(Audit, folder, FILE)
        return found
    except FileNotFoundError:
        return None
    except reading.Unreadable as problem:
        raise StoreError(
            f"{folder / FILE}: the audit cannot be read ({problem}); delete it; `harness run FILE --audit-only` makes "
            "a new one"
        ) from problem


def write(folder: Path, audit: Audit) -> None:
    """Replace a store's audit, one line per finding. Call it with the store locked."""
    plain = asdict(audit)
    lists = [f' "{name}": [{_lines(plain.pop(name))}]' for name in ("findings", "overlaps")]
    head = as_json(plain).removesuffix("}")
    write_atomically(folder / FILE, ",\n".join([head, *lists]) + "\n}\n")


def _lines(items: Iterable[object]) -> str:
    listed = ",\n  ".join(as_json(item) for item in items)
    return f"\n  {listed}\n " if listed else ""


def still_holds(audit: Audit, ablation: Ablation, missing: Collection[str]) -> bool:
    """Return whether an audit is of the same data and need not be repeated."""
    return audit.key == key(ablation) and set(audit.missing) == set(missing)


def only(ablation: Ablation, names: Collection[str]) -> Ablation:
    """Return the ablation with only these studies and those that mine for them; all of it for no names."""
    selected = {name for study in names for name in (study, ablation.study(study).miner)}
    studies = [study for study in ablation.studies if study.name in selected]
    return ablation if len(studies) in (0, len(ablation.studies)) else replace(ablation, studies=studies, expect=())


def of_plan(plan: Plan) -> Audit | None:
    """Return the audit in a plan's store, None if there is none or it is of other data.

    An audit of only some of the plan's studies names them.
    """
    audit = plan.audit
    if audit is None or not set(audit.studies) <= {study.name for study in plan.ablation.studies}:
        return None
    return audit if audit.key == key(only(plan.ablation, audit.studies)) else None


def own_losses(ablation: Ablation) -> list[Study]:
    """Return the studies whose loss is tried: a callable of the study file, or one that reads several labels a row."""
    return [study for study in ablation.studies if own_parts(study)]


def own_parts(study: Study) -> dict[str, Part]:
    """Return the parts of a study with such a loss, by title; a teacher's embeddings may not fit the model."""
    library = (losses.softmax, losses.gist, losses.cached_gist)
    return {
        title: part
        for title, part in study.by_title.items()
        if named(part.view).label in ("scores", "embedding")
        or (
            not isinstance(part.loss, losses.Loss | losses.Wrapped | losses.Regularized)
            and not any(part.loss is each for each in library)
        )
    }


def smallest_batch(ablation: Ablation, study: Study) -> int:
    """Return the smallest batch size of a study's space and default point: its loss may need that many rows."""
    tuned = ablation.dimensions(study)["batch_size"]
    assert isinstance(tuned, Choice)
    return min(ablation.default_point(study).batch_size, *(int(size) for size in tuned.values))


def new_audit(
    key: str,
    findings: Iterable[Finding],
    overlaps: Iterable[Overlap],
    left_out: Iterable[tuple[str, str]],
    missing: Iterable[str],
) -> Audit:
    """Return a new audit, its findings by severity."""
    return Audit(key, tuple(by_severity(findings)), tuple(overlaps), tuple(left_out), tuple(sorted(missing)))
