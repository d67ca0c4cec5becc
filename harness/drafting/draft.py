"""Write a study file for a practitioner's rows: a leak-free division, the losses that the rows feed, and a budget."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from harness.drafting.recognise import Recognised
from harness.errors import UsageError
from harness.spec.loss_inputs import INPUTS, Label

TRIALS, SEEDS = 4, 3
"""Budget of a draft."""

SHARE = 0.1
"""Share of the rows for the dev set, and for the test set."""

FEW = 200
"""Rows of a test set, below which a draft warns: with so many, a row is worth half a point of accuracy."""


@dataclass(frozen=True)
class Draft:
    """A study file to be written."""

    text: str
    """Its text."""
    notes: tuple[str, ...] = field(default=())
    """What the user should know about it, a sentence each."""


@dataclass(frozen=True)
class Wanted:
    """What a draft is made from."""

    name: str
    """Name of ablation and testbed."""
    source: str
    """Expression of the source, e.g. sources.file("pairs.csv")."""
    model: str
    """The base model."""
    rows: Recognised
    """What the rows are."""
    number: int
    """How many rows there are."""
    by: tuple[str, ...]
    """Columns whose equal and nearly equal texts stay on one side of the division."""
    dev: str | None = None
    """A folder of a retrieval set to choose points by, instead of a part of the rows."""
    test: str | None = None
    """A folder of a retrieval set for final scores."""


def draft(wanted: Wanted) -> Draft:
    """Return a study file for the rows.

    Raises:
        UsageError: the rows alone give no measure, and no other was given.
    """
    studies = _studies(wanted.rows)
    dev, test = _measures(wanted)
    divided = wanted.dev is None
    names = _imports(studies, dev, wanted.rows)
    by = repr(wanted.by[0]) if len(wanted.by) == 1 else repr(wanted.by)
    rows = f"rows = {wanted.source}\n"
    if divided:
        rows += f"train, dev, test = rows.split(by={by}, dev={SHARE}, test={SHARE})\n"
    first = _name(studies[0])
    text = f'''"""{wanted.name}: which loss makes {wanted.model} better on these rows?

    harness run {wanted.name}.py

Written by `harness new` from {_written_from(wanted)}. Read it, change it, and run it.
"""

from harness import {names}

{rows}
ablation = Ablation(
    name={wanted.name!r},
    testbed=Testbed(
        name={wanted.name!r},
        model={wanted.model!r},
        source={"train" if divided else "rows"},
        dev={dev},
        test={test},
    ),
    studies=[
{_listed(studies)}
    ],
    space=Space(batch_size=choice(16, 32, 64), lr=log_uniform(5e-6, 1e-4)),
    budget=Budget(trials={TRIALS}, epochs=1, seeds={SEEDS}),
    expect=[beats({first!r}, "untrained")],
)
'''
    return Draft(
        text.replace("'", '"') if '"' not in wanted.name + wanted.model else text, _notes(wanted, len(studies))
    )


def _written_from(wanted: Wanted) -> str:
    texts = ", ".join(wanted.rows.texts)
    label = f" and {wanted.rows.label}" if wanted.rows.label else ""
    return f"{wanted.rows.form} ({texts}{label})"


def _studies(rows: Recognised) -> list[str]:
    """Return the studies' expressions: one for each kind of loss that the rows feed."""
    texts = ", ".join(map(repr, rows.texts))
    pair = ", ".join(map(repr, rows.texts[:2]))
    in_batch = [
        f"Study('mnr', loss=losses.MultipleNegativesRankingLoss, view=columns({pair}))",
        f"Study('no duplicates', loss=losses.MultipleNegativesRankingLoss, view=columns({pair}), "
        "sampler='no_duplicates')",
    ]
    if rows.form == "pairs":
        return in_batch
    if rows.form == "triplets":
        hard = f"Study('mnr+hard', loss=losses.MultipleNegativesRankingLoss, view=columns({texts}))"
        triplet = ", ".join(map(repr, rows.texts[:3]))
        return [in_batch[0], hard, f"Study('triplet', loss=losses.TripletLoss, view=columns({triplet}))"]
    if rows.form == "scored pairs":
        view = f"columns({pair}, score={rows.label!r}, range=({rows.low:g}, {rows.high:g}))"
        return [f"Study({name!r}, loss=losses.{loss}, view={view})" for name, loss in _SCORED.items()]
    if rows.form == "labelled pairs":
        view = f"columns({pair}, score={rows.label!r})"
        return [f"Study({name!r}, loss=losses.{loss}, view={view})" for name, loss in _LABELLED_PAIRS.items()]
    if rows.form == "labelled texts":
        view = f"columns({pair}, label={rows.label!r})"
        return [
            f"Study({name!r}, loss=losses.{loss}, view={view}, sampler='group_by_label')"
            for name, loss in _LABELLED_TEXTS.items()
        ]
    if rows.form == "nli":
        return [
            "Study('softmax', loss=losses.softmax, view='pair-class')",
            "Study('cosine', loss=losses.CosineSimilarityLoss, view='pair-score')",
            "Study('mnr', loss=losses.MultipleNegativesRankingLoss, view='pair')",
            "Study('mnr+hard', loss=losses.MultipleNegativesRankingLoss, view='triplet')",
        ]
    return [f"Study('simcse', loss=losses.MultipleNegativesRankingLoss, view=columns({pair}, {pair}))"]


_SCORED = {"cosent": "CoSENTLoss", "cosine": "CosineSimilarityLoss", "angle": "AnglELoss"}
_LABELLED_PAIRS = {"contrastive": "ContrastiveLoss", "online": "OnlineContrastiveLoss"}
_LABELLED_TEXTS = {"batch all": "BatchAllTripletLoss", "batch hard": "BatchHardSoftMarginTripletLoss"}


_ALONE = {"texts": "Texts", "nli": "NLI rows"}
"""Forms of rows that have no measure, as a message names them."""


def _measures(wanted: Wanted) -> tuple[str, str]:
    """Return the expressions of dev and test."""
    rows = wanted.rows
    if wanted.dev is not None and wanted.test is not None:
        return f"measures.retrieval({wanted.dev!r})", f"measures.retrieval({wanted.test!r})"
    if rows.form in ("texts", "nli"):
        used = (*rows.texts, rows.label)
        others = ", ".join(f"{column.name} ({column.why})" for column in rows.columns if column.name not in used)
        raise UsageError(
            f"{wanted.source}: {', '.join(rows.texts)} {'is' if len(rows.texts) == 1 else 'are'} taken for texts"
            f"{f'; not used: {others}' if others else ''}. {_ALONE[rows.form]} alone do not say which model is "
            "better; give --dev FOLDER and --test FOLDER of a retrieval set (corpus.jsonl, queries.jsonl, "
            "qrels/test.tsv), or write other measures by hand"
        )
    sides = []
    for side in ("dev", "test"):
        name = f"{wanted.name}-{side}"
        first, second = (*rows.texts, "")[:2]
        if rows.form in ("pairs", "triplets"):
            sides.append(f"measures.retrieval({side}, {name!r}, query={first!r}, document={second!r})")
        elif rows.form == "scored pairs":
            columns = f"columns=({first!r}, {second!r}, {rows.label!r})"
            sides.append(f"measures.sts({side}, {name!r}, {columns}, range=({rows.low:g}, {rows.high:g}))")
        elif rows.form == "labelled pairs":
            sides.append(f"measures.pairs({side}, {name!r}, columns=({first!r}, {second!r}, {rows.label!r}))")
        else:
            sides.append(f"measures.classification(train, {side}, {name!r}, text={first!r}, label={rows.label!r})")
    return sides[0], sides[1]


def _imports(studies: list[str], dev: str, rows: Recognised) -> str:
    names = ["Ablation", "Budget", "Space", "Study", "Testbed", "beats", "choice"]
    names += ["columns"] if any("columns(" in study for study in studies) else []
    return ", ".join([*names, "log_uniform", "losses", "measures", "sources"])


def _listed(studies: list[str]) -> str:
    return "\n".join(f"        {study}," for study in studies)


def _name(study: str) -> str:
    found = re.match(r"Study\('([^']*)'", study)
    assert found is not None
    return found.group(1)


def _notes(wanted: Wanted, studies: int) -> tuple[str, ...]:
    runs = 1 + studies * (TRIALS + 2 * SEEDS)
    notes = [
        f"{studies} studies of {TRIALS} trials and {SEEDS} final seeds at two points are at most {runs} runs of an "
        "epoch; `harness plan` shows what they cost once the first has run."
    ]
    if wanted.dev is None:
        by = " and ".join(wanted.by)
        notes.append(f"Rows whose {by} are equal or nearly equal are on one side of the division, so nothing leaks.")
        if (tested := round(SHARE * wanted.number)) < FEW:
            notes.append(
                f"warning: {wanted.number:,} rows make a test set of about {tested}, in which a single row can be "
                f"worth {100 / max(tested, 1):.0f} points; small differences will stay inconclusive. Give larger sets "
                "with --dev and --test, or collect more rows."
            )
    if wanted.rows.form == "scored pairs":
        notes.append(
            f"Scores from {wanted.rows.low:g} to {wanted.rows.high:g} are taken to be possible; else correct range=."
        )
    return tuple(notes)


def fed(rows: Recognised) -> list[str]:
    """Return which losses of sentence-transformers rows feed, and where it stands what the others need."""
    label: Label = {"scored pairs": "score", "labelled pairs": "score", "labelled texts": "class", "nli": "class"}.get(
        rows.form, "none"
    )  # type: ignore[assignment]
    texts = len(rows.texts)
    feeds = [name for name, inputs in INPUTS.items() if inputs.accept(label, texts)]
    return [
        f"losses that these rows feed: {', '.join(feeds)}",
        f"the other {len(INPUTS) - len(feeds)} losses need other columns: docs/losses.md says which",
    ]


def relative(path: Path, folder: Path) -> str:
    """Return a path as a study file in `folder` names it, with slashes."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
