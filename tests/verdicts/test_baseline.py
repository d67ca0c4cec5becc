"""`harness check --baseline`: a planted regression is violated, an equal study holds, and what cannot be known is open."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import scipy.stats
import synthetic

from harness.cli.main import main
from harness.cli.output import print_verdict
from harness.errors import UsageError
from harness.planning.plan import Plan, PlannedRun
from harness.report.data import scores_csv
from harness.report.facts import gather
from harness.scores import HEADLINE
from harness.spec.ablation import Ablation
from harness.spec.expectations import Expectation, beats
from harness.spec.study import UNTRAINED
from harness.stats import estimates
from harness.store.folder import create
from harness.store.records import Record
from harness.verdicts.baseline import Baseline, against, read_baseline
from harness.verdicts.judge import judge
from harness.verdicts.junit import junit_xml
from harness.verdicts.rules import Verdict

NAMES = ("softmax", "mnr")
STUDY = """
from harness import *
ablation = Ablation(
    name="small",
    testbed=testbeds.book,
    studies=[
        Study("softmax", loss=losses.softmax, view="pair-class"),
        Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="pair"),
    ],
    space=Space(batch_size=choice(16, 32), lr=log_uniform(1e-6, 2e-4)),
    budget=Budget(trials=1, seeds=5),
    expect=[beats("mnr", "softmax")],
)
"""


def ablation(*expect: Expectation, seeds: int = 5, names: tuple[str, ...] = NAMES) -> Ablation:
    return synthetic.make_ablation(names, seeds=seeds, trials=1, expect=expect)


def moved(by: float, spread: float = 0.001, *, study: str = "mnr") -> Callable[[PlannedRun, Record], Record]:
    """Set a study's final scores around .75 + by, as a task's figure, which needs no predictions."""

    def change(run: PlannedRun, record: Record) -> Record:
        if run.study != study or run.stage != "final":
            return record
        noise = spread * ((run.seed * 7 + round(by * 1e4)) % 5 - 2)
        return replace(record, scores={**record.scores, "mteb/STS12": 0.75 + by + noise})

    return change


def baseline_of(plan: Plan, folder: Path, edit: Callable[[str], str] = lambda text: text) -> Baseline:
    path = folder / "scores.csv"
    path.write_text(edit(scores_csv(gather(plan))), encoding="utf-8")
    return read_baseline(path)


def of(study: str, found: list[Verdict]) -> Verdict:
    return next(verdict for verdict in found if verdict.better == study)


FIGURE = ["mteb/STS12"]


@pytest.mark.parametrize(
    ("by", "spread", "judgement"),
    [
        (0.0005, 0.001, "holds"),
        (0.05, 0.001, "holds"),
        (-0.02, 0.001, "violated"),
        (-0.0055, 0.001, "inconclusive"),
        (-0.02, 0.03, "inconclusive"),
        (0.0, 0.03, "inconclusive"),
    ],
)
def test_a_loss_is_judged_by_its_interval(by: float, spread: float, judgement: str, tmp_path: Path) -> None:
    then = baseline_of(synthetic.make(ablation(), change=moved(0.0)), tmp_path)
    found = of("mnr", against(synthetic.make(ablation(), change=moved(by, spread)), then, FIGURE))
    assert (found.verdict, found.kind, found.margin) == (judgement, "baseline", -0.005)


def test_swapping_now_and_then_flips_a_violation(tmp_path: Path) -> None:
    low, high = (synthetic.make(ablation(), change=moved(by)) for by in (-0.02, 0.0))
    assert of("mnr", against(low, baseline_of(high, tmp_path), FIGURE)).verdict == "violated"
    assert of("mnr", against(high, baseline_of(low, tmp_path), FIGURE)).verdict == "holds"


def test_the_interval_is_welchs_and_the_level_holms(tmp_path: Path) -> None:
    then, now = (synthetic.make(ablation(), change=moved(by, spread)) for by, spread in ((0.0, 0.001), (-0.01, 0.003)))
    found = against(now, baseline_of(then, tmp_path), FIGURE)
    sides = [[r.record.scores["mteb/STS12"] for r in p.of("mnr", "final", "best") if r.record] for p in (now, then)]
    verdict = of("mnr", found)
    assert verdict.level is not None
    assert verdict.level < 0.975  # untrained and softmax are the same and so decided: nothing is left to correct for
    known = scipy.stats.ttest_ind(*sides, equal_var=False).confidence_interval(verdict.level)
    assert verdict.over_seeds is not None
    assert (verdict.over_seeds.low, verdict.over_seeds.high) == pytest.approx((known.low, known.high))
    assert verdict.difference == pytest.approx(np.mean(sides[0]) - np.mean(sides[1]))
    assert verdict.target == pytest.approx(np.mean(sides[1]))
    assert verdict.over_items is None


@pytest.mark.parametrize("by", [-0.02, 0.02])
def test_a_verdict_that_is_decided_leaves_its_level_to_the_next(by: float, tmp_path: Path) -> None:
    def both(by: float) -> synthetic.Change:
        return lambda run, r: moved(by and 0.001, 0.03, study="softmax")(run, moved(by)(run, r))

    then, now = (synthetic.make(ablation(), change=both(shift)) for shift in (0.0, by))
    found = against(now, baseline_of(then, tmp_path), FIGURE)
    assert of("mnr", found).verdict == ("holds" if by > 0 else "violated")
    assert of("mnr", found).level == pytest.approx(1 - 0.05 / 2)
    assert of("softmax", found).verdict == "inconclusive"
    assert of("softmax", found).level == pytest.approx(0.95)


def test_welch_p_is_scipys() -> None:
    a, b = [0.71, 0.74, 0.73], [0.70, 0.69, 0.72, 0.695]
    for least in (-0.01, 0.0, 0.03):
        known = scipy.stats.ttest_ind(np.subtract(a, least), b, equal_var=False, alternative="greater").pvalue
        assert estimates.p_below(least, a, b) == pytest.approx(known)
    assert estimates.p_below(0.05, [0.7, 0.7], [0.6, 0.6]) == 0.0
    assert estimates.p_below(0.15, [0.7, 0.7], [0.6, 0.6]) == 1.0
    assert estimates.p_below(0.0, [0.7], [0.6, 0.6]) == 1.0
    assert estimates.interval([0.7], [0.6, 0.6]) is None


def test_unchanged_scores_hold_however_much_seeds_differ(tmp_path: Path) -> None:
    plan = synthetic.make(ablation(), change=moved(0.0, 0.05))
    found = against(plan, baseline_of(plan, tmp_path), FIGURE)
    assert [v.verdict for v in found] == ["holds"] * 3
    assert of("mnr", found).reason == "Every seed has exactly the baseline's score."


def test_the_untrained_models_score_is_compared_as_it_is(tmp_path: Path) -> None:
    plan = synthetic.make(ablation())
    run = plan.of(UNTRAINED)[0].record
    assert run is not None
    score = run.scores["mteb/STS12"]
    for change, judgement in ((0.0049, "holds"), (0.0051, "violated"), (-0.1, "holds")):
        then = baseline_of(plan, tmp_path, lambda text, c=change: text.replace(repr(score), repr(score + c), 1))  # type: ignore[misc]
        assert of(UNTRAINED, against(plan, then, FIGURE)).verdict == judgement


def test_one_seed_decides_nothing_unless_it_is_the_same(tmp_path: Path) -> None:
    then = baseline_of(synthetic.make(ablation(seeds=1), change=moved(0.0)), tmp_path)
    assert of("mnr", against(synthetic.make(ablation(), change=moved(-0.3)), then, FIGURE)).verdict == "inconclusive"


def test_only_runs_at_the_best_point_count(tmp_path: Path) -> None:
    both = synthetic.make_ablation(NAMES, seeds=3, trials=4, expect=[])
    plan = synthetic.make(both)
    then = baseline_of(plan, tmp_path)
    for name in NAMES:
        best = {r.seed: r.record.scores[HEADLINE] for r in plan.of(name, "final", "best") if r.record}
        assert then.scores[(name, HEADLINE)] == best


def test_a_study_on_one_side_only_is_incomplete(tmp_path: Path) -> None:
    small, large = (synthetic.make(ablation(names=names)) for names in (NAMES, (*NAMES, "cosine")))
    new = of("cosine", against(large, baseline_of(small, tmp_path)))
    gone = of("cosine", against(small, baseline_of(large, tmp_path)))
    assert (new.verdict, gone.verdict) == ("incomplete", "incomplete")
    assert "baseline does not have it" in new.reason
    assert "not in the ablation" in gone.reason


def test_a_missing_run_today_is_incomplete(tmp_path: Path) -> None:
    then = baseline_of(synthetic.make(ablation()), tmp_path)
    now = synthetic.make(
        ablation(),
        change=lambda run, r: None if (run.study, run.stage, run.seed) == ("mnr", "final", 2) else r,
    )
    found = of("mnr", against(now, then))
    assert found.verdict == "incomplete"
    assert "mnr seed 2 is not done" in found.reason


def test_a_baseline_from_another_testbed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = synthetic.make(ablation())
    own = str(plan.of(UNTRAINED)[0].id)
    elsewhere = against(plan, baseline_of(plan, tmp_path, lambda text: text.replace(own, "another")))
    assert all("another testbed" in verdict.full_reason for verdict in elsewhere)
    assert {verdict.verdict for verdict in elsewhere} == {"holds"}
    for verdict in elsewhere:
        print_verdict(verdict)
    assert capsys.readouterr().out.count("another testbed") == len(elsewhere)
    assert not any("another testbed" in verdict.full_reason for verdict in against(plan, baseline_of(plan, tmp_path)))


@pytest.mark.parametrize(("truth", "limits"), [(-0.005, (0.0, 0.05)), (0.0, (0.0, 0.01)), (-0.02, (0.8, 1.0))])
def test_false_alarms_are_rare_and_regressions_are_found(
    truth: float, limits: tuple[float, float], tmp_path: Path
) -> None:
    """Simulated: 3 studies, 5 seeds of standard deviation .004; how often is the first called violated?"""
    plan = synthetic.make(ablation())
    random, violated = np.random.default_rng(5), 0
    path = tmp_path / "scores.csv"
    text = scores_csv(gather(plan))
    now = {r.seed: r.record.scores["mteb/STS12"] for r in plan.of("mnr", "final", "best") if r.record}
    path.write_text(text, encoding="utf-8")
    read = read_baseline(path)
    mean, tried = float(np.mean(list(now.values()))), 400
    for _ in range(tried):
        spread = 0.004 * random.normal(size=5)
        then = {seed: mean - truth + noise for seed, noise in zip(now, spread, strict=True)}
        scores = {**read.scores, ("mnr", "mteb/STS12"): then}
        violated += of("mnr", against(plan, replace(read, scores=scores), FIGURE)).verdict == "violated"
    assert limits[0] <= violated / tried <= limits[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("", "no column"),
        ("a,b\n1,2\n", "no column id, outcome"),
        ("study,stage,roles,seed,id,outcome,mteb/STS12\n", "has no final run"),
        ("study,stage,roles,seed,id,outcome,mteb/STS12\nmnr,final,best,x,1,ok,.5\n", "line 2: seed 'x'"),
        (
            "study,stage,roles,seed,id,outcome,mteb/STS12\nmnr,final,best,1,1,ok,five\n",
            "mteb/STS12 'five' is not a number",
        ),
        ("study,stage,roles,seed,id,outcome,mteb/STS12\nmnr,final,best,1,1,ok,nan\n", "is not a number"),
    ],
)
def test_what_is_no_baseline_is_refused(content: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        read_baseline(path)


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study file, a finished store of it, and the scores.csv of its report."""
    from harness.spec.loading import load_study_file

    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.py").write_text(STUDY, encoding="utf-8")
    declared = load_study_file(tmp_path / "study.py")
    store = create(tmp_path / "runs" / "small-book", declared.name, declared.testbed.name)
    with store.locked():
        for record in synthetic.make_records(declared, {"softmax": 0.5, "mnr": 0.8}):
            store.write(record)
    assert main(["report", "study.py"]) == 0
    (tmp_path / "scores.csv").write_text(
        (tmp_path / "reports/small-book/scores.csv").read_text(encoding="utf-8"), encoding="utf-8"
    )
    return tmp_path


def lower(path: Path, by: float) -> None:
    """Raise mnr's baseline, so that today's scores are a regression."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        if line["study"] == "mnr":
            line[HEADLINE] = repr(float(line[HEADLINE]) + by)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def test_the_command_prints_both_and_its_exit_code_follows(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["check", "study.py", "--baseline", "scores.csv"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert any(line.startswith("VERDICT mnr beats softmax: WIN") for line in printed)
    start = printed.index("against scores.csv:")
    assert [line.split(" [")[0].rpartition(" ")[0] for line in printed[start + 1 :] if line.startswith("VERDICT")] == [
        f"VERDICT {name} not below the baseline: KEPT" for name in ("untrained", "softmax", "mnr")
    ]
    lower(stored / "scores.csv", 0.2)
    assert main(["check", "study.py", "--baseline", "scores.csv", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    (last,) = [v for v in document["baseline"] if v["better"] == "mnr"]
    assert (last["verdict"], last["kind"], last["figure"]) == ("violated", "baseline", HEADLINE)
    assert last["difference"] == pytest.approx(-0.2)
    assert document["verdicts"][0]["kind"] == "beats"
    assert document["unfinished"] == []
    assert main(["check", "study.py", "--baseline", "scores.csv", "--figures", "all"]) == 1
    assert "(mteb/SICK-R)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tolerance", "0.1"], "give --baseline"),
        (["--figures", "all"], "give --baseline"),
        (["--baseline", "scores.csv", "--tolerance", "0.5"], "0.5 points of a table are 0.005"),
        (["--baseline", "scores.csv", "--tolerance", "-0.1"], "at least 0"),
        (["--baseline", "scores.csv", "--figures", "mteb/None"], "not in the baseline, which has mteb/"),
        (["--baseline", "scores.csv", "--figures", ","], "no score is named"),
        (["--baseline", "nothing.csv"], "give a report's scores.csv"),
    ],
)
def test_what_the_options_cannot_mean_is_refused(
    arguments: list[str], words: str, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "study.py", *arguments]) == 2
    assert words in capsys.readouterr().err


def judged(name: str, judgement: str) -> Verdict:
    return Verdict(name, "b", "a", 0.0, judgement, f"because <{judgement}> & \x00so")  # type: ignore[arg-type]


def test_junit_has_the_common_shape_and_each_verdict_its_element() -> None:
    verdicts = [judged(f'{j} "claim"', j) for j in ("holds", "violated", "inconclusive", "incomplete")]
    plan = synthetic.make(ablation(beats("mnr", "softmax")))
    for strict, skipped in ((False, "skipped"), (True, "failure")):
        root = ElementTree.fromstring(junit_xml(plan, verdicts, strict).encode())
        (suite,) = root
        assert (root.tag, suite.tag) == ("testsuites", "testsuite")
        cases = suite.findall("testcase")
        assert len(cases) == len(suite) == 5
        assert [[child.tag for child in case] for case in cases] == [[], ["failure"], [skipped], ["error"], []]
        for case in cases:
            assert set(case.attrib) == {"name", "classname", "time"}
        for level in (root, suite):
            counts = [int(level.attrib[key]) for key in ("tests", "failures", "errors", "skipped")]
            assert counts == [5, 1 + strict, 1, 1 - strict]
        assert cases[1][0].attrib == {"message": "because <violated> & \\x00so", "type": "violated"}
        assert (cases[1][0].text or "").startswith('VERDICT violated "claim": REGRESSION\nviolated: violated "claim"')
    assert suite.attrib["name"] == "synthetic on book"


def test_junit_tells_runs_that_are_not_done() -> None:
    plan = synthetic.make(
        ablation(), change=lambda run, r: None if (run.study, run.stage, run.seed) == ("mnr", "final", 2) else r
    )
    last = ElementTree.fromstring(junit_xml(plan, judge(plan)).encode())[0][-1]
    assert (last.attrib["name"], last[0].tag) == ("every planned run is done", "error")
    assert (last[0].text or "").startswith("not done: mnr final run seed 2; the same `harness run`")


def test_the_command_writes_junit_beside_its_other_output(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lower(stored / "scores.csv", 0.2)
    capsys.readouterr()
    command = ["check", "study.py", "--baseline", "scores.csv", "--junit", "out/checks.xml", "--json"]
    assert main(command) == 2
    assert "--junit out/checks.xml: there is no folder out; create it" in capsys.readouterr().err
    (stored / "out").mkdir()
    assert main(command) == 1
    json.loads(capsys.readouterr().out)
    suite = ElementTree.parse(stored / "out" / "checks.xml").getroot()[0]
    assert [case.attrib["classname"] for case in suite] == ["small.beats", *["small.baseline"] * 3, "small.plan"]
    assert [case.attrib["name"] for case in suite if case.find("failure") is not None] == ["mnr not below the baseline"]
