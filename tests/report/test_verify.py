"""A report that checks itself: all committed reports agree with their records, and no changed number passes."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import synthetic
from test_ranks import lucky

from harness.cli.main import main
from harness.errors import UsageError
from harness.planning.plan import Plan, PlannedRun
from harness.planning.planner import make_plan
from harness.report import write_report
from harness.report.data import records_json, scores_csv
from harness.report.facts import gather
from harness.report.markdown import page
from harness.report.verification.verify import verify
from harness.spec import losses
from harness.spec.expectations import Expectation, at_least, beats, in_order, keeps, within
from harness.store.folder import Store, create
from harness.store.records import Record

REPORTS = [path.parent for path in sorted((Path(__file__).parents[2] / "reports").glob("*/scores.csv"))]


OLDER = {
    "all_losses-standin",
    "book-embedded",
    "data_size-embedded",
    "data_views-embedded",
    "label_noise-embedded",
    "loss_zoo-standin",
    "pooling-embedded",
}
"""Reports of earlier versions, whose stores are gone; a report that is written again leaves this list."""


@pytest.mark.parametrize("folder", REPORTS, ids=lambda folder: folder.name)
def test_every_committed_report_agrees_with_its_records(folder: Path) -> None:
    if folder.name in OLDER:
        with pytest.raises(UsageError, match="an older version of the harness wrote it"):
            verify(folder)
        return
    found = verify(folder)
    assert found.problem is None
    assert found.checked > 50


def written(plan: Plan, folder: Path) -> Path:
    write_report(plan, folder, "harness run x.py")
    return folder


def kept(plan: Plan, folder: Path) -> Store:
    """Return a store with the records of a plan."""
    store = create(folder, plan.ablation.name, plan.ablation.testbed.name)
    for record in {run.record.id: run.record for run in plan.runs if run.record is not None}.values():
        store.write(record)
    return store


def without_html(folder: Path) -> Path:
    """Remove a report's report.html, of which each change of the README alone would differ."""
    (folder / "report.html").unlink()
    return folder


def half_done() -> Plan:
    ablation = synthetic.make_ablation(expect=[])
    return make_plan(ablation, [r for r in synthetic.make_records(ablation) if r.stage != "final" or r.seed < 3])


def failing() -> Plan:
    """Return a plan with trials and final runs of every outcome."""
    outcomes = {1: "diverged", 2: "infeasible", 3: "failed"}

    def change(run: PlannedRun, record: Record) -> Record:
        if run.study == "mnr" and run.trial in outcomes:
            return replace(record, outcome=outcomes[run.trial], scores={}, error="ValueError: x")  # type: ignore[arg-type]
        if run.study == "cosine" and run.stage == "final" and run.seed == 1:
            return replace(record, outcome="failed", scores={}, items={}, error="ValueError: x")
        return record

    return synthetic.make(change=change)


def claims_of_every_kind() -> Plan:
    """Return a plan with a claim of each kind and outcome, and studies that share their seeds."""
    claims: list[Expectation] = [
        *(in_order("softmax", "cosine", "mnr"), beats("mnr+hard", "mnr", at="default")),
        *(beats("mnr+hard", "untrained", by=0.01), beats("softmax", "mnr+hard"), beats("mnr+hard", "mnr", by=0.5)),
        *(beats("mnr", "mnr+hard", by=-0.01), keeps("mnr", "untrained", within=0.05, figure="mteb/SICK-R")),
        *(within("mnr", 0.76, 0.05), within("mnr", 0.5, 0.01), within("mnr", 0.76, 0.001)),
        *(at_least("mnr", 0.5), at_least("mnr", 0.99), at_least("mnr", 0.756), at_least("untrained", 0.1)),
        *(beats("softer", "softmax"), beats("softmax", "softer"), in_order("softer", "softmax", at="default")),
    ]
    made = synthetic.make_ablation(expect=[], seeds=4)
    softmax = made.studies[0]
    softer = replace(softmax, name="softer", loss=partial(losses.softmax, scale=0.5))
    return synthetic.make(replace(made, studies=(*made.studies, softer), expect=tuple(claims)), quality={"softer": 0.6})


def several_tunings() -> Plan:
    made = synthetic.make_ablation(("softmax", "mnr", "cosine"), seeds=2, trials=3, expect=[])
    claims = (beats("mnr", "softmax", at="tuned"), beats("mnr", "cosine", at="default"))
    return synthetic.make(replace(made, expect=claims, budget=replace(made.budget, tunings=3)))


def repeated() -> Plan:
    """Return a plan in which further seeds choose between the best trials, of which one diverges once."""
    made = synthetic.make_ablation(("softmax", "mnr", "cosine"), seeds=2, trials=5, expect=[])

    def change(run: PlannedRun, record: Record) -> Record:
        lost = (run.study, run.stage, run.seed) == ("cosine", "repeat", 999)
        return replace(record, outcome="diverged", scores={}, items={}, error="NaN") if lost else record

    budget = replace(made.budget, tunings=2, repeats=2)
    return synthetic.make(replace(made, expect=(beats("mnr", "softmax"),), budget=budget), change=change)


def swept() -> Plan:
    made = synthetic.make_ablation(("mnr",), expect=[])
    (mnr,) = made.studies
    return synthetic.make(replace(made, studies=(*mnr.sweep(rows=[100, 900]), mnr, *mnr.sweep(scale=[0.05, 20]))))


def without_predictions() -> Plan:
    """Return a plan in which one final run cannot be compared, because its predictions are missing."""

    def change(run: PlannedRun, record: Record) -> Record:
        return replace(record, items={}) if (run.study, run.stage, run.seed) == ("mnr", "final", 2) else record

    return synthetic.make(change=change)


def seventeen() -> Plan:
    return synthetic.make(synthetic.make_ablation([f"study {n}, <b> _{n}_ `" for n in range(17)], expect=[], trials=2))


PLANS: dict[str, Callable[[], Plan]] = {
    "claims of every kind": claims_of_every_kind,
    "several tunings": several_tunings,
    "repeated trials": repeated,
    "a sweep": swept,
    "a run without predictions": without_predictions,
    "a lost seed": lucky,
    "ties": lambda: lucky(None),
    "half done": half_done,
    "failures of every kind": failing,
    "one study": lambda: synthetic.make(synthetic.make_ablation(["mnr"], expect=[], seeds=1, trials=1)),
    "seventeen studies": seventeen,
    "nothing done": lambda: make_plan(synthetic.make_ablation(), []),
}


@pytest.mark.parametrize("case", PLANS)
def test_reports_of_any_shape_agree_with_their_records(case: str, tmp_path: Path) -> None:
    plan = PLANS[case]()
    folder = written(plan, tmp_path / "report")
    found = verify(folder)
    assert found.problem is None
    assert found.checked > 20
    with_predictions = verify(folder, kept(plan, tmp_path / "store"))
    assert with_predictions.problem is None
    assert with_predictions.checked >= found.checked


def at_random(number: int) -> Plan:
    """Return a plan of a random shape, in which runs are missing, fail, or cannot be compared at random."""
    chosen = random.Random(number)
    names = ["softmax", "cosine", "mnr", "mnr+hard", "a * _b_", "seeds 1 and 2", "x, 95 % [1.0, 2.0]", "[b] 3.14"]
    names = chosen.sample(names, chosen.randint(2, 5))
    made = synthetic.make_ablation(names, expect=[], seeds=chosen.randint(1, 4), trials=chosen.randint(1, 4))
    twin = replace(made.studies[0], name=f"{names[0]} twin")
    claims = (
        beats(names[0], names[1]),
        in_order(*names, at="default"),
        beats(twin.name, names[0]),
        within(names[0], 0.7, 0.05),
    )
    budget = replace(made.budget, tunings=chosen.choice([1, 1, 2, 3]), repeats=chosen.choice([0, 0, 1, 2]))
    rate = chosen.choice([0, 0.05, 0.2])

    def change(run: PlannedRun, record: Record) -> Record | None:
        of_run = random.Random(f"{number} {run.study} {run.stage} {run.seed} {run.trial}")
        if of_run.random() >= rate:
            return record
        outcome = of_run.choice(["diverged", "failed", "infeasible", "missing", "no predictions", "no task"])
        if outcome == "missing":
            return None
        if outcome == "no predictions":
            return replace(record, items={})
        if outcome == "no task":
            return replace(record, scores={name: s for name, s in record.scores.items() if name != "mteb/STS12"})
        return replace(record, outcome=outcome, scores={}, items={}, error="ValueError: 3.5 x")  # type: ignore[arg-type]

    ablation = replace(made, studies=(*made.studies, twin), expect=claims, budget=budget)
    return synthetic.make(
        ablation, quality={name: chosen.choice([0.6, 0.6, 0.7, 0.8]) for name in names}, change=change
    )


@pytest.mark.parametrize("number", range(20))
def test_reports_of_random_shapes_agree_with_their_records(number: int, tmp_path: Path) -> None:
    """Ran once with 400 numbers."""
    plan = at_random(number)
    facts = gather(plan)
    for name, content in (
        ("README.md", page(facts, (), "harness run x.py")),
        ("scores.csv", scores_csv(facts)),
        ("records.json", records_json(facts)),
    ):
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert verify(tmp_path, kept(plan, tmp_path / "store") if number % 2 else None).problem is None


def test_final_runs_at_another_point_than_the_repeats_give_are_found(tmp_path: Path) -> None:
    """Further seeds that speak for another point, or a point that was trained although the trials speak for another."""
    folder = written(repeated(), tmp_path)
    file = folder / "records.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    again = [r for r in document["records"] if (r["study"], r["stage"]) == ("mnr", "repeat") and r["seed"] < 1000]
    plan_point = next(run.point for run in repeated().of("mnr", "final", "best") if run.point is not None)
    best = json.dumps(plan_point.as_dict(), sort_keys=True)
    for record in again:
        record["scores"][record["objective"]] = 0.1 if json.dumps(record["point"], sort_keys=True) == best else 0.9
    file.write_text(json.dumps(document), encoding="utf-8")
    assert "point" in str(verify(folder).problem)


def test_the_table_of_choices_can_be_neither_edited_nor_removed(tmp_path: Path) -> None:
    folder = without_html(written(repeated(), tmp_path))
    page = (folder / "README.md").read_text(encoding="utf-8")
    heading = "How the best point was chosen"
    start = page.index(heading)
    for old, new in (("| batch ", "| batch 9"), (", lr ", ", lr 9"), ("| yes |", "| no |"), ("3 runs", "2 runs")):
        (folder / "README.md").write_text(page[:start] + page[start:].replace(old, new, 1), encoding="utf-8")
        assert verify(folder).problem is not None, old
    end = page.index("\n\n", page.index("| --- |", start))
    (folder / "README.md").write_text(page[:start] + page[end:], encoding="utf-8")
    assert "does not say how its best point was chosen" in str(verify(folder).problem)


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a plan with a study that lost a seed."""
    return without_html(written(lucky(), tmp_path_factory.mktemp("lost")))


@pytest.fixture(scope="module")
def claimed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a plan with claims of every kind."""
    return without_html(written(claims_of_every_kind(), tmp_path_factory.mktemp("claims")))


def mutated(folder: Path, pattern: str, instead: str) -> str | None:
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8")
    changed = re.sub(pattern, instead, text, count=1, flags=re.M)
    assert changed != text, pattern
    readme.write_text(changed, encoding="utf-8")
    try:
        return verify(folder).problem
    finally:
        readme.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (r"diverges once ‡ \| – \| 75", r"diverges once | – | 75"),  # in the result table
        (r"^(\| diverges once) ‡", r"\1"),
        (r"(\| diverges once .*)<br>2 of 3 seeds", r"\1"),
        (r"2 of 3, 1 diverged", "3"),
        (r"^(\| diverges once ‡ \|) –", r"\1 1"),
        (r"diverges once has no rank: [^.]*\.", ""),
        (r"Highest mean: mnr with", "Highest mean: diverges once with"),
        (r"Its lead over the next, cosine, is 3\.1", "Its lead over the next, cosine, is 3.2"),
        (r"it is not shown that mnr is better than cosine", "each other study is shown to be lower"),
        (r"^(\| \*\*mnr\*\* \| )1( .*\n\| cosine \| )2", r"\g<1>2\g<2>1"),
        (r"^(\| mnr \| )1( \| 1 .*\n\| cosine \| )2", r"\g<1>2\g<2>1"),
        (r"<br>diverges once: seeds 1 and 3; 2 diverged, counted as 0", ""),
        (r"seeds 1 and 3; 2 diverged", "seeds 1 and 2; 3 diverged"),
        (r"^\| cosine \| 2 .*\n", ""),
    ],
)
def test_a_lost_seed_s_mark_cannot_be_dropped_and_ranks_cannot_be_swapped(
    pattern: str, instead: str, lost: Path
) -> None:
    assert mutated(lost, pattern, instead) is not None


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (r"\*\*WIN\*\*", "**UNDECIDED**"),
        (r"\*\*REGRESSION\*\*", "**WIN**"),
        (r"\*\*KEPT\*\*", "**REACHED**"),
        (r"\*\*AGREES\*\*", "**DISAGREES**"),
        (r"\*\*DISAGREES\*\*", "**BELOW**"),
        (r"\*\*UNDECIDED\*\*", "**NO DIFFERENCE**"),
        (r"\*\*holds\*\*", "**inconclusive**"),
        (r"\*\*violated\*\*", "**holds**"),
        (r"^\*\*Not as expected: of 18", "**As expected: of 18"),
        (r"violated, (\d) undecided", r"violated, 1\1 undecided"),
        (r"^(\| softmax \\< cosine \| \*\*UNDECIDED.*\n)", r"\1\1"),
    ],
)
def test_the_outcome_of_a_claim_cannot_be_changed(pattern: str, instead: str, claimed: Path) -> None:
    assert mutated(claimed, pattern, instead) is not None


def test_a_claim_of_no_known_kind_does_not_pass_unchecked(claimed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(claimed, tmp_path / "report")
    readme = folder / "README.md"
    page = readme.read_text(encoding="utf-8")
    readme.write_text(page.replace("| softmax beats mnr+hard |", "| softmax surely beats mnr+hard |"), encoding="utf-8")
    assert "'softmax surely beats mnr+hard' is no claim" in str(verify(folder).problem)


def test_studies_that_share_their_seeds_are_compared_seed_by_seed(claimed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(claimed, tmp_path / "report")
    records = folder / "records.json"
    text = records.read_text(encoding="utf-8")
    assert '"seeds_shared": [["softmax", "softer"]]' in text
    records.write_text(text.replace('[["softmax", "softer"]]', "[]"), encoding="utf-8")
    assert "softer" in (verify(folder).problem or "")


NEED_PREDICTIONS = {
    ("synthetic on testbed book", "to the best"),
    ("Scores", "Spearman minus the row above"),
    ("Why they differ", "separation"),
    ("Checks", "over test items"),
    ("Checks", "smallest detectable"),
    ("Checks", "probability over test items"),
    ("Checks", "probability over seeds"),
}
"""Columns with numbers that need predictions, or the simulation of an order as a whole."""
NOT_NUMBERS = {("Checks", "reason")}
"""Columns with sentences."""


def test_only_numbers_that_need_predictions_can_be_changed(claimed: Path) -> None:
    """Each number with decimals of each table is changed in its last digit, one after the other."""
    readme = claimed / "README.md"
    text = readme.read_text(encoding="utf-8")
    passed: set[tuple[str, str]] = set()
    tried = 0
    for table in re.finditer(r"^\|.*(?:\n\|.*)*", text.partition("## Audit")[0], re.M):
        section = re.findall(r"^#+ (.*)$", text[: table.start()], re.M)[-1]
        header = re.split(r"(?<!\\)\|", table.group().partition("\n")[0])
        for number in re.finditer(r"\d\.\d\d?(?!\d)", table.group()):
            column = len(re.findall(r"(?<!\\)\|", table.group()[: number.start()].rpartition("\n")[2]))
            last = table.start() + number.end() - 1
            readme.write_text(f"{text[:last]}{'1' if text[last] != '1' else '3'}{text[last + 1 :]}", encoding="utf-8")
            tried += 1
            if verify(claimed).problem is None:
                passed.add((section, header[column].partition("<br>")[0].strip()))
    readme.write_text(text, encoding="utf-8")
    assert tried > 450
    assert passed == NEED_PREDICTIONS | NOT_NUMBERS


OTHER_RECORDS: list[tuple[str, object, str]] = [
    ("seed", 7, "seed is 2 in scores.csv, 7 in records.json"),
    ("stage", "repeat", "stage is final in scores.csv, repeat in records.json"),
    ("point", {"batch_size": 32, "lr": 0.5}, "lr is 5e-05 in scores.csv, 0.5 in records.json"),
    ("point", {"batch_size": 32, "lr": 5e-05, "scale": 2}, "scale is empty in scores.csv, 2 in records.json"),
    ("scores", 0.123, "in scores.csv, 0.123 in records.json"),
    ("scores", {}, "in scores.csv, missing in records.json"),
    ("study", "mnr", "study is cosine in scores.csv, mnr in records.json"),
    ("outcome", "diverged", "outcome is ok in scores.csv, diverged in records.json"),
    ("id", "feedface", "is not in records.json"),
]


@pytest.mark.parametrize(("field", "value", "said"), OTHER_RECORDS)
def test_a_record_that_is_not_the_line_of_its_run_is_named(
    field: str, value: object, said: str, lost: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(lost, tmp_path / "report")
    file = folder / "records.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    (record,) = (r for r in document["records"] if r["id"] == of_default_point(folder, "cosine"))
    record[field] = dict.fromkeys(record["scores"], value) if isinstance(value, float) else value
    file.write_text(json.dumps(document), encoding="utf-8")
    problem = str(verify(folder).problem)
    assert said in problem
    assert str(record["id"]) in problem or field == "id"


def of_default_point(folder: Path, study: str) -> str:
    lines = csv.DictReader((folder / "scores.csv").read_text(encoding="utf-8").splitlines())
    return next(line["id"] for line in lines if (line["study"], line["seed"]) == (study, "2") if "def" in line["roles"])


def test_a_record_without_a_line_in_scores_csv_is_named(lost: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(lost, tmp_path / "report")
    file = folder / "records.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    (record,) = (r for r in document["records"] if r["id"] == of_default_point(folder, "cosine"))
    document["records"].append({**record, "id": "another", "train_seconds": 0.0, "eval_seconds": 0.0})
    file.write_text(json.dumps(document), encoding="utf-8")
    assert "run another (cosine, final, seed 2) is not in scores.csv" in str(verify(folder).problem)


def test_report_html_must_be_the_page_of_the_readme(tmp_path: Path) -> None:
    folder = written(lucky(), tmp_path)
    html = folder / "report.html"
    page = html.read_text(encoding="utf-8")
    assert verify(folder).problem is None
    for old, new in (
        ("Highest mean: mnr", "Highest mean: cosine"),
        ("<main>", "<h1>Another</h1><p>6 of 6 claims holding.</p><div hidden><main>"),
        ("<title>", "<title>6 of 6 claims: "),
        ("<style>", "<style>table { display: none }"),
        ("</main>", "</main><p>And all is well.</p>"),
        ("<!DOCTYPE html>", "<!-- All is well. --><!DOCTYPE html>"),
        ("</html>\n", "</html>"),
    ):
        assert page.count(old) >= 1
        html.write_text(page.replace(old, new), encoding="utf-8")
        assert "report.html is not the page of README.md" in str(verify(folder).problem), new
    html.unlink()
    assert verify(folder).problem is None  # as in a repository, which has only what can be read there


def test_the_sentence_on_the_budget_must_be_that_of_the_runs(tmp_path: Path) -> None:
    def change(run: PlannedRun, record: Record) -> Record:
        trained = {"epochs": 1.0, "examples": None}
        return replace(record, provenance={**record.provenance, "trained": trained})

    folder = without_html(written(synthetic.make(change=change), tmp_path))
    assert verify(folder).problem is None
    for old, new in (
        (r"budget: \d+ trials", "budget: 16 trials"),
        (r"of 1 epoch,", "of 2 epochs,"),
        (r"of 1 epoch,", "of 1 examples,"),
        (r"then \d+ final", "then 9 final"),
        (r"has the same budget", "has a budget"),
    ):
        assert "budget" in str(mutated(folder, old, new)), new
    assert "trials" in str(mutated(folder, r"^(\| softmax \| )\d+( \| \d+ \| – \|)", r"\g<1>16\2"))


def test_each_code_of_verify_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = written(lucky(), tmp_path / "report")
    assert main(["verify", "report"]) == 0
    assert capsys.readouterr().out.startswith("agrees: report: ")
    assert main(["verify", "no-such-report"]) == 2
    assert main(["verify", "no-such-report", "report"]) == 2
    said = capsys.readouterr()
    assert said.out.startswith("agrees: report: ")
    assert said.err.count("error: no-such-report: ") == 2
    store = kept(lucky(), tmp_path / "store")
    assert main(["verify", "report", "--store", "store"]) == 0
    record = next((store.folder / "records").rglob("*.json*"))
    record.write_text("{", encoding="utf-8")
    assert main(["verify", "report", "--store", "store"]) == 3
    readme = folder / "README.md"
    readme.write_text(readme.read_text(encoding="utf-8").replace("Highest mean: mnr", "Highest mean: cosine"), "utf-8")
    capsys.readouterr()
    assert main(["verify", "report"]) == 1
    assert capsys.readouterr().out.startswith("disagrees: report: first screen: answer")
    assert main(["verify", "no-such-report", "report"]) == 1  # the worst: a number may be wrong
