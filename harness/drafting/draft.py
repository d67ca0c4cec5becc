"""Write a study file for a practitioner's rows: a leak-free division, the losses that the rows feed, and a budget."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from harness.drafting.cells import LeftOut
from harness.drafting.python import comment, literal, literals, quoted
from harness.drafting.recognise import Recognised
from harness.errors import UsageError
from harness.spec.loss_inputs import INPUTS, Label
from harness.text import command

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
    different: int = 0
    """How many different items the rows that it uses have: queries, pairs with a label, or texts of a class."""
    left_out: tuple[LeftOut, ...] = ()
    """Those that the draft leaves out, by reason."""
    doubts: tuple[str, ...] = ()
    """What in the rows may not be meant as it stands, a sentence or two each."""
    dev: str | None = None
    """A folder of a retrieval set to choose points by, instead of a part of the rows."""
    test: str | None = None
    """A folder of a retrieval set for final scores."""

    @property
    def used(self) -> int:
        """How many rows the draft uses."""
        return self.number - sum(len(each.places) for each in self.left_out)

    @property
    def by(self) -> tuple[str, ...]:
        """Columns whose equal and nearly equal texts stay on one side of the division."""
        return self.rows.texts[:2]


def draft(wanted: Wanted) -> Draft:
    """Return a study file for the rows.

    Raises:
        UsageError: the rows alone give no measure, and no other was given.
    """
    studies = _studies(wanted.rows)
    dev, test = _measures(wanted)
    names = _imports(studies)
    name = literal(wanted.name)
    listed = "\n".join(f"        Study({literal(study)}, {rest})," for study, rest in studies.items())
    text = f'''"""{quoted(wanted.name)}: which loss makes {quoted(wanted.model)} better on these rows?

    {quoted(command(("harness", "run", f"{wanted.name}.py")))}

Written by `harness new` from {quoted(_written_from(wanted))}. Read it, change it, and run it.
"""

from harness import {names}
{_rows(wanted)}
ablation = Ablation(
    name={name},
    testbed=Testbed(
        name={name},
        model={literal(wanted.model)},
        source={"train" if wanted.dev is None else "rows"},
        dev={dev},
        test={test},
    ),
    studies=[
{listed}
    ],
    space=Space(batch_size=choice(16, 32, 64), lr=log_uniform(5e-6, 1e-4)),
    budget=Budget(trials={TRIALS}, epochs=1, seeds={SEEDS}),
    expect=[beats({literal(next(iter(studies)))}, "untrained")],
)
'''
    return Draft(text, _notes(wanted, len(studies)))


def _written_from(wanted: Wanted) -> str:
    texts = ", ".join(wanted.rows.texts)
    label = f" and {wanted.rows.label}" if wanted.rows.label else ""
    return f"{wanted.rows.form} ({texts}{label})"


def _rows(wanted: Wanted) -> str:
    """Return the part of the file that reads, filters and divides the rows."""
    text, where = "", ""
    if wanted.left_out:
        reasons = "".join(comment(f"{line}.", "    ") for line in reasons_of(wanted))
        conditions = [each.condition for each in wanted.left_out]
        both = "\n        & ".join(f"({condition})" for condition in conditions)
        body = f"    return {conditions[0]}\n" if len(conditions) == 1 else f"    return (\n        {both}\n    )\n"
        text, where = f"\n\ndef usable(rows):\n{reasons}{body}\n", ".where(usable)"
    text += "\n" + "".join(comment(f"Warning: {doubt}.") for doubt in wanted.doubts)
    text += "".join(comment(f"{line}.") for line in _assumed(wanted.rows))
    source = wanted.source
    source = f"{source[:-1]}{where})" if source.startswith("sources.nli(") else f"{source}{where}"
    text += f"rows = {source}\n"
    if wanted.dev is None:
        by = literal(wanted.by[0]) if len(wanted.by) == 1 else f"({literals(*wanted.by)})"
        text += f"train, dev, test = rows.split(by={by}, dev={SHARE}, test={SHARE})\n"
    return text


def reasons_of(wanted: Wanted) -> list[str]:
    """Return how many rows are left out, for which reason, and where they are."""
    verbs = ["is" if len(each.places) == 1 else "are" for each in wanted.left_out]
    return [
        f"{len(each.places):,} of {wanted.number:,} rows {verb} left out, with {each.why} ({each.where})"
        for each, verb in zip(wanted.left_out, verbs, strict=True)
    ]


def _studies(rows: Recognised) -> dict[str, str]:
    """Return for each study's name its other arguments: one study for each kind of loss that the rows feed."""
    mnr = "loss=losses.MultipleNegativesRankingLoss"
    pair, label = literals(*rows.texts[:2]), literal(rows.label or "")
    if rows.form == "pairs":
        view = f"{mnr}, view=columns({pair})"
        return {"mnr": view, "no duplicates": f'{view}, sampler="no_duplicates"'}
    if rows.form == "triplets":
        triplet = f"loss=losses.TripletLoss, view=columns({literals(*rows.texts[:3])})"
        hard = f"{mnr}, view=columns({literals(*rows.texts)})"
        return {"mnr": f"{mnr}, view=columns({pair})", "mnr+hard": hard, "triplet": triplet}
    if rows.form == "scored pairs":
        view = f"view=columns({pair}, score={label}, range=({rows.low:g}, {rows.high:g}))"
        return {name: f"loss=losses.{loss}, {view}" for name, loss in _SCORED.items()}
    if rows.form == "labelled pairs":
        view = f"view=columns({pair}, score={label})"
        return {name: f"loss=losses.{loss}, {view}" for name, loss in _LABELLED_PAIRS.items()}
    if rows.form == "labelled texts":
        view = f'view=columns({pair}, label={label}), sampler="group_by_label"'
        return {name: f"loss=losses.{loss}, {view}" for name, loss in _LABELLED_TEXTS.items()}
    if rows.form == "nli":
        return {
            "softmax": 'loss=losses.softmax, view="pair-class"',
            "cosine": 'loss=losses.CosineSimilarityLoss, view="pair-score"',
            "mnr": f'{mnr}, view="pair"',
            "mnr+hard": f'{mnr}, view="triplet"',
        }
    return {"simcse": f"{mnr}, view=columns({pair}, {pair})"}


_SCORED = {"cosent": "CoSENTLoss", "cosine": "CosineSimilarityLoss", "angle": "AnglELoss"}
_LABELLED_PAIRS = {"contrastive": "ContrastiveLoss", "online": "OnlineContrastiveLoss"}
_LABELLED_TEXTS = {"batch all": "BatchAllTripletLoss", "batch hard": "BatchHardSoftMarginTripletLoss"}


_ALONE = {"texts": "Texts", "nli": "NLI rows"}
"""Forms of rows that have no measure, as a message names them."""


def _measures(wanted: Wanted) -> tuple[str, str]:
    """Return the expressions of dev and test."""
    rows = wanted.rows
    if wanted.dev is not None and wanted.test is not None:
        return f"measures.retrieval({literal(wanted.dev)})", f"measures.retrieval({literal(wanted.test)})"
    if rows.form in ("texts", "nli"):
        used = (*rows.texts, rows.label)
        others = ", ".join(f"{column.name} ({column.why})" for column in rows.columns if column.name not in used)
        hint = ". If a column that is not used holds the classes of the texts, name it 'label'" if others else ""
        raise UsageError(
            f"{wanted.source}: {', '.join(rows.texts)} {'is' if len(rows.texts) == 1 else 'are'} taken for texts"
            f"{f'; not used: {others}' if others else ''}. {_ALONE[rows.form]} alone do not say which model is "
            "better; give --dev FOLDER and --test FOLDER of a retrieval set (corpus.jsonl, queries.jsonl, "
            "qrels/test.tsv), or write other measures by hand" + hint
        )
    return _measure(wanted, "dev"), _measure(wanted, "test")


def _measure(wanted: Wanted, side: str) -> str:
    """Return the expression of the measure on one side of the division."""
    rows, name = wanted.rows, literal(f"{wanted.name}-{side}")
    first, second, label = map(literal, (*(*rows.texts, "")[:2], rows.label or ""))
    if rows.form in ("pairs", "triplets"):
        return f"measures.retrieval({side}, {name}, query={first}, document={second})"
    if rows.form == "scored pairs":
        columns = f"columns=({first}, {second}, {label})"
        return f"measures.sts({side}, {name}, {columns}, range=({rows.low:g}, {rows.high:g}))"
    if rows.form == "labelled pairs":
        return f"measures.pairs({side}, {name}, columns=({first}, {second}, {label}))"
    return f"measures.classification(train, {side}, {name}, text={first}, label={label})"


def _imports(studies: dict[str, str]) -> str:
    names = ["Ablation", "Budget", "Space", "Study", "Testbed", "beats", "choice"]
    names += ["columns"] if any("columns(" in study for study in studies.values()) else []
    return ", ".join([*names, "log_uniform", "losses", "measures", "sources"])


def _notes(wanted: Wanted, studies: int) -> tuple[str, ...]:
    runs = 1 + studies * (TRIALS + 2 * SEEDS)
    notes = [
        f"{studies} studies of {TRIALS} trials and {SEEDS} final seeds at two points are at most {runs} runs of an "
        "epoch; `harness plan` shows what they cost once the first has run."
    ]
    if wanted.dev is None:
        by = " and ".join(wanted.by)
        notes.append(f"Rows whose {by} are equal or nearly equal are on one side of the division, so nothing leaks.")
        if (tested := round(SHARE * wanted.different)) < FEW:
            copies = wanted.different < wanted.used
            have = f" have only {wanted.different:,} different {_ITEMS[wanted.rows.form]}, which" if copies else ""
            notes.append(
                f"warning: {wanted.used:,} rows{have} make a test set of about {tested}, in which a single one can be "
                f"worth {100 / max(tested, 1):.0f} points; small differences will stay inconclusive. Give larger sets "
                "with --dev and --test, or collect more rows."
            )
    if wanted.rows.form == "labelled texts":
        notes.append(f"The values of {wanted.rows.label!r} are taken for the classes of {wanted.rows.texts[0]!r}.")
    notes += [f"{line}." for line in reasons_of(wanted)]
    notes += [f"warning: {doubt}." for doubt in wanted.doubts]
    notes += [f"{line}." for line in _assumed(wanted.rows)]
    if wanted.rows.form == "scored pairs":
        notes.append(
            f"Scores from {wanted.rows.low:g} to {wanted.rows.high:g} are taken to be possible; else correct range=."
        )
    return tuple(notes)


_ITEMS = {
    "pairs": "queries",
    "triplets": "queries",
    "scored pairs": "pairs",
    "labelled pairs": "pairs",
    "labelled texts": "texts",
}
"""What a test set consists of, by form of the rows."""


def _assumed(rows: Recognised) -> list[str]:
    """Return what is assumed of a label or score of pairs and cannot be seen from its values."""
    taken = {
        "labelled pairs": "1 is taken for alike and 0 for not alike",
        "scored pairs": "more is taken for more alike",
    }
    if rows.form not in taken:
        return []
    return [
        f"In column {rows.label!r} {taken[rows.form]}. If it is the other way round, turn its values round in the "
        "file: losses would learn the opposite, and no score would show it"
    ]


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
