"""The report's sections on items and on forgetting, from records with a value per query."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import synthetic

from harness.planning.plan import Plan, PlannedRun
from harness.report.facts import gather
from harness.report.figures import draw, forgetting
from harness.report.markdown import page
from harness.spec.expectations import beats
from harness.spec.study import UNTRAINED
from harness.store.items import Values
from harness.store.records import Record
from harness.testbeds import measures, sources
from harness.verdicts.judge import judge

QUERIES = tuple(f"<q:{n}>|*" for n in range(40))


def planned(lost: float = 0.0) -> Plan:
    """Return a finished plan whose test measure is retrieval; trained models find 30 queries better and 5 worse."""
    made = synthetic.make_ablation(["mnr"], seeds=2, trials=1, expect=[], tasks=())
    test = measures.retrieval(sources.file("pairs.csv"), "own", query="q", document="d")
    also = measures.sts(sources.file("pairs.csv"), "elsewhere")
    ablation = replace(made, testbed=replace(made.testbed, test=test, also=[also]))
    plan = synthetic.make(made)
    runs = tuple(_scored(run, lost) for run in plan.runs)
    return replace(plan, ablation=ablation, runs=runs)


def _scored(run: PlannedRun, lost: float) -> PlannedRun:
    if run.record is None or run.stage == "tune":
        return run
    values = np.full(40, 0.5)
    if run.study != UNTRAINED:
        values[:30] += 0.01 * np.arange(1, 31) / 30
        values[30:35] -= 0.2 + 0.01 * run.seed
    scores = {"own/ndcg@10": float(values.mean()), "elsewhere/spearman_cosine": 0.7 - lost * (run.study != UNTRAINED)}
    items = {"own": Values(QUERIES, {"ndcg@10": tuple(values.tolist())})}
    return replace(run, record=replace(run.record, headline="own/ndcg@10", scores=scores, items=items))


def text(plan: Plan) -> str:
    return page(gather(plan), {"forgetting"}, "harness run mine.py")


def test_the_number_of_queries_that_decide_and_the_most_changed_ones_are_named() -> None:
    shown = text(planned())
    assert "| mnr | 40 | 30 | 5 | 5 |" in shown
    improved, impaired = shown.split("queries most improved")[1], shown.split("queries most impaired")[1]
    assert improved.index("\\<q:29\\>\\|\\*") < improved.index("\\<q:28\\>\\|\\*")
    assert "The 20 queries most improved" in shown
    assert "The 5 queries most impaired" in shown
    assert impaired.count("−21.50") == 5


def test_queries_with_the_same_documents_widen_the_interval_and_are_told() -> None:
    def grouped(plan: Plan) -> Plan:
        """Let the first 30 queries be five groups of six, as if six questions each had one answer."""
        groups = (*(number // 6 for number in range(30)), *range(5, 15))

        def of(run: PlannedRun) -> PlannedRun:
            items = None if run.record is None else run.record.items.get("own")
            if run.record is None or not isinstance(items, Values):
                return run
            return replace(run, record=replace(run.record, items={"own": replace(items, groups=groups)}))

        return replace(plan, runs=tuple(map(of, plan.runs)))

    claim = beats("mnr", UNTRAINED)
    plain = planned()
    plain = replace(plain, ablation=replace(plain.ablation, expect=[claim]))
    (alone,), (together,) = judge(plain), judge(grouped(plain))
    widths = [i.high - i.low for each in (alone, together) if (i := each.over_items) is not None]
    assert widths[0] < widths[1]
    assert "40 of 40" not in together.reason
    assert (
        "queries form 15 groups (the same relevant documents, or questions of one template), which say as much"
        in together.reason
    )
    assert "groups" not in alone.reason
    kept = grouped(plain).of("mnr", "final", "best")[0].record
    assert kept is not None
    assert Record.from_json(kept.to_json(), "here").items == kept.items


def test_swapped_models_swap_gains_and_losses() -> None:
    plan = planned()
    records = {run.study: run.record for run in plan.runs if run.stage != "tune"}
    before, after = records[UNTRAINED], records["mnr"]
    assert before is not None
    assert after is not None
    other = {UNTRAINED: after, "mnr": before}
    runs = [
        run
        if run.record is None or run.stage == "tune"
        else replace(run, record=replace(run.record, scores=other[run.study].scores, items=other[run.study].items))
        for run in plan.runs
    ]
    assert "| mnr | 40 | 5 | 5 | 30 |" in text(replace(plan, runs=tuple(runs)))


def test_what_is_forgotten_is_drawn_only_for_further_measures() -> None:
    facts = gather(planned(lost=0.05))
    picture = draw(forgetting, facts)
    assert picture is not None
    assert draw(forgetting, gather(planned(lost=0.01))) != picture
    assert "## Gain and forgetting" in text(planned())
    plain = synthetic.make(synthetic.make_ablation(["mnr"], seeds=2, trials=1, expect=[]))
    assert draw(forgetting, gather(plain)) is None
    assert "## Gain and forgetting" not in page(gather(plain), set(), "harness run mine.py")
    assert "decide" not in page(gather(plain), set(), "harness run mine.py").split("## Tasks")[0].split("## Scores")[1]
