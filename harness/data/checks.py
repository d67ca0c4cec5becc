"""The audit of a view's rows: what in them is wrong, doubtful or worth knowing before a loss is trained on them.

`docs/audit.md` gives every rule with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import TYPE_CHECKING

from harness.data.clean import Dropped, numbered
from harness.data.findings import Finding, Severity
from harness.data.overlap import normalise
from harness.spec.views import View

if TYPE_CHECKING:
    from pandas import DataFrame, Series

PROBED = 32
"""Rows that a loss of unknown inputs is tried on, to see whether it reads their labels."""

MANY_FALSE_NEGATIVES = 1.0
"""A batch, from which their number is a warning: then no batch is free of them on average."""

ALLOW_MORE = "mend them, or allow more in the study file: testbed=replace(testbeds.NAME, max_dropped=SHARE)"


def of_view(
    view: View, rows: DataFrame, studies: Sequence[str], most_words: int, batch_sizes: Sequence[int] = ()
) -> list[Finding]:
    """Audit a view's rows.

    Args:
        rows: what the view built, without the rows that `clean` left out: its text columns, then its label column if
            it has one.
        studies: who trains on it.
        most_words: how many tokens the model reads; a text of more words is cut for certain.
        batch_sizes: at which in-batch negatives are drawn from these rows; none if no loss draws them.
    """
    where = _where(studies)
    if rows.empty:
        return [Finding("warning", where, "no rows", 0, 0, f"View {view.name!r} makes no rows; give more with --rows.")]
    texts = list(view.columns[: view.texts])
    keys = rows[texts].map(normalise)
    found = [*_texts(view, rows[texts], where, most_words), *_duplicates(view, rows, where)]
    if view.label == "none":
        found += _equal_columns(view, keys, where)
        found += [_false_negatives(view, keys, where, size) for size in batch_sizes if len(rows) > 1]
    else:
        found.append(_balance(view, rows[view.columns[-1]], where))
    return found


def of_dropped(
    view: View, dropped: Sequence[Dropped], built: int, studies: Sequence[str], most: float
) -> list[Finding]:
    """Tell which rows were left out, of how many that the view built; an error if they are more than a share `most`."""
    number = sum(len(each.rows) for each in dropped)
    if not number:
        return []
    told = f"{number:,} of {built:,} rows of view {view.name!r} cannot train and are left out: " + "; ".join(
        map(str, dropped)
    )
    if number > most * built:
        told += f". That is more than {most:.3g} of them, so something is wrong with the rows; {ALLOW_MORE}"
    return [Finding(_by_share(number, built, most), _where(studies), "rows left out", number, built, f"{told}.")]


def of_null_labels(rows: Sequence[int], of: int, testbed: str, most: float) -> list[Finding]:
    """Tell which of the testbed's rows have null for a label: no view has them. An error above a share `most`."""
    if not rows:
        return []
    told = f"{len(rows):,} of {of:,} rows have a null label ({numbered(rows)}): no view trains on them"
    if len(rows) > most * of:
        told += f". That is more than {most:.3g} of them; {ALLOW_MORE}"
    return [Finding(_by_share(len(rows), of, most), f"testbed {testbed}", "null labels", len(rows), of, f"{told}.")]


def _by_share(number: int, of: int, most: float) -> Severity:
    return "error" if number > most * of else "warning"


def _where(studies: Sequence[str]) -> str:
    return f"{'study' if len(studies) == 1 else 'studies'} {', '.join(studies)}"


def _texts(view: View, texts: DataFrame, where: str, most_words: int) -> list[Finding]:
    import pandas as pd  # a third of a second that study files do not need

    lengths = pd.concat([texts[column].map(_words) for column in texts])
    long = int((lengths > most_words).sum())
    if not long:
        return []
    return [
        Finding(
            "warning",
            where,
            "enormous texts",
            long,
            len(lengths),
            f"{long:,} of the texts of view {view.name!r} have more words than the {most_words} tokens that the base "
            "model reads; their ends are cut off. Shorten them or use a model that reads more.",
        )
    ]


def _words(text: object) -> int:
    return len(text.split()) if isinstance(text, str) else 0


def _duplicates(view: View, rows: DataFrame, where: str) -> list[Finding]:
    repeats = rows.duplicated().to_numpy().nonzero()[0].tolist()
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
            "they are trained on and weigh double, and an epoch is longer than what it teaches. Take them out of the "
            "testbed's rows, or count them in.",
        )
    ]


def _equal_columns(view: View, keys: DataFrame, where: str) -> list[Finding]:
    anchor, positive, *negatives = keys.columns
    found = []
    for negative in negatives:
        equal = int((keys[negative] == keys[anchor]).sum())
        if equal:
            found.append(
                Finding(
                    "warning",
                    where,
                    f"{negative} equal to {anchor}",
                    equal,
                    len(keys),
                    f"In {equal:,} rows of view {view.name!r} the {negative} is the {anchor} but for case and "
                    "punctuation: the loss is told to part what cannot be parted. Take the rows out, or choose other "
                    "negatives.",
                )
            )
    equal = int((keys[anchor] == keys[positive]).sum())
    if equal:
        found.append(
            Finding(
                "warning",
                where,
                f"{anchor} equal to {positive}",
                equal,
                len(keys),
                f"In {equal:,} rows ({equal / len(keys):.1%}) of view {view.name!r} the {anchor} is the {positive} but "
                "for case and punctuation: they teach dropout noise and no paraphrase. Take them out unless that is "
                "meant.",
            )
        )
    return found


def _balance(view: View, labels: Series, where: str) -> Finding:
    counts = {f"{value:g}": int(n) for value, n in labels.value_counts().sort_index().items()}
    told = ", ".join(f"{label}: {n:,} ({n / len(labels):.0%})" for label, n in list(counts.items())[:10])
    rarest = min(counts.values())
    if len(counts) == 1:
        return Finding(
            "error",
            where,
            "one label",
            rarest,
            len(labels),
            f"Every row of view {view.name!r} has the label {told}: there is nothing to tell apart. Give more rows "
            "with --rows, or rows of other labels.",
        )
    return Finding(
        "note", where, "label balance", rarest, len(labels), f"Labels of view {view.name!r}: {told}; the rarest counts."
    )


def false_negatives(anchors: Sequence[str], positives: Sequence[str], batch_size: int) -> float:
    """Return how many pairs of rows in a random batch are expected to be each other's false negatives.

    Two rows are if they share the anchor or the positive: the one's positive is then right for the other, too, and an
    in-batch loss pushes it away. Of n rows, a group of c equal ones has c(c-1)/2 such pairs, and a batch of b drawn
    without replacement holds any given pair with probability b(b-1) / (n(n-1)). Pairs that share both count once.
    """
    import pandas as pd  # a third of a second that study files do not need

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
        f"A random batch of {size} rows of view {view.name!r} is expected to hold {expected:.2g} pairs of rows with "
        "the same anchor or the same positive, which in-batch negatives push apart; the trainer's sampler mixes them."
        + (" Smaller batches hold fewer, or leave out rows that repeat an anchor." if many else ""),
    )


def ignored_label(study: str, view: View, rows: int) -> Finding:
    """Return the finding that a loss gives the same value whatever the labels are."""
    return Finding(
        "error",
        f"study {study}",
        "ignored label",
        rows,
        rows,
        f"The loss of study {study!r} gives the same value whatever the {view.columns[-1]!r} of view {view.name!r} "
        "says: every pair is learnt as if it had the same label. Use a loss that reads it, or a view without labels, "
        'e.g. view="pair".',
    )


def unprobed_label(study: str, view: View, why: str) -> Finding:
    """Return the finding that whether a loss reads its labels could not be found out."""
    return Finding(
        "note",
        f"study {study}",
        "label not probed",
        0,
        PROBED,
        f"Whether the loss of study {study!r} reads the {view.columns[-1]!r} of view {view.name!r} could not be tried "
        f"({why}).",
    )
