"""Makes the testbed's data when first used, and keeps them under a name that their source decides."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from harness.identity.code import file_tokens

from . import rows, taskdata
from .frames import Frame

Progress = Callable[[str, float], None]

TASK_NAMES = (
    "EmbeddedSTS",
    "EmbeddedTopicClassification",
    "EmbeddedParaphrasePairs",
    "EmbeddedRetrieval",
    "EmbeddedClustering",
)


_OF_THE_MODEL = ("basemodel.py", "pretrain.py")


@cache
def fingerprint() -> str:
    """16 hexadecimal digits that change whenever the code that makes the data does, and so perhaps the data.

    Comments, docstrings and layout do not count, nor does the base model: it has a hash of its own, of its content.
    """
    files = sorted(set(Path(__file__).parent.glob("*.py")) - {Path(__file__).with_name(name) for name in _OF_THE_MODEL})
    code = [[path.name, file_tokens(path.read_text(encoding="utf-8"))] for path in files]
    return hashlib.sha256(json.dumps([rows.SEED, code]).encode()).hexdigest()[:16]


def cache_folder() -> Path:
    """`$HARNESS_CACHE`, else `$XDG_CACHE_HOME/harness`, else `~/.cache/harness`."""
    if given := os.environ.get("HARNESS_CACHE"):
        return Path(given).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").resolve() / "harness"


def _write(folder: Path, tables: taskdata.Tables) -> None:
    """One parquet file a table; the libraries' versions decide its bytes, so hash contents and not files."""
    import pandas as pd

    folder.mkdir(parents=True)
    for name, columns in tables.items():
        pd.DataFrame(dict(columns)).to_parquet(folder / f"{name}.parquet", index=False)


def write_data(root: Path, seed: int = rows.SEED) -> set[Frame]:
    """Writes `nli`, `sts` and `tasks` under `root`; returns the frames used, which the base model must not read.

    Training frames are drawn first and every later kind avoids those before it, so the order here decides the data.
    """
    taken: set[Frame] = set()
    training = rows.nli_rows(rows.NLI_PREMISES, taken, seed)
    _write(
        root / "nli",
        {
            "train": {
                "premise": [row.premise for row in training],
                "hypothesis": [row.hypothesis for row in training],
                "label": [row.label for row in training],
            }
        },
    )
    sts: dict[str, taskdata.Columns] = {}
    for split, number in (("dev", rows.DEV_PAIRS), ("test", rows.TEST_PAIRS)):
        pairs = rows.sts_pairs(split, number, rows.seen_domains(), taken, seed)
        sts[split] = {
            "sentence1": [pair.sentence1 for pair in pairs],
            "sentence2": [pair.sentence2 for pair in pairs],
            "score": [pair.score for pair in pairs],
        }
    _write(root / "sts", sts)
    makers = (
        taskdata.sts_task,
        taskdata.topic_task,
        taskdata.paraphrase_task,
        taskdata.retrieval_task,
        taskdata.clustering_task,
    )
    for name, make in zip(TASK_NAMES, makers, strict=True):
        _write(root / "tasks" / name, make(taken, seed))
    return taken


def build(root: Path | None = None, progress: Progress | None = None) -> Path:
    """The folder with the data, made now if it is not there yet: some seconds of one core.

    It holds `nli/train.parquet` (premise, hypothesis, label 0 entailment, 1 neutral, 2 contradiction),
    `sts/dev.parquet` and `sts/test.parquet` (sentence1, sentence2, score 0 to 5), and `tasks/<name>/`.

    Two processes do not build twice: the second waits. The folder gets its name only when it is complete.

    Args:
        root: the folder to make or find; by default `embedded-<fingerprint>` in the cache folder. A folder given here
            is taken as it is when it exists.
        progress: called with what is being made ("sentences") and the share of that which is done, 0 to 1.

    Raises:
        OSError: when the cache folder cannot be written.
    """
    from filelock import FileLock

    target = (root or cache_folder() / f"embedded-{fingerprint()}").resolve()
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{target.name}.lock"):
        if target.is_dir():
            return target
        for leftover in target.parent.glob(f".{target.name}.tmp-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        # A sibling, because only within one file system is renaming a folder atomic.
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.tmp-", dir=target.parent))
        try:
            _make(temporary, progress or _silent)
            temporary.chmod(0o755)
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return target


def _silent(stage: str, share: float) -> None:
    """The progress of a caller who wants none."""


def _make(folder: Path, progress: Progress) -> None:
    progress("sentences", 0.0)
    write_data(folder)
    progress("sentences", 1.0)
