"""Hard negatives: mined once from pairs and a model, then read from a file whose name is a hash of both.

They are mined by sentence-transformers' `mine_hard_negatives` as triplets: its rows (`output_format="n-tuple"`) leave
out every anchor with fewer negatives than requested and have the order of distinct anchors, not that of the pairs.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr
from functools import lru_cache
from io import BytesIO, StringIO
from pathlib import Path

import pandas as pd
import torch
from datasets import Dataset
from filelock import FileLock
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import mine_hard_negatives

from harness.compat import candidates_at_most
from harness.embedded.build import cache_folder
from harness.errors import RunFailed
from harness.executors.library_output import notify_listeners
from harness.files import as_json, replace_file
from harness.provenance import versions
from harness.spec.views import Mining, View
from harness.testbeds import Testbed
from harness.texts.normal import normalise
from harness.waiting import announced

VERSION = 1
"""Bumped by hand when mining changes: all negatives are then mined again."""

CANDIDATES = 100
"""Number of nearest neighbours considered for each anchor."""

SPARE = 3
"""Extra negatives to mine, because some equal the anchor or its positive after normalising."""

BATCH_SIZE = 128


def with_negatives(
    view: View, pairs: pd.DataFrame, base: str, model: Callable[[], SentenceTransformer]
) -> pd.DataFrame:
    """Return pairs with the negatives of a mined view.

    Args:
        view: the view.
        pairs: columns anchor and positive; their order and number do not change.
        base: identity of the base model that mines or was trained to mine: its revision and pooling.
        model: returns the model that mines; called only if no file has these negatives yet.

    Returns:
        The pairs with one further column per negative.

    Raises:
        RunFailed: there are too few other anchors to draw negatives from.
    """
    assert view.mining is not None
    path = _path(view.mining, pairs, base)
    if (negatives := _read(path, view.mining, len(pairs))) is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            lock = path.with_suffix(".lock")
            with announced(f"another worker or command, which mines the same negatives and holds {lock}"):
                stack.enter_context(FileLock(lock))
            negatives = _read(path, view.mining, len(pairs))  # another worker may have mined them meanwhile
            if negatives is None:
                if path.exists():
                    notify_listeners([f"{path} was damaged, so the negatives were mined again"])
                negatives = mine(pairs, view.mining, model())
                _write(path, negatives)
    return pairs.assign(
        **dict(zip(view.columns[2:], (negatives[f"negative{n}"] for n in _numbers(view.mining)), strict=True))
    )


def mine(pairs: pd.DataFrame, mining: Mining, model: SentenceTransformer) -> pd.DataFrame:
    """Mine the negatives of each pair.

    A negative is a positive of another anchor whose cosine with the anchor is at least `margin` (a share) below that
    of the anchor's least similar positive; the most similar come first. All rows of an anchor have the same negatives.
    None of them equals the anchor or one of its positives, even apart from case and punctuation.

    Args:
        pairs: columns anchor and positive.
        mining: number of negatives, and margin.
        model: the model that mines.

    Returns:
        One row per pair, in the same order: columns negative1, negative2, ..., and `drawn`, the number of negatives
        that were chosen at random because too few lie below the margin.
    """
    nearest = _nearest(pairs, mining, model)
    own = _own(pairs)
    corpus = list(dict.fromkeys(pairs["positive"]))
    rows = []
    for anchor in pairs["anchor"]:
        mined = [text for text in nearest.get(anchor, ()) if normalise(text) not in own[anchor]][: mining.negatives]
        random = list(
            _random(anchor, corpus, own[anchor] | {normalise(text) for text in mined}, mining.negatives - len(mined))
        )
        rows.append([*mined, *random, len(random)])
    return pd.DataFrame(rows, columns=[*(f"negative{n}" for n in _numbers(mining)), "drawn"])


def count_drawn(view: View, pairs: pd.DataFrame, base: str) -> int:
    """Return how many rows of a mined view have a random negative, because too few were below the margin.

    Args:
        view: the view; its negatives must have been mined.
        pairs: columns anchor and positive.
        base: identity of the base model, as in `with_negatives`.
    """
    assert view.mining is not None
    negatives = _read(_path(view.mining, pairs, base), view.mining, len(pairs))
    assert negatives is not None
    return int((negatives["drawn"] > 0).sum())


def _nearest(pairs: pd.DataFrame, mining: Mining, model: SentenceTransformer) -> dict[str, list[str]]:
    """Return each anchor's negatives, most similar first; anchors that have none are left out."""
    distinct = pairs.drop_duplicates()[["anchor", "positive"]]
    positives = int(distinct.groupby("anchor").size().max())
    candidates = candidates_at_most(CANDIDATES, distinct["positive"].nunique(), positives)
    if candidates < 1:
        return {}
    model.eval()
    with torch.inference_mode(), redirect_stderr(StringIO()):  # the library's progress bars cannot be turned off
        triplets = mine_hard_negatives(
            Dataset.from_pandas(distinct, preserve_index=False),
            model,
            range_max=candidates,
            relative_margin=mining.margin or None,
            num_negatives=min(mining.negatives + SPARE, candidates),
            output_format="triplet",
            batch_size=BATCH_SIZE,
            verbose=False,
        )
    by_anchor: dict[str, dict[str, None]] = {}
    for anchor, negative in zip(triplets["anchor"], triplets["negative"], strict=True):
        by_anchor.setdefault(anchor, {})[negative] = (
            None  # the library returns the negatives once for each positive of an anchor
        )
    return {anchor: list(negatives) for anchor, negatives in by_anchor.items()}


def _own(pairs: pd.DataFrame) -> dict[str, frozenset[str]]:
    """Return the normalised texts that must not be negatives of an anchor: the anchor and all its positives."""
    positives = pairs.groupby("anchor", sort=False)["positive"].agg(list)
    return {str(anchor): frozenset(map(normalise, [str(anchor), *texts])) for anchor, texts in positives.items()}


def _random(anchor: str, corpus: list[str], barred: frozenset[str], number: int) -> Iterator[str]:
    """Yield texts in an order that depends only on the anchor, so that all rows of an anchor get the same texts.

    Args:
        anchor: the anchor.
        corpus: the texts to choose from.
        barred: normalised texts that must not be chosen.
        number: number of texts.

    Raises:
        RunFailed: the corpus has too few texts.
    """
    if not number:
        return
    start = int.from_bytes(hashlib.sha256(anchor.encode()).digest()[:8], "big")
    for step in range(len(corpus)):
        text = corpus[(start + step) % len(corpus)]
        if normalise(text) not in barred:
            yield text
            number -= 1
            if not number:
                return
    raise RunFailed("negatives cannot be mined, because there are too few other anchors; give more rows with --rows")


def _numbers(mining: Mining) -> range:
    return range(1, mining.negatives + 1)


def _path(mining: Mining, pairs: pd.DataFrame, base: str) -> Path:
    """Return the file of mined negatives, named by a hash of the pairs, the options and the model."""
    digest = hashlib.sha256()
    for column in ("anchor", "positive"):
        digest.update("\0".join(pairs[column]).encode())
    by = {"base": base, "trial": mining.trial, "negatives": mining.negatives, "margin": mining.margin}
    program = {"version": VERSION, "library": versions()["sentence-transformers"], "candidates": CANDIDATES}
    decides = as_json({**program, "pairs": digest.hexdigest(), **by})
    return cache_folder() / "mined" / f"{hashlib.sha256(decides.encode()).hexdigest()[:16]}.negatives"


def _write(path: Path, negatives: pd.DataFrame) -> None:
    """Write negatives as parquet after a line with its hash."""
    table = BytesIO()
    negatives.to_parquet(table, index=False)
    content = table.getvalue()
    replace_file(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def _read(path: Path, mining: Mining, rows: int) -> pd.DataFrame | None:
    """Return the negatives of a file; None if there is no file, or it is not what `_write` wrote for so many rows."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    negatives = _content(path, status.st_mtime_ns)
    columns = [*(f"negative{n}" for n in _numbers(mining)), "drawn"]
    return negatives if negatives is not None and (len(negatives), list(negatives)) == (rows, columns) else None


@lru_cache(maxsize=8)
def _content(path: Path, written: int) -> pd.DataFrame | None:
    digest, _, content = path.read_bytes().partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        return None
    try:
        return pd.read_parquet(BytesIO(content))
    except (ValueError, OSError):  # no parquet
        return None


def base_of(bed: Testbed) -> str:
    """Return the identity of a testbed's base model."""
    return f"{bed.identity()['model']} pooled by {bed.identity()['pooling']}"
