"""Which column says of pairs of texts whether they are alike, and a refusal where one may say it but cannot be used.

Without such a column all pairs count as alike: pairs that are not would be trained on and tested as if they were, and
every score would be wrong. So a column that may be one is never left out in silence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from harness.drafting.names import meaning
from harness.errors import UsageError

ALIKE = {
    *("1", "0", "yes", "no", "true", "false", "y", "n", "duplicate", "not duplicate", "match", "no match"),
    *("similar", "dissimilar", "not similar", "positive", "negative", "relevant", "irrelevant", "not relevant"),
}
"""Texts, in lower case and with blanks, that say of a pair whether it is alike, whatever the column's name."""

_JUDGEMENTS = {
    *("pos", "neg", "positive", "negative", "relevant", "irrelevant", "similar", "dissimilar", "duplicate", "match"),
    *("mismatch", "related", "unrelated", "matching", "paraphrase", "correct", "incorrect"),
}
"""Words that hint at a judgement of a pair where they are part of a text."""

FEW = 20
"""With at most so many different values, a column may say which pairs are alike."""

RATED = 100
"""Whole numbers up to here, below and above 0, may be ratings even if more than FEW of them occur."""

_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d+)?|[.,]\d+)(e[+-]?\d+)?\s*(%|/\s*\d+)?", re.IGNORECASE)
"""Texts that are numbers to people: 3,75, 75%, .5, 3/5."""


@dataclass(frozen=True)
class PairLabel:
    """The column that says of each pair whether its texts are alike."""

    name: str
    """The column's name."""
    scored: bool
    """Whether it holds scores; else it holds 0 and 1."""


def of_pairs(rows: pd.DataFrame, others: Sequence[str], where: str) -> PairLabel | None:
    """Return the column that says which pairs are alike; None if no column can say it.

    Args:
        rows: the rows.
        others: the columns that are not the texts of the pairs.
        where: the file, for messages.

    Raises:
        UsageError: a column may say it, but not in a form and under a name that can be used; or several say it.
    """
    usable = [name for name in others if meaning(name) in ("score", "label") and _problem(rows[name]) is None]
    if len(usable) > 1:
        raise UsageError(
            f"{where}: columns {' and '.join(map(repr, usable))} all seem to say which pairs are alike. Keep the one "
            "that is meant, and remove the others"
        )
    if usable:
        binary = set(rows[usable[0]].unique()) <= {0, 1}
        return PairLabel(usable[0], scored=meaning(usable[0]) == "score" or not binary)
    doubtful = next((name for name in others if _may_say(rows[name])), None)
    if doubtful is not None:
        raise UsageError(f"{where}: {_refusal(rows[doubtful])}")
    return None


def none_of_triplets(rows: pd.DataFrame, others: Sequence[str], where: str) -> None:
    """Refuse triplets with a column that may say which of their texts belong together, because none is used.

    Args:
        rows: the rows.
        others: the columns that are not the texts of the triplets.
        where: the file, for messages.

    Raises:
        UsageError: there is such a column.
    """
    doubtful = next((name for name in others if _may_say(rows[name])), None)
    if doubtful is not None:
        raise UsageError(
            f"{where}: column {doubtful!r} may say which texts belong together ({_examples(rows[doubtful])}), but rows "
            "with negatives are triplets, which have no label or score. Remove the column if each positive belongs to "
            "its anchor and no negative does; else remove the columns of negatives"
        )


def hints_at_pairs(values: pd.Series[Any]) -> list[str]:
    """Return a warning if some values of a column that is not used sound like judgements of pairs: "human_pos"."""
    texts = [value for value in dict.fromkeys(values.dropna()) if isinstance(value, str)]
    judged = [text for text in texts if _JUDGEMENTS & {*_plain(text).split()}]
    if not judged or len(texts) > FEW:
        return []
    return [
        f"column {values.name!r} is not used, because its name says nothing of pairs; but values such as "
        f"{', '.join(map(example, judged[:3]))} may say which pairs are alike. If they do, write 1 (alike) and 0 (not) "
        "into a column named 'label'; without it all pairs count as alike"
    ]


def mostly_numbers(texts: pd.Series[Any]) -> bool:
    """Return whether at least half of some texts are numbers to people."""
    return bool(texts.map(lambda text: bool(_NUMBER.fullmatch(text.strip()))).mean() >= 0.5)


def _problem(values: pd.Series[Any]) -> str | None:
    """Return why a column whose name says score or label cannot be used as such; None if it can."""
    if values.isna().any():
        return f"{values.isna().sum():,} of {len(values):,} rows have none"
    if not is_numeric_dtype(values):
        return "it holds texts or other values that are no plain numbers"
    if meaning(str(values.name)) == "label" and not _fractions(values) and not set(values.unique()) <= {0, 1}:
        return "its values are whole numbers other than 0 and 1"
    return None


def _may_say(values: pd.Series[Any]) -> bool:
    """Return whether a column may say which pairs are alike, by its name and by its values."""
    there, said = values.dropna(), meaning(str(values.name))
    if there.empty or said in ("score", "label", "opposite"):
        return not there.empty
    distinct = values.map(repr).nunique()  # nulls are one value: a mark in some rows is as good as 1 and 0
    if distinct < 2:
        return False
    if said == "harmless":
        return {_plain(value) for value in there} <= ALIKE
    numbers = _numbers(there)
    if numbers is not None:
        rated = numbers.abs().max() <= RATED
        return _fractions(numbers) or (distinct < len(values) and (distinct <= FEW or bool(rated)))
    return distinct <= FEW and distinct < len(values)


def _numbers(values: pd.Series[Any]) -> pd.Series[Any] | None:
    """Return values as numbers, of which those that are none are missing; None if fewer than half are numbers."""
    if is_numeric_dtype(values):
        return values.astype(float)
    texts = values.map(str)
    if not mostly_numbers(texts):
        return None
    return pd.to_numeric(texts.str.strip().str.replace(",", ".").str.replace(r"\s*[%/].*", "", regex=True), "coerce")


def _fractions(numbers: pd.Series[Any]) -> bool:
    return not is_bool_dtype(numbers) and bool((numbers.dropna() % 1 != 0).any())


def _plain(value: Any) -> str:
    """Return a value as `ALIKE` has it."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return " ".join(re.split(r"[\s_-]+", text.lower().strip(" -_")))


def _refusal(values: pd.Series[Any]) -> str:
    """Return what a message says of a column that may say which pairs are alike."""
    name, said = str(values.name), meaning(str(values.name))
    if said == "opposite":
        top = f"{values.max():g}" if is_numeric_dtype(values) else "maximum"
        return (
            f"column {name!r} seems to say which pairs are alike, but by its name a larger value means less alike "
            f"({_examples(values)}). Turn it round in a column named 'score' (score = {top} - {name}), or 'label' for "
            "1 (alike) and 0 (not); or remove the column if it says nothing of the pairs"
        )
    problem = _problem(values) if said in ("score", "label") else "its name does not say whether it does"
    return (
        f"column {name!r} {'may' if said in ('harmless', 'unknown') else 'seems to'} say which pairs are alike, and "
        f"without it all pairs would count as alike; but {problem} ({_examples(values)}). Write plain numbers into a "
        "column named 'label' (1: alike, 0: not) or 'score' (such as 3.75; the larger, the more alike), and remove the "
        "rows without one; or remove the column if it says nothing of the pairs"
    )


def _examples(values: pd.Series[Any]) -> str:
    """Return three of a column's values, first those that are no plain numbers."""
    found = {example(value): _decimal(value) for value in values.tolist()}
    shown = sorted(found, key=lambda value: found[value])[:3]
    return f"its values: {', '.join(shown)}{', ...' if len(found) > len(shown) else ''}"


def example(value: Any) -> str:
    """Return a value as messages show it."""
    text = repr(value)
    return "an empty cell" if text in ("None", "nan", "<NA>") else text if len(text) <= 40 else f"{text[:39]}…"


def _decimal(value: Any) -> bool:
    return bool(re.fullmatch(r"[+-]?(\d+(\.\d+)?|\.\d+)", str(value).strip()))
