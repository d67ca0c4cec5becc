"""Training rows of a study: its view of the testbed's rows, cleaned, with mined negatives if the view has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from datasets import Dataset
from pandas import DataFrame
from sentence_transformers import SentenceTransformer
from transformers import set_seed

from harness.data.clean import clean
from harness.data.mining import base_of, with_negatives
from harness.errors import RunFailed
from harness.model.certificate import certify
from harness.model.loading import fresh_model
from harness.model.variants import prepare
from harness.planning.plan import TUNE_SEED
from harness.reading import materials
from harness.spec.ablation import Ablation
from harness.spec.study import UNTRAINED
from harness.spec.views import View, named
from harness.testbeds import Testbed
from harness.training.precision import precision_here
from harness.training.train import Schedule, train


def part_rows(ablation: Ablation, name: str) -> dict[str, DataFrame]:
    """Return the rows that a study trains on by the names of its parts; of a study without parts, by its own name.

    Raises:
        RunFailed: a part has no rows, or the model that mines is not known.
    """
    study = ablation.study(name)
    if not study.parts:
        return {name: study_rows(ablation, name)}
    beds = part_testbeds(ablation, name)
    return {part.name: view_rows(beds[part.name].sealed(), named(part.view)) for part in study.parts}


def part_testbeds(ablation: Ablation, name: str) -> dict[str, Testbed]:
    """Return a study's testbed with the source of each of its parts, by the names of `part_rows`."""
    if name == UNTRAINED:
        return {name: ablation.testbed}
    return {part.name: ablation.testbed_of_part(name, part) for part in ablation.study(name).all_parts}


def rows_by_part(beds: Mapping[str, Testbed], told: Callable[[Testbed], Mapping[str, str]]) -> dict[str, str]:
    """Return what is told of the rows of several parts, as one text under "rows"; nothing if there is one testbed.

    Args:
        beds: the testbeds, as `part_testbeds` returns them.
        told: `Testbed.revisions` or `Testbed.hashes`.
    """
    by_name = {name: told(bed).get("rows") for name, bed in beds.items()}
    if len(beds) == 1 or None in by_name.values():
        return {}
    return {"rows": " + ".join(f"{name}: {text}" for name, text in by_name.items())}


def study_rows(ablation: Ablation, name: str) -> DataFrame:
    """Return the rows that a study without parts trains on, with mined negatives if its view has them.

    Raises:
        RunFailed: there are no rows, or the model that mines is not known.
    """
    bed, view = ablation.testbed_of(name).sealed(), named(ablation.study(name).all_parts[0].view)
    rows = view_rows(bed, view)
    if view.mining is None:
        return rows
    return with_negatives(view, rows, base_of(bed), partial(_miner, ablation, name))


def _miner(ablation: Ablation, name: str) -> SentenceTransformer:
    """Return the model that mines for a study: the base model, or that of the best trial, which is trained again.

    Raises:
        RunFailed: the ablation does not contain the best trial; only a plan with that study's trials does.
    """
    mining = ablation.study(name).mining
    assert mining is not None
    if mining.by == UNTRAINED:
        return fresh_model(ablation.testbed_of(name).sealed())
    if mining.point is None:  # never mine by the base model instead: the negatives would be taken for the best trial's
        raise RunFailed(
            f"study {name!r} trains on negatives mined by {mining.by!r}, whose best trial is not known; "
            f"finish the trials of {mining.by!r} first"
        )
    source = ablation.study(mining.by)
    rows, loss = study_rows(ablation, source.name), source.all_parts[0].loss  # a miner has no parts
    set_seed(TUNE_SEED)
    model = fresh_model(ablation.testbed_of(source.name).sealed())
    (options, settings), columns = source.at(mining.point), Dataset.from_pandas(rows, preserve_index=False)
    prepare(model, source.adapters, source.frozen, settings.max_seq_length)
    precision = precision_here(ablation.precision)
    with TemporaryDirectory() as folder:
        train(
            model,
            loss(model, **options),
            columns,
            mining.point,
            Schedule(ablation.budget.epochs, ablation.budget.examples),
            seed=TUNE_SEED,
            precision=precision,
            way=certify(model, loss, options, columns, precision, source.prompts).path,
            settings=settings,
            sampler=source.sampler,
            prompts=source.prompts,
            folder=Path(folder),
        )
    return model


@lru_cache(maxsize=8)
def view_rows(bed: Testbed, view: View) -> DataFrame:
    """Return the cleaned rows of a view, as the audit counts them, without mined negatives.

    Raises:
        RunFailed: there are no rows.
    """
    rows, _ = clean(view, view.build(materials.load_rows(bed.source), bed.limit))
    if rows.empty:
        raise RunFailed(f"view {view.name!r} has no rows in {first_rows(bed)}; give more with --rows, or other rows")
    return rows


def first_rows(bed: Testbed) -> str:
    """Describe which rows of its source a testbed gives to views."""
    return str(bed.source) if bed.max_rows is None else f"the first {bed.max_rows:,} of {bed.source}"
