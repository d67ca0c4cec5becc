"""The report's section on the audit of the data: findings, overlap, and STS scores without the shared pairs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from harness.audit import cache
from harness.data.findings import SEVERITIES, Finding, Overlap
from harness.data.overlap import DEV_SET, ROWS
from harness.report.facts import Facts
from harness.report.tables import Table
from harness.text import NONE, count, counted, escape, score


def section(facts: Facts) -> Iterable[str]:
    """Yield a heading, the findings, the counts of overlap, and STS scores raw and without shared pairs."""
    yield "## Audit of the data"
    result = cache.of_plan(facts.plan)
    if result is None:
        why = (
            "the store has no audit"
            if facts.plan.audit is None
            else "the audit in the store covers other rows, tasks or studies"
        )
        yield f"Not audited: {why}. Run `harness run FILE --audit-only` to audit the data."
    else:
        numbers = ", ".join(counted(len(result.of(severity)), severity) for severity in SEVERITIES)
        yield (
            f"Training rows and evaluation sets were audited before training: {numbers}. A run starts only if the "
            "audit finds no error."
            + (
                f" The audit covers only {', '.join(map(escape, result.studies))}: no other study was selected to run."
                if result.studies
                else ""
            )
        )
        grave = [finding for finding in result.findings if finding.severity != "note"]
        if grave:
            yield _findings(grave).markdown()
        if result.of("note"):
            yield f"<details><summary>Notes</summary>\n\n{_findings(result.of('note')).markdown()}\n\n</details>"
        yield _overlaps(result.overlaps).markdown()
        yield (
            "Two pairs count as equal in either order and regardless of case, punctuation and spaces. A sentence "
            "counts as *nearly in the rows* if the Jaccard similarity of its five-character shingles to those of a "
            "sentence of the rows is at least 0.8. *Expected false negatives*: the number of pairs of rows in a batch "
            "that share an anchor or a positive, out of all pairs of rows in the batch."
            + (
                " Of a set of labelled texts the *pairs* are its texts: those in the rows are there with a label."
                if any(each.labelled for each in result.overlaps)
                else ""
            )
        )
    yield from _unshared(facts)


def doubts(facts: Facts) -> list[str]:
    """Return the threat to validity that names all warnings of the audit, or says that there was no audit."""
    result = cache.of_plan(facts.plan)
    if result is None:
        return ["The data were not audited, so duplicates, ignored labels or leaked test pairs may be undetected."]
    warned: dict[str, list[str]] = {}
    for finding in result.of("warning"):
        warned.setdefault(finding.what, []).append(
            f"{finding.where} {amount(finding.count)} of {amount(finding.of)}".removeprefix("testbed ")
        )
    if not warned:
        return []
    part = f" It covers only {', '.join(map(escape, result.studies))}." if result.studies else ""
    listed = "; ".join(f"{escape(what)} ({escape(', '.join(where))})" for what, where in warned.items())
    return [f"The audit of the data warns of {listed}.{part}"]


def amount(value: float) -> str:
    """Format a count in full, or an expected count with three digits."""
    return count(value) if value % 1 == 0 else f"{value:.3g}"


def _findings(findings: Iterable[Finding]) -> Table:
    rows = tuple(
        (f.severity, escape(f.where), escape(f.what), escape(f.explain), amount(f.count), amount(f.of))
        for f in findings
    )
    return Table(("severity", "where", "what", "explanation and fix", "count", "of"), rows, left=4)


def _overlaps(overlaps: Iterable[Overlap]) -> Table:
    by = {(overlap.name, overlap.held_by): overlap for overlap in overlaps}
    rows = []
    for name, held_by in by:
        if held_by != ROWS:
            continue
        rows_hold, dev_holds = by[name, ROWS], by.get((name, DEV_SET))
        rows.append(
            (
                escape(name),
                count(rows_hold.pairs),
                count(rows_hold.shared_pairs),
                NONE if dev_holds is None else count(dev_holds.shared_pairs),
                count(rows_hold.sentences),
                count(rows_hold.shared_sentences),
                count(rows_hold.near),
                NONE if dev_holds is None else count(dev_holds.shared_sentences),
            )
        )
    header = (
        "set",
        "pairs",
        "pairs in the rows",
        "pairs in the dev set",
        "distinct sentences",
        "sentences in the rows",
        "sentences nearly in the rows",
        "sentences in the dev set",
    )
    return Table(header, tuple(rows))


def _unshared(facts: Facts) -> Iterable[str]:
    """Yield the scores of STS tasks, raw and without shared pairs, if final runs have both."""
    names = sorted({name for row in facts.rows for record in row.ended for name in record.unshared})
    if not names:
        return
    lines = []
    for row in facts.rows:
        cells = [escape(row.name)]
        for name in names:
            both = [(r.scores[name], r.unshared[name]) for r in row.ended if name in r.scores and name in r.unshared]
            means = np.mean(both, axis=0).tolist() if both else [None, None]
            cells += [score(mean) for mean in means]
        lines.append(tuple(cells))
    header = [cell for name in map(escape, names) for cell in (name, f"{name}<br>without shared pairs")]
    yield Table(("study", *header), tuple(lines)).markdown()
    yield (
        "Spearman correlation of the STS tasks that share pairs with the training rows or with the dev set (on which "
        "every best point was selected): the raw score, and the score without the shared pairs. Means over tasks use "
        "the raw scores."
    )
