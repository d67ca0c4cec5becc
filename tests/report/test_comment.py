"""The comment for a pull request: it is short, and says what the report says."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import synthetic

from harness.planning.plan import PlannedRun
from harness.report.comment import comment
from harness.spec.expectations import beats
from harness.store.records import Record

COMMAND = "harness run studies/mine.py --seeds 3"


def test_a_comment_has_result_claims_method_and_command() -> None:
    text = comment(synthetic.make(), COMMAND)
    assert text.startswith(
        "### synthetic on book\n\n**Not enough evidence: of 3 claims 2 undecided, 1 holding.** Highest"
    )
    assert "| **mnr+hard** | 1 | 82.91<br>(82.77 to 83.05) |" in text
    assert "| mnr+hard beats mnr | **WIN** | +7.29<br>(" in text
    assert "4 trials of 1 epoch" in text
    assert f"```sh\n{COMMAND}\n```" in text


@pytest.mark.parametrize("studies", [1, 2, 13, 40])
def test_a_comment_has_at_most_60_lines_however_large_the_ablation_is(studies: int) -> None:
    names = [f"study {n}" for n in range(studies)]
    expect = [beats(b, a) for a, b in pairwise(names)]

    def failing(run: PlannedRun, record: Record) -> Record:
        if run.stage == "final" and run.seed == 1:
            return replace(record, outcome="failed", scores={}, items={}, error=f"ValueError: {run.study}\n" * 9)
        return record

    made = synthetic.make_ablation(names, trials=1, tasks=(), expect=expect)
    for change in (failing, lambda run, record: record):
        text = comment(synthetic.make(made, change=change), COMMAND)
        assert len(text.splitlines()) <= 60
        assert ("more, which the report lists" in text) == (studies > 12)


def test_the_comment_changes_with_the_scores() -> None:
    swapped = comment(synthetic.make(quality={"mnr": 0.80, "mnr+hard": 0.60}), COMMAND)
    assert "| mnr+hard beats mnr | **REGRESSION** |" in swapped
    assert "Not as expected" in swapped
