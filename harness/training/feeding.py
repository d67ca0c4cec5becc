"""Check that rows suit the sampler and the prompts with which they are trained."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from inspect import signature
from typing import TYPE_CHECKING, Any

from sentence_transformers import SentenceTransformer

from harness.compat import BatchSamplers, GroupByLabelBatchSampler, NoDuplicatesBatchSampler
from harness.errors import RunFailed
from harness.model.fast import Way
from harness.model.prompts import prompts_are_text
from harness.spec.settings import Sampler

if TYPE_CHECKING:
    from datasets import Dataset


LABEL_COLUMNS = ("label", "labels", "score", "scores")
"""Names of columns that hold labels: the others hold texts. sentence-transformers before 6.0 would know two of them."""


def batches_an_epoch(rows: Dataset, batch_size: int, sampler: Sampler | None, examples: int | None) -> int | None:
    """Return the number of batches that the trainer takes from a sampler in an epoch; None if it is the usual one.

    Args:
        rows: the rows.
        batch_size: rows of a batch.
        sampler: the sampler.
        examples: the budget of examples, if there is one instead of epochs.

    Raises:
        RunFailed: the sampler does not suit the rows, or the budget cannot be kept with it.
    """
    if sampler is None:
        return None
    if examples is not None:
        raise RunFailed(
            f"sampler={sampler!r}: its batches differ in size, so the steps for {examples:,} examples are not known "
            "before; give the budget in epochs"
        )
    if sampler == "no_duplicates_hashed" and "precompute_hashes" not in signature(NoDuplicatesBatchSampler).parameters:
        raise RunFailed(
            f'sampler="no_duplicates_hashed": sentence-transformers {version("sentence-transformers")}, which is '
            'installed, does not have it; upgrade it to 5.3, or use "no_duplicates", which is slower'
        )
    if sampler == "no_duplicates_hashed" and find_spec("xxhash") is None:
        raise RunFailed('sampler="no_duplicates_hashed" needs the package xxhash; use "no_duplicates", which is slower')
    if sampler != "group_by_label":
        return None  # an epoch ends after the usual number of batches, also if some are smaller
    try:
        return len(GroupByLabelBatchSampler(rows, batch_size, False, list(LABEL_COLUMNS)))
    except ValueError as problem:
        raise RunFailed(
            f'sampler="group_by_label" at a batch size of {batch_size}: {problem} It needs a view with label=, even '
            "batch sizes from 4, and two classes of two rows"
        ) from problem


def as_argument(sampler: Sampler | None) -> Any:
    """Return a sampler as the trainer's argument; hashes are made in this process, because a worker has one core."""
    if sampler == "no_duplicates_hashed":
        return partial(NoDuplicatesBatchSampler, precompute_hashes=True, precompute_num_proc=0)
    return sampler or BatchSamplers.BATCH_SAMPLER


def check_prompts(model: SentenceTransformer, rows: Dataset, prompts: Mapping[str, str], way: Way) -> None:
    """Check that prompts are of text columns, and that a fast path gives them the same effect.

    Raises:
        RunFailed: a prompt is of no text column, or the model needs the plain path for it.
    """
    texts = [name for name in rows.column_names if name not in LABEL_COLUMNS]
    wrong = [name for name in prompts if name not in texts]
    if wrong:
        raise RunFailed(f"prompts: there is no text column {wrong[0]!r}; the view has {', '.join(texts)}")
    if prompts and way != "plain" and not prompts_are_text(model):
        raise RunFailed(f"the model's pooling leaves prompts out, which the path {way!r} does not; train it by 'plain'")
