"""How many mined negatives are false? Counted exactly, as the meaning of all sentences of the embedded data is known.

    harness run studies/hard_negatives.py --testbed embedded
    python benchmarks/mined.py [--store runs/hard_negatives-embedded] [--show 20]

For each kind of negative, the table has the number of negatives that follow from their anchor (these are false, because
they are positives); the number with nearly the same meaning (a similarity of at least 4 of 5 by the rule that rates the
STS pairs); their mean similarity; and the number of rows with a random negative, because too few were below the margin.
`--show N` prints N evenly spaced rows for inspection.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from pandas import DataFrame
from rich.console import Console
from rich.table import Table

from harness import api, views
from harness.data import mining
from harness.data.mining import base_of
from harness.embedded import rows as language
from harness.embedded.frames import Frame
from harness.embedded.inference import subsumes
from harness.embedded.similarity import similarity
from harness.engine.rows import study_rows, view_rows
from harness.executors.library_output import be_quiet
from harness.spec.ablation import Ablation, restrict
from harness.spec.loading import load_study_file
from harness.spec.views import named
from harness.testbeds import by_name

MARGINS = (0.0, 0.05, 0.1)
ALIKE = 0.8


def frames() -> dict[str, Frame]:
    """Return the meaning of every sentence of the training rows; the first one for the few ambiguous sentences."""
    meanings: dict[str, Frame] = {}
    for row in language.nli_rows(language.NLI_PREMISES, set()):
        meanings.setdefault(row.premise, row.premise_frame)
        meanings.setdefault(row.hypothesis, row.hypothesis_frame)
    return meanings


def follows(premise: Frame, other: Frame) -> bool:
    """Return whether `premise` implies `other`; a negation implies the negation of anything more specific."""
    if premise.tense != other.tense or premise.negated != other.negated:
        return False
    return subsumes(premise, other) if premise.negated else subsumes(other, premise)


def counted(rows: DataFrame, meaning: dict[str, Frame]) -> tuple[int, int, int, float]:
    """Return the number of negatives, how many are false, how many nearly so, and the mean similarity to the anchor."""
    columns = [column for column in rows.columns if column.startswith("negative")]
    pairs = [(meaning[a], meaning[n]) for column in columns for a, n in zip(rows["anchor"], rows[column], strict=True)]
    alike = np.array([similarity(a, b) for a, b in pairs])
    return len(pairs), sum(follows(a, b) for a, b in pairs), int((alike >= ALIKE).sum()), float(alike.mean())


def with_margin(ablation: Ablation, name: str, margin: float) -> Ablation:
    """Return the ablation with another margin for a study's mining, by the same model."""
    before = ablation.study(name).mining
    assert before is not None
    view = views.mined(by=before.by, negatives=before.negatives, margin=margin)
    study = replace(ablation.study(name), view=replace(view, mining=replace(before, margin=margin)))
    return replace(ablation, studies=[study if other.name == name else other for other in ablation.studies])


def margins(ablation: Ablation, name: str) -> tuple[float | None, ...]:
    """Return the margins to try: several where the base model mines, the study's own where a model is trained."""
    mined = ablation.study(name).mining
    return (None,) if mined is None else MARGINS if mined.trial is None else (mined.margin,)


def random_rows(ablation: Ablation, name: str) -> int:
    """Return the number of rows with a random negative; the study's negatives must have been mined."""
    bed, view = ablation.testbed_of(name).sealed(), named(ablation.study(name).view or "pair")
    return mining.count_drawn(view, view_rows(bed, view), base_of(bed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("runs/hard_negatives-embedded"))
    parser.add_argument("--show", type=int, default=0, metavar="N")
    options = parser.parse_args()
    be_quiet()
    declared = restrict(load_study_file(Path("studies/hard_negatives.py")), testbed=by_name("embedded"))
    ablation = api.plan(declared, options.store).ablation
    meaning = frames()
    table = Table(
        "study", "margin", "negatives", "false", "similarity 4 of 5 or more", "mean similarity", "random rows"
    )
    for study in ablation.studies:
        if "negative" not in " ".join(named(study.view or "pair").columns):
            continue
        for margin in margins(ablation, study.name):
            changed = ablation if margin is None else with_margin(ablation, study.name, margin)
            rows = study_rows(changed, study.name)
            number, false, alike, mean = counted(rows, meaning)
            at_random = "-" if margin is None else f"{random_rows(changed, study.name):,} of {len(rows):,}"
            shares = (f"{n:,} ({100 * n / number:.1f} %)" for n in (false, alike))
            table.add_row(
                study.name, "-" if margin is None else f"{margin:g}", f"{number:,}", *shares, f"{mean:.2f}", at_random
            )
    Console(width=140).print(table)
    if options.show:
        rows = study_rows(ablation, "mined by none")
        for index in np.linspace(0, len(rows) - 1, options.show).astype(int):
            anchor, positive, negative = rows.iloc[index][["anchor", "positive", "negative"]]
            a, b = meaning[anchor], meaning[negative]
            print(f"{'FALSE' if follows(a, b) else '':5} {similarity(a, b):.2f} | {anchor} | {positive} | {negative}")


if __name__ == "__main__":
    main()
