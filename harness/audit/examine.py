"""Run the audit of training rows, dev and test sets and tasks, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import pandas as pd

from harness.audit import cache, lengths, near_copies, overlaps, resamples, unknown_words
from harness.data.checks import of_dropped, of_null_labels, of_studies, of_view
from harness.data.clean import clean
from harness.data.findings import Audit, Finding
from harness.data.measured_sets import of_measure
from harness.data.overlap import of_overlap
from harness.data.ranges import innermost, of_labels
from harness.reading import materials
from harness.reading.items import texts_of
from harness.reading.rows import read
from harness.spec.ablation import Ablation
from harness.spec.losses import inputs_of
from harness.spec.parts import Part
from harness.spec.study import UNTRAINED
from harness.spec.views import View, named
from harness.testbeds.sources import Source


def examine(
    ablation: Ablation, key: str, missing: Collection[str], tell: Callable[[str], None] = lambda line: None
) -> Audit:
    """Audit what an ablation trains on and is scored with.

    Args:
        ablation: the ablation.
        key: its `cache.key`, computed by the driver, because here a loss may have no source file.
        missing: test tasks whose data are not available.
        tell: receives a line at the start of each part.

    Raises:
        TestbedUnavailable: a part of the testbed cannot be read.
    """
    bed = ablation.testbed
    built: list[tuple[View, pd.DataFrame]] = []
    findings: list[Finding] = []
    groups: dict[tuple[View, Source, int], dict[str, Part]] = {}
    for study in ablation.studies:
        for title, part in study.by_title.items():
            own = ablation.testbed_of_part(study.name, part)
            groups.setdefault((named(part.view), own.source, own.limit), {})[title] = part
    for source, limit in dict.fromkeys((source, limit) for _, source, limit in groups):
        read_rows = read(source)
        nulls = [row for row in read_rows.null_labels if row < limit]
        findings += of_null_labels(nulls, min(limit, len(read_rows.rows)), bed.name, bed.max_dropped)
    for (view, source, limit), parts in groups.items():
        tell(f"view {view}")
        built_rows = view.build(materials.load_rows(source), limit)
        rows, dropped = clean(view, built_rows)
        findings += of_dropped(view, dropped, len(built_rows), list(parts), bed.max_dropped)
        if view.mining is not None:
            view, rows, notes = _mined(ablation, view, rows, list(parts))
            findings += notes
        built.append((view, rows))
        findings += _of_view(ablation, view, rows, parts)
        if view.has_plain_label:
            for title, part in parts.items():
                findings += of_labels(view, rows[view.columns[-1]], title, part.loss)
    sets: dict[str, overlaps.Held] = {}
    for measure in bed.measures:
        if measure.name in missing:
            continue
        tell(f"measure {measure.name}")
        findings += of_measure(measure, bed.name)
        findings += near_copies.of_measure(measure, f"testbed {bed.name}")
        findings += resamples.of_measure(measure, f"testbed {bed.name}")
        texts = texts_of(measure)
        read_texts = [*texts.queries, *texts.documents, *texts.single]
        findings += unknown_words.of_texts(bed, read_texts, measure.name, f"testbed {bed.name}")
        sets |= overlaps.of_measure(measure)
    tasks, left_out = overlaps.of_tasks(bed.tasks, missing, tell)
    shared = list(overlaps.between(bed, built, sets, tasks, tell))
    besides = {measure.name for measure in bed.besides}
    for each in shared:
        findings += of_overlap(each, bed.name, each.name.startswith("mteb/") or each.name in besides)
    if left_out:
        reasons = "; ".join(f"{task}: {why}" for task, why in left_out)
        note = f"The texts of these tasks were not checked for overlap: {reasons}."
        findings.append(Finding("note", f"testbed {bed.name}", "tasks left out", len(left_out), len(bed.tasks), note))
    return cache.new_audit(key, findings, shared, left_out, missing)


def _mined(
    ablation: Ablation, view: View, pairs: pd.DataFrame, studies: list[str]
) -> tuple[View, pd.DataFrame, list[Finding]]:
    """Mine a view's negatives if the base model mines; if a study does, audit only the pairs."""
    where = of_studies(studies)
    assert view.mining is not None
    if view.miner != UNTRAINED:
        text = (
            f"The negatives of view {view.name!r} are mined during the run, by study {view.miner!r}, so only anchors "
            "and positives were audited. Negatives are positives of other anchors, so they add no sentence."
        )
        note = Finding("note", where, "negatives not mined yet", 0, len(pairs), text)
        return replace(view, columns=view.columns[:2]), pairs, [note]
    if len(pairs) < 2:
        return view, pairs.reindex(columns=list(view.columns)).dropna(), []
    from harness.data.mining import (  # torch, which most ablations' audits need not wait for
        base_of,
        count_drawn,
        with_negatives,
    )
    from harness.executors.library_output import be_quiet
    from harness.model.loading import fresh_model

    be_quiet()
    bed = ablation.testbed_of(studies[0]).sealed()
    base = base_of(bed)
    rows = with_negatives(view, pairs, base, lambda: fresh_model(bed))
    at_random = count_drawn(view, pairs, base)
    text = (
        f"In {at_random:,} rows of view {view.name!r} a negative was drawn at random, because too few of the nearest "
        f"neighbours were a margin of {view.mining.margin:g} below the anchor's positives."
    )
    note = Finding("note", where, "random among mined negatives", at_random, len(rows), text)
    return view, rows, [note] if at_random else []


def _of_view(ablation: Ablation, view: View, rows: pd.DataFrame, parts: Mapping[str, Part]) -> list[Finding]:
    """Audit a view for its studies or parts, by title, with false negatives at each batch size if a loss draws them."""
    without_duplicates = {
        title for study in ablation.studies if (study.sampler or "").startswith("no_dup") for title in study.by_title
    }
    drawing = [title for title, part in parts.items() if in_batch(part) and title not in without_duplicates]
    sizes = cache.batch_sizes(ablation) if drawing else ()
    bed = ablation.testbed
    findings = of_view(view, rows, list(parts), lengths.most_tokens(bed), lengths.counter(bed), sizes)
    texts = [text for column in view.columns[: view.texts] for text in rows[column]]
    return findings + unknown_words.of_texts(bed, texts, f"view {view.name!r}", of_studies(list(parts)))


def in_batch(part: Part) -> bool:
    """Return whether the loss of a study or part uses other rows of the batch as negatives.

    A loss that reads two texts and no label has no other negatives, except one that restores a damaged text. Assumed
    true for callables that do not declare their inputs.
    """
    inputs, name = inputs_of(part.loss), getattr(innermost(part.loss)[0], "name", "")
    if named(part.view).label != "none" or name == "DenoisingAutoEncoderLoss":
        return False
    return inputs is None or inputs.fewest == 2
