"""Whether the data of a study file that was just drafted can be trained on and scored, before the user runs it."""

from __future__ import annotations

from pathlib import Path

from harness.data.checks import of_dropped
from harness.data.clean import clean
from harness.data.findings import Finding
from harness.data.measured_sets import of_measure
from harness.errors import HarnessError
from harness.reading import materials
from harness.spec.loading import load_study_file
from harness.spec.views import named


def rehearse(file: Path) -> str | None:
    """Return why the audit of a study file would stop its run, as far as its rows are concerned; None if it would not.

    The base model is not needed.
    """
    try:
        errors = [finding.explain for finding in _findings(file) if finding.severity == "error"]
    except HarnessError as problem:
        return str(problem)
    return errors[0] if errors else None


def _findings(file: Path) -> list[Finding]:
    ablation = load_study_file(file)
    bed, findings = ablation.testbed, []
    names = [study.name for study in ablation.studies]
    for measure in bed.measures:
        findings += of_measure(measure, bed.name)
    for view in dict.fromkeys(named(part.view) for study in ablation.studies for part in study.by_title.values()):
        rows = view.build(materials.load_rows(bed.source), bed.limit)
        findings += of_dropped(view, clean(view, rows)[1], len(rows), names, bed.max_dropped)
    return findings
