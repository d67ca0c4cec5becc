"""Try the losses that a study file defines: one batch forward and backward, and with other labels.

A library's loss is checked against its view when the study file loads. Of any other callable nothing is known until it
is called, and without a trial all runs of its study would fail after the data were fetched and audited.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harness.audit import cache
from harness.data.clean import clean
from harness.data.findings import Finding
from harness.data.loss_findings import (
    PROBED,
    ignored_label,
    raising_loss,
    unfit_loss,
    unprobed_label,
    untried_loss,
)
from harness.errors import RunFailed
from harness.provenance import without_secrets
from harness.reading import materials
from harness.spec.ablation import Ablation
from harness.spec.beside import last_line
from harness.spec.parts import Part
from harness.spec.study import Study
from harness.spec.views import View, named
from harness.testbeds import Testbed

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 300
"""Number of characters of an exception's message that a finding quotes."""


def try_loss(ablation: Ablation, name: str, folder: str | None = None) -> list[Finding]:
    """Try a study's own losses on a batch of their views, and test whether they read their labels.

    Args:
        ablation: the ablation.
        name: the study.
        folder: the study file's folder; a finding names the line of its files where the loss raised an exception.
    """
    study = ablation.study(name)
    own = cache.own_parts(study).items()
    return [finding for title, part in own for finding in _try_part(ablation, study, title, part, folder)]


def _try_part(ablation: Ablation, study: Study, title: str, part: Part, folder: str | None) -> list[Finding]:
    """Try the loss of one part of a study."""
    bed, view = ablation.testbed_of_part(study.name, part), named(part.view)
    from harness.executors.library_output import be_quiet, warnings_collected

    be_quiet()
    rows = _rows(bed, view)
    batch = _batch(view, rows, cache.smallest_batch(ablation, study))
    if batch.empty:
        return []  # the audit has a warning, or mining refuses the rows
    from transformers import set_seed  # torch and the model, which most ablations need not wait for

    from harness.model.loading import fresh_model
    from harness.training.loss_trial import fault_of
    from harness.training.memory import ran_out_of_memory

    try:  # of the testbed's rows, so that studies with other rows share the loaded model
        model = fresh_model(replace(ablation.testbed, pooling=bed.pooling).sealed())
    except RunFailed:
        return [untried_loss("note", title, part, "the base model cannot be loaded")]
    try:
        with warnings_collected({}):  # its runs record them
            set_seed(1)
            loss = part.loss(model, **study.at(ablation.default_point(study))[0])
            fault = fault_of(model, loss, *_inputs(view, batch))
    except (Exception, SystemExit) as problem:  # a study file's loss may raise anything
        if ran_out_of_memory(problem):
            return [untried_loss("warning", title, part, f"{len(batch)} rows ran out of memory")]
        raising = raising_loss(title, part, len(batch), _raised(problem, folder))
        return [raising, *([_unprobed(title, view, problem)] if view.has_plain_label else [])]
    if fault is not None:
        return [unfit_loss(title, part, len(batch), fault.kind, fault.value)]
    return _probed(title, view, rows, model, loss) if view.has_plain_label else []


def _probed(title: str, view: View, rows: pd.DataFrame, model: Any, loss: Any) -> list[Finding]:
    """Test on a few rows with different labels whether a loss reads its labels."""
    few = _with_each_label(view, rows, PROBED)
    if few[view.columns[-1]].nunique() < 2:
        return []
    from harness.training.loss_trial import reads_labels

    try:
        texts, labels = _inputs(view, few)
        read = reads_labels(model, loss, texts, labels or [])
    except (Exception, SystemExit) as problem:  # e.g. a loss that needs gradients or a smaller batch
        return [_unprobed(title, view, problem)]
    return [] if read else [ignored_label(title, view, len(rows))]


def _unprobed(title: str, view: View, problem: BaseException) -> Finding:
    return unprobed_label(title, view, f"{type(problem).__name__} was raised")


@lru_cache(maxsize=8)
def _rows(bed: Testbed, view: View) -> pd.DataFrame:
    """Return the cleaned rows of a view, without mined negatives."""
    return clean(view, view.build(materials.load_rows(bed.source), bed.limit))[0]


def _batch(view: View, rows: pd.DataFrame, size: int) -> pd.DataFrame:
    """Return a batch of the first rows, with several labels if the view has labels; empty if there are none.

    Mined negatives are the positives of other rows here: they have the same form, and a study may mine them later.
    """
    if view.has_plain_label:
        return _with_each_label(view, rows, size)
    if view.mining is None:
        return rows.head(size)
    if len(rows) < 2:
        return rows.head(0)
    positives, few = rows[view.columns[1]].tolist(), rows.head(size)
    return few.assign(
        **{
            column: [positives[(row + shift) % len(rows)] for row in range(len(few))]
            for shift, column in enumerate(view.columns[2:], start=1)
        }
    )


def _with_each_label(view: View, rows: pd.DataFrame, size: int) -> pd.DataFrame:
    """Return the first rows, of which no label has more than half."""
    return rows.groupby(view.columns[-1], sort=True).head(max(1, size // 2)).head(size)


def _inputs(view: View, rows: pd.DataFrame) -> tuple[list[list[str]], list[Any] | None]:
    """Return the text columns of rows, and their labels if the view has them."""
    labels = None if view.label == "none" else rows[view.columns[-1]].tolist()
    return [rows[column].tolist() for column in view.columns[: view.texts]], labels


def _raised(problem: BaseException, folder: str | None) -> str:
    """Return type and message of an exception, and the last line of the study's files that it passed through."""
    first = next(iter(str(problem).strip().splitlines()), "")
    message = without_secrets(first if folder is None else first.replace(os.path.join(folder, ""), ""))
    message = message if len(message) <= LONGEST else f"{message[:LONGEST]}..."
    line = last_line(problem, folder)
    return type(problem).__name__ + (f": {message}" if message else "") + (f" at {line}" if line else "")
