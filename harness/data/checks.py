"""Audit rules for the rows of a view: errors, warnings and notes before a loss is trained on them.

`docs/audit.md` explains every rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb
from typing import TYPE_CHECKING

from harness.data.clean import Dropped, numbered
from harness.data.findings import Finding, Severity
from harness.spec.views import View
from harness.text import counted
from harness.texts.normal import normalise

if TYPE_CHECKING:
    from pandas import DataFrame, Series

MANY_FALSE_NEGATIVES = 1.0
"""Expected number per batch above which false negatives are a warning."""

LABELS = 10
"""Maximum number of labels that are counted one by one."""

MUCH_CUT = 0.01
"""Share of truncated texts above which they are a warning."""

ALLOW_MORE = "fix them, leave them out with source.where(...), or allow more: max_dropped=SHARE of the testbed"


def of_view(
    view: View,
    rows: DataFrame,
    studies: Sequence[str],
    most_tokens: int,
    count: Callable[[Sequence[str]], list[int]],
    batch_sizes: Sequence[int] = (),
) -> list[Finding]:
    """Audit a view's rows.

    Args:
        view: the view.
        rows: the rows that it built, without those that `clean` left out.
        studies: names of the studies that train on it.
        most_tokens: maximum number of tokens of the model.
        count: counts the tokens of texts.
        batch_sizes: batch sizes of losses with in-batch negatives; empty if there are none.
    """
    where = of_studies(studies)
    if rows.empty:
        return [Finding("warning", where, "no rows", 0, 0, f"View {view.name!r} makes no rows; give more with --rows.")]
    texts = list(view.columns[: view.texts])
    keys = rows[texts].map(normalise)
    findings = [*_truncated(view, rows[texts], where, most_tokens, count), *_duplicates(view, rows, where)]
    if view.label == "none" and len(texts) > 1:
        findings += _equal_columns(view, keys, where)
        findings += [_false_negatives(view, keys, where, size) for size in batch_sizes if len(rows) > 1]
    elif view.has_plain_label:
        findings.append(_balance(view, rows[view.columns[-1]], where))
    return findings


def of_dropped(
    view: View, dropped: Sequence[Dropped], built: int, studies: Sequence[str], most: float
) -> list[Finding]:
    """Return a finding on the rows that were left out, if there are any.

    Args:
        view: the view.
        dropped: the rows that were left out, by reason.
        built: number of rows that the view built.
        studies: names of the studies that train on it.
        most: share of the rows above which the finding is an error.
    """
    number = sum(len(each.rows) for each in dropped)
    if not number:
        return []
    message = f"{number:,} of {built:,} rows of view {view.name!r} cannot be trained on and are left out: " + "; ".join(
        map(str, dropped)
    )
    if number > most * built:
        message += f". This share exceeds {most:.3g}, so something is wrong with the rows; {ALLOW_MORE}"
    return [Finding(_by_share(number, built, most), of_studies(studies), "rows left out", number, built, f"{message}.")]


def of_null_labels(rows: Sequence[int], of: int, testbed: str, most: float) -> list[Finding]:
    """Return a finding on the testbed's rows with a null label, which no view uses, if there are any.

    Args:
        rows: indices of the rows, from 0.
        of: number of all rows.
        testbed: name of the testbed.
        most: share of the rows above which the finding is an error.
    """
    if not rows:
        return []
    message = f"{len(rows):,} of {of:,} rows have a null label ({numbered(rows)}): no view trains on them"
    if len(rows) > most * of:
        message += f". This share exceeds {most:.3g}; {ALLOW_MORE}"
    return [Finding(_by_share(len(rows), of, most), f"testbed {testbed}", "null labels", len(rows), of, f"{message}.")]


def _by_share(number: int, of: int, most: float) -> Severity:
    return "error" if number > most * of else "warning"


def of_studies(studies: Sequence[str]) -> str:
    """Return how a finding names studies as its place."""
    return f"{'study' if len(studies) == 1 else 'studies'} {', '.join(studies)}"


def _truncated(
    view: View, texts: DataFrame, where: str, most_tokens: int, count: Callable[[Sequence[str]], list[int]]
) -> list[Finding]:
    """Return a finding on texts that have more tokens than the model reads, if there are any."""
    cut: dict[str, int] = {}
    for column in texts:
        # a token has at least one character, and a model adds two or so special ones
        long = [text for text in texts[column] if isinstance(text, str) and len(text) + 2 > most_tokens]
        cut[str(column)] = sum(length > most_tokens for length in count(long))
    total, of = sum(cut.values()), texts.size
    if not total:
        return []
    listed = ", ".join(f"{column} {number:,} ({number / len(texts):.1%})" for column, number in cut.items() if number)
    return [
        Finding(
            "warning" if total > MUCH_CUT * of else "note",
            where,
            "truncated texts",
            total,
            of,
            f"{total:,} of {of:,} texts of view {view.name!r} have more tokens than the {most_tokens} that the base "
            f"model reads, so their ends are cut off: {listed}. Shorten them, or use a model with a larger maximum.",
        )
    ]


def _duplicates(view: View, rows: DataFrame, where: str) -> list[Finding]:
    plain = list(view.columns) if view.has_plain_label else list(view.columns[: view.texts])
    repeats = rows[plain].duplicated().to_numpy().nonzero()[0].tolist()
    if not repeats:
        return []
    return [
        Finding(
            "warning",
            where,
            "duplicate rows",
            len(repeats),
            len(rows),
            f"{len(repeats):,} rows of view {view.name!r} repeat an earlier one in every column ({numbered(repeats)}): "
            "they are trained on, so these examples count twice, and an epoch has fewer distinct examples than rows. "
            "Remove them from the testbed's rows, or accept them.",
        )
    ]


def _equal_columns(view: View, keys: DataFrame, where: str) -> list[Finding]:
    anchor, positive, *negatives = keys.columns
    findings = []
    for negative in negatives:
        equal = int((keys[negative] == keys[anchor]).sum())
        if equal:
            findings.append(
                Finding(
                    "warning",
                    where,
                    f"{negative} equal to {anchor}",
                    equal,
                    len(keys),
                    f"In {counted(equal, 'row')} of view {view.name!r} the {negative} equals the {anchor} except for "
                    "case and punctuation, so the loss has to separate equal texts. Remove the rows, or choose other "
                    "negatives.",
                )
            )
    equal = int((keys[anchor] == keys[positive]).sum())
    if equal:
        findings.append(
            Finding(
                "note" if equal == len(keys) else "warning",  # all of them are SimCSE's pairs
                where,
                f"{anchor} equal to {positive}",
                equal,
                len(keys),
                f"In {counted(equal, 'row')} ({equal / len(keys):.1%}) of view {view.name!r} the {anchor} equals the "
                f"{positive} except for case and punctuation: the model learns invariance to dropout from them, but no "
                "paraphrase. Remove them unless this is intended.",
            )
        )
    return findings


def _balance(view: View, labels: Series, where: str) -> Finding:
    counts = {f"{value:g}": int(n) for value, n in labels.value_counts().sort_index().items()}
    shares = ", ".join(f"{label}: {n:,} ({n / len(labels):.0%})" for label, n in list(counts.items())[:LABELS])
    if view.label == "score" and len(counts) > LABELS:
        ends = ", ".join(f"{labels.quantile(share):.3g}" for share in (0, 0.25, 0.5, 0.75, 1))
        text = f"Scores of view {view.name!r}: {ends} are the lowest, the three quartiles and the highest."
        return Finding("note", where, "scores", len(counts), len(labels), text)
    rarest = min(counts.values())
    if len(counts) == 1:
        return Finding(
            "error",
            where,
            "one label",
            rarest,
            len(labels),
            f"Every row of view {view.name!r} has the label {shares}, so the loss has nothing to distinguish. Give "
            "more rows with --rows, or rows with other labels.",
        )
    return Finding(
        "note",
        where,
        "label balance",
        rarest,
        len(labels),
        f"Labels of view {view.name!r}: {shares}. The count is that of the rarest.",
    )


def false_negatives(anchors: Sequence[str], positives: Sequence[str], batch_size: int) -> float:
    """Return the expected number of pairs of rows in a random batch that are false negatives of each other.

    Two rows are false negatives of each other if they share the anchor or the positive. Then the positive of each is
    also correct for the other, but an in-batch loss pushes it away. Among n rows, a group of c equal ones has
    c(c-1)/2 such pairs, and a batch of b rows without replacement contains any given pair with probability
    b(b-1) / (n(n-1)). Pairs that share both anchor and positive count once.

    Args:
        anchors: normalised anchors.
        positives: normalised positives, in the same order.
        batch_size: number of rows in a batch.
    """
    import pandas as pd  # imported here, because it takes a third of a second that study files do not need

    rows = pd.DataFrame({"anchor": list(anchors), "positive": list(positives)})
    n, b = len(rows), min(batch_size, len(rows))
    if n < 2:
        return 0.0

    def pairs(*columns: str) -> int:
        return sum(comb(int(c), 2) for c in rows.groupby(list(columns), sort=False).size())

    alike = pairs("anchor") + pairs("positive") - pairs("anchor", "positive")
    return alike * b * (b - 1) / (n * (n - 1))


def _false_negatives(view: View, keys: DataFrame, where: str, size: int) -> Finding:
    anchor, positive = keys.columns[:2]
    expected = false_negatives(keys[anchor].tolist(), keys[positive].tolist(), size)
    many = expected > MANY_FALSE_NEGATIVES
    return Finding(
        "warning" if many else "note",
        where,
        f"expected false negatives at batch {size}",
        round(expected, 4),
        comb(min(size, len(keys)), 2),
        f"A random batch of {size} rows of view {view.name!r} is expected to contain {expected:.2g} pairs of rows "
        "with the same anchor or the same positive, which in-batch negatives push apart; the sampler shuffles all rows."
        + (" Use smaller batches, or leave out rows that repeat an anchor." if many else ""),
    )
