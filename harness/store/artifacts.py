"""Move a run's files from its staging folder into the store: mteb results, logs, and the model with a model card."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from harness.errors import StoreError
from harness.files import writing
from harness.store.card import model_card
from harness.store.folder import RUN_ID
from harness.store.records import Record


def publish(store: Path, staging: Path, record: Record, keep_model: bool) -> None:
    """Move a run's results into its store: mteb/, logs/ and, if it is kept, models/STUDY/ID/.

    Args:
        store: the store's folder.
        staging: the run's staging folder.
        record: the run's record.
        keep_model: keep the model if the run succeeded.

    Raises:
        StoreError: the store cannot be written.
    """
    with writing(store):
        if (staging / "mteb" / "results").is_dir():
            shutil.copytree(staging / "mteb" / "results", store / "mteb" / "results", dirs_exist_ok=True)
        if (staging / "trainer" / "runs").is_dir():
            logs = store / "logs" / record.study / f"{record.stage}-{record.id}"
            shutil.copytree(staging / "trainer" / "runs", logs, dirs_exist_ok=True)
        if keep_model and record.outcome == "ok" and (staging / "model").is_dir():
            (staging / "model" / "README.md").write_text(str(model_card(record)), encoding="utf-8")
            target = model_folder(store, record)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(staging / "model", target)


def model_folder(store: Path, record: Record) -> Path:
    """Return the folder of a run's model, whether or not it was kept."""
    return store / "models" / record.study / record.id


def keep_only_best(store: Path, finals: Sequence[Record]) -> None:
    """Keep the model with the highest dev score of a point's final runs, and delete the other models."""
    succeeded = [record for record in finals if record.outcome == "ok"]
    best = max(succeeded, key=lambda record: record.dev_score or -math.inf, default=None)
    drop_models(store, [record for record in succeeded if record is not best])


def drop_models(store: Path, records: Sequence[Record]) -> None:
    """Delete these runs' models, if there are any."""
    for record in records:
        shutil.rmtree(model_folder(store, record), ignore_errors=True)


def clear(staging: Path, still_there: Callable[[], None]) -> None:
    """Delete files of runs in a store's staging folder, and the folder if it is then empty.

    Args:
        staging: the staging folder.
        still_there: raises StoreError if another store has taken the place of this one.
    """
    with suppress(OSError, StoreError):
        still_there()
        for folder in staging.iterdir():
            if RUN_ID.fullmatch(folder.name):
                shutil.rmtree(folder, ignore_errors=True)
        staging.rmdir()
