"""Views of texts alone, for losses that learn without labels: damaged texts, and texts beside themselves."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import TYPE_CHECKING

from harness.errors import AuditFailed, StudyFileError
from harness.spec.column_views import Columns, safe_names, take
from harness.spec.label_columns import NAMES
from harness.spec.view import View

if TYPE_CHECKING:
    from pandas import DataFrame


def denoised(text: str, *, share: float = 0.6, seed: int = 0) -> View:
    """Return a view of damaged texts and the texts, for DenoisingAutoEncoderLoss (Wang et al., 2021, arXiv:2104.06979).

    Words are deleted as by `DenoisingAutoEncoderDataset`; at least one remains. A word is a run of letters and digits,
    or of other signs, and equal texts are damaged equally. Unlike there, every epoch has the same damage.

    Args:
        text: text column.
        share: the share of the words that are deleted.
        seed: another seed deletes other words.

    Raises:
        StudyFileError: `share` is out of range.
    """
    if not 0 <= share < 1:
        raise StudyFileError(
            f"denoised({text!r}, share={share!r}): the share of deleted words is from 0 to less than 1"
        )
    name = f"{text} without {100 * share:g} % of its words" + (f", seed {seed}" if seed else "")
    return View(name, _denoised_names(text), "none", partial(_denoised, text, share, seed))


def _denoised_names(text: str) -> tuple[str, str]:
    damaged, whole = safe_names((f"{text} (damaged)", text))
    return damaged, whole


def _denoised(text: str, share: float, seed: int, rows: DataFrame, limit: int) -> DataFrame:
    import pandas as pd  # a third of a second that study files do not need

    whole = take(Columns((text,), "none"), rows, limit).iloc[:, 0]
    damaged = [damage(value, share, seed) if isinstance(value, str) else value for value in whole]
    return pd.DataFrame(dict(zip(_denoised_names(text), (damaged, whole), strict=True)))


def damage(text: str, share: float, seed: int) -> str:
    """Return a text without a random share of its words; at least one remains."""
    import numpy as np

    words = re.findall(r"\s*(?:\w+|[^\w\s]+)", text)
    if not words:
        return text
    content = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    random = np.random.default_rng([seed, *content])
    kept = random.random(len(words)) >= share
    if not kept.any():
        kept[random.integers(len(words))] = True
    return "".join(word for word, keep in zip(words, kept, strict=True) if keep).strip()


def tension(text: str, *, negatives: int = 7, seed: int = 0) -> View:
    """Return pairs of a text with itself (1) and with other texts (0), for ContrastiveTensionLoss.

    They are mixed as by `ContrastiveTensionDataLoader` (Carlsson et al., 2021): one pair with itself in every
    `negatives + 1` rows. The loss reads the score, so equal texts need not be recognised by their tokens.

    Args:
        text: text column.
        negatives: pairs with another text for each pair with itself.
        seed: another seed draws other texts.

    Raises:
        StudyFileError: `negatives` is below 1.
    """
    if negatives < 1:
        raise StudyFileError(
            f"tension({text!r}, negatives={negatives!r}): give at least 1 other text for each equal pair"
        )
    name = f"{text} with itself and {negatives} others" + (f", seed {seed}" if seed else "")
    names = (*safe_names((text, text)), NAMES["score"])
    return View(name, names, "score", partial(_tension, text, negatives, seed))


def _tension(text: str, negatives: int, seed: int, rows: DataFrame, limit: int) -> DataFrame:
    import numpy as np
    import pandas as pd

    texts = take(Columns((text,), "none"), rows, limit).iloc[:, 0]
    numbers, distinct = pd.factorize(texts)
    if len(texts) and len(distinct) < 2:
        raise AuditFailed(f"tension({text!r}): the column {text!r} has fewer than two different texts; give more rows")
    turns = np.random.default_rng(seed).integers(1, max(2, len(distinct)), len(texts))
    others = pd.Series(distinct.take((numbers + turns) % max(1, len(distinct))), dtype=object)
    alone = np.arange(len(texts)) % (negatives + 1) == 0
    first, second = safe_names((text, text))
    paired = texts.where(alone | texts.isna(), others)
    return pd.DataFrame({first: texts, second: paired, NAMES["score"]: alone.astype(float)})
