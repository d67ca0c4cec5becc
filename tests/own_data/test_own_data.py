"""A study file with files, a model folder and measures of one's own, from beginning to end."""

from __future__ import annotations

import csv
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driven import driven
from sentence_transformers import SentenceTransformer
from torch import nn
from transformers.integrations.peft import MIN_PEFT_VERSION
from transformers.utils.peft_utils import check_peft_version

from harness import (
    Ablation,
    Budget,
    Point,
    Settings,
    Space,
    Study,
    Testbed,
    beats,
    choice,
    columns,
    keeps,
    log_uniform,
    losses,
    measures,
    sources,
)
from harness.api import audit, check, fetch, load, plan, report
from harness.cli.main import main
from harness.compat import UNPACKED
from harness.errors import AuditFailed, TestbedUnavailable
from harness.report.facts import without_paths
from harness.store.items import Values
from harness.store.records import Record
from harness.text import escape
from harness.verdicts.judge import judge

MNR = losses.MultipleNegativesRankingLoss
THINGS = ("boat", "dog", "guitar", "woman", "street", "child", "song", "picture", "man", "horse")
DOES = ("holds", "paints", "sees", "loves", "carries")


def texts(number: int, seed: int) -> list[tuple[str, str]]:
    """Return distinct questions, each with an answer that says more; other seeds have other questions and answers."""
    rng = random.Random(seed)
    pairs: dict[str, str] = {}
    while len(pairs) < number:
        a, b, c = (rng.choice(THINGS) for _ in range(3))
        does, also = rng.choice(DOES), rng.choice(DOES)
        pairs[f"größer {seed} : {b} {does} {c} {also}"] = f"in {seed} the {a} {does} the {b} and {also} a {c}"
    return list(pairs.items())


def write_beir(folder: Path, pairs: list[tuple[str, str]]) -> None:
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{n}", "title": "", "text": answer} for n, (_, answer) in enumerate(pairs)]
    queries = [{"_id": f"q{n}", "text": question} for n, (question, _) in enumerate(pairs)]
    for name, lines in (("corpus", corpus), ("queries", queries)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    rows = "".join(f"q{n}\td{n}\t1\n" for n in range(len(pairs)))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows, encoding="utf-8")


def write_pairs(path: Path, pairs: list[tuple[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer"])
        writer.writerows(pairs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, hub_root: Path, cache: Path) -> Path:
    """A practitioner's files: pairs, two retrieval sets, scored pairs and a model."""
    folder = tmp_path_factory.mktemp("own")
    write_pairs(folder / "pairs.csv", texts(64, 1))
    write_beir(folder / "dev", texts(24, 2))
    write_beir(folder / "test", texts(30, 3))
    scored = [(a, b, round(random.Random(n).random() * 5, 1)) for n, (a, b) in enumerate(texts(40, 4))]
    lines = "".join(f"{a}\t{b}\t{score}\n" for a, b, score in scored)
    (folder / "similar.tsv").write_text(lines, encoding="utf-8")
    shutil.copytree(hub_root / "models" / "google-bert" / "bert-base-uncased", folder / "model")
    return folder


def declared(folder: Path, **changes: Any) -> Ablation:
    similar = sources.file(str(folder / "similar.tsv"), names=["one", "other", "score"])
    bed = Testbed(
        name="own",
        model=str(folder / "model"),
        source=sources.file(str(folder / "pairs.csv")),
        dev=measures.retrieval(str(folder / "dev"), "own-dev"),
        test=measures.retrieval(str(folder / "test"), "own-test"),
        also=[measures.sts(similar, "similar", columns=("one", "other", "score"), range=(0, 5))],
    )
    fields: dict[str, Any] = {
        "name": "own",
        "testbed": bed,
        "studies": [Study("mnr", loss=MNR, view=columns("question", "answer"))],
        "space": Space(batch_size=choice(8, 16), lr=log_uniform(1e-4, 1e-2)),
        "budget": Budget(trials=1, seeds=2, epochs=4),
        "default": Point(batch_size=8, lr=3e-3),
        "expect": [beats("mnr", "untrained"), keeps("mnr", "untrained", figure="similar/spearman_cosine", within=0.5)],
        "precision": "fp32",
    }
    return Ablation(**{**fields, **changes})


@pytest.fixture(scope="module")
def store(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store") / "runs"
    driven(declared(folder), store)
    return store


def finals(store: Path) -> list[Record]:
    return [record for record in load(store).records() if record.stage == "final"]


def test_records_name_their_scores_and_keep_a_value_for_each_query(store: Path) -> None:
    for record in load(store).records():
        assert (record.objective, record.headline) == ("own-dev/ndcg@10", "own-test/ndcg@10")
        assert record.outcome == "ok"
        if record.stage == "tune":
            assert {name.partition("/")[0] for name in record.scores} == {"own-dev"}
            assert not record.items
        else:
            items = record.items["own-test"]
            assert isinstance(items, Values)
            assert len(items.ids) == 30
            assert np.mean(items.by_figure["ndcg@10"]) == pytest.approx(record.scores["own-test/ndcg@10"], abs=1e-6)
            assert {"own-dev/mrr@10", "own-test/recall@10", "similar/pearson_cosine"} <= record.scores.keys()


def test_the_report_speaks_of_queries_and_of_what_is_forgotten(folder: Path, store: Path, tmp_path: Path) -> None:
    page = report(declared(folder), store, tmp_path / "report").read_text(encoding="utf-8")
    assert "own-test nDCG@10" in page
    assert "Which queries decide" in page
    assert "![Points gained" in page
    assert "test pairs" not in page
    assert "STSB" not in page


def test_swapped_scores_turn_the_verdict(folder: Path, store: Path) -> None:
    """With the values of the untrained model and the trained ones exchanged, the claim must not keep its verdict."""
    made = plan(declared(folder), store)
    before = judge(made)[0].difference
    untrained = next(run.record for run in made.runs if run.stage == "untrained")
    trained = next(run.record for run in made.runs if run.stage == "final")
    assert untrained is not None
    assert trained is not None

    def swapped(record: Record | None) -> Record | None:
        if record is None or record.stage == "tune":
            return record
        other = trained if record.stage == "untrained" else untrained
        return replace(record, scores=other.scores, items=other.items)

    turned = replace(made, runs=tuple(replace(run, record=swapped(run.record)) for run in made.runs))
    after = judge(turned)[0].difference
    assert after == pytest.approx(untrained.scores["own-test/ndcg@10"] - trained.scores["own-test/ndcg@10"])
    assert before is not None
    assert after is not None
    assert before * after < 0


def test_leaked_test_questions_are_refused_before_anything_is_trained(folder: Path, tmp_path: Path) -> None:
    write_pairs(tmp_path / "leaking.csv", [*texts(64, 1), *texts(30, 3)[:5]])
    bed = replace(declared(folder).testbed, source=sources.file(str(tmp_path / "leaking.csv")))
    leaking = declared(folder, testbed=bed)
    found = audit(leaking, tmp_path / "store").of("error")
    assert [(finding.what, finding.count) for finding in found] == [("pairs of own-test in the training rows", 5)]
    with pytest.raises(AuditFailed, match="5 of 30 pairs of own-test"):
        driven(leaking, tmp_path / "store")
    assert not load(tmp_path / "store").records()


def test_other_rows_make_other_runs_and_a_changed_measure_is_scored_again(
    folder: Path, store: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "runs"
    shutil.copytree(store, copied)
    before = {record.id for record in load(copied).records()}
    own = tmp_path / "files"
    shutil.copytree(folder, own)
    driven(declared(own), copied)
    assert {record.id for record in load(copied).records()} == before  # the folder's name says nothing of its content

    changed = (own / "similar.tsv").read_text(encoding="utf-8").splitlines()
    (own / "similar.tsv").write_text("\n".join(changed[:30]) + "\n", encoding="utf-8")
    old = {record.id: record.scores for record in finals(copied)}
    driven(declared(own), copied)
    for record in finals(copied):
        assert record.scores["own-test/ndcg@10"] == old[record.id]["own-test/ndcg@10"]
        assert record.scores["similar/spearman_cosine"] != old[record.id]["similar/spearman_cosine"]

    write_pairs(own / "pairs.csv", texts(65, 1))
    driven(declared(own), copied)
    trained = {record.id for record in load(copied).records() if record.stage != "untrained"}
    assert len(trained - before) == len(trained & before)


def test_plan_says_which_files_were_edited_since_the_runs(
    folder: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study.py"
    study.write_text(
        f"from pathlib import Path\nfrom test_own_data import declared\nablation = declared(Path({str(folder)!r}))\n",
        encoding="utf-8",
    )

    def told(*command: str) -> str:
        assert main([*command, "--store", str(store)]) == 0
        return capsys.readouterr().out

    def edited(file: Path) -> str:
        before = file.read_bytes()
        file.write_bytes(before.replace(b"the", b"a"))
        said = told("plan", str(study))
        file.write_bytes(before)
        return said

    said = "has other content than at the last `harness run`"
    assert said not in told("plan", str(study))
    for file, part in (
        (folder / "test" / "corpus.jsonl", "measure own-test"),
        (folder / "model" / "vocab.txt", "model"),
    ):
        assert f"{part} {said}" in edited(file)
    assert said not in told("plan", str(study))  # written, and the same
    pairs = folder / "pairs.csv"
    before = pairs.read_bytes()
    pairs.write_bytes(before.replace(b"the", b"a"))
    (changed,) = json.loads(told("plan", str(study), "--json"))["changed_data"]
    assert "pairs.csv has other content" in changed
    assert f"{changed} than at" in told("run", str(study), "--dry-run")
    main(["check", str(study), "--store", str(store)])
    main(["report", str(study), "--store", str(store), "--format", "comment"])
    comment, notes = capsys.readouterr()
    assert f"note: {changed} than at" in notes
    assert f"\n\n> **Changed data.** {escape(without_paths(changed))} than at" in comment
    report, junit = tmp_path / "report", tmp_path / "junit.xml"
    main(["check", str(study), "--store", str(store), "--junit", str(junit)])
    assert f"note: {changed} than at" in capsys.readouterr().out
    assert "the data are those of the last run" in junit.read_text(encoding="utf-8")
    main(["report", str(study), "--store", str(store), "--report", str(report)])
    for name, words in (("README.md", "**Changed data.**"), ("report.html", "<strong>Changed data.</strong>")):
        assert f"{words} {escape(without_paths(changed))} than at" in (report / name).read_text(encoding="utf-8")
    verified = ["verify", str(report), "--study", str(study), "--store", str(store)]
    assert main(verified) == 0
    pairs.write_bytes(before)
    assert main(verified) == 0  # what the page says was true when it was written
    (report / "report.html").unlink()
    page = (report / "README.md").read_text(encoding="utf-8")
    (report / "README.md").write_text(page.replace("**Changed data.** ", "**Changed data.** All is well. "))
    assert main(verified) == 1
    pairs.unlink()
    assert "done" in told("plan", str(study))  # the next run says what is missing
    pairs.write_bytes(before)


def test_a_file_that_is_missing_is_not_looked_for_in_the_hub(folder: Path, tmp_path: Path) -> None:
    own = shutil.copytree(folder, tmp_path / "own")
    (own / "pairs.csv").unlink()
    with pytest.raises(TestbedUnavailable, match=r"pairs\.csv.*change its path in the study file") as told:
        fetch(declared(own))
    assert "harness fetch" not in str(told.value)


def test_further_settings_change_the_run_and_its_id(folder: Path, tmp_path: Path) -> None:
    plain = declared(folder).studies[0]
    others = {
        "plain": plain,
        "no duplicates": replace(plain, sampler="no_duplicates"),
        "prompted": replace(plain, prompts={"question": "query: "}),
        "frozen": replace(plain, frozen=[f"0.{'auto_' if UNPACKED else ''}model.embeddings"]),
        "short": replace(plain, settings=Settings(max_seq_length=8)),
        "decay": replace(plain, options={"weight_decay": choice(0.5)}),
    }
    studies = [replace(study, name=name) for name, study in others.items()]
    ablation = declared(
        folder, studies=studies, budget=Budget(trials=1, seeds=1, epochs=2, checkpoint="best"), expect=[]
    )
    driven(ablation, tmp_path / "store")
    records = finals(tmp_path / "store")
    assert {record.study: record.outcome for record in records} == dict.fromkeys(others, "ok")
    scores = {record.study: record.scores["own-test/ndcg@10"] for record in records}
    assert scores["short"] != scores["plain"]
    for record in records:
        best = max(score for _, score in record.curve[:-1])
        assert record.scores["own-dev/ndcg@10"] >= best - 1e-6  # the best of ten models was kept
    made = plan(ablation, tmp_path / "store")
    assert all(run.state == "done" for run in made.runs)
    assert check(ablation, tmp_path / "store") == []


def test_adapters_are_trained_alone_and_enter_the_id(folder: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    try:
        check_peft_version(MIN_PEFT_VERSION)
    except ValueError as problem:
        pytest.skip(f"transformers refuses this peft: {problem}")
    plain = declared(folder).studies[0]
    lora = {rank: peft.LoraConfig(r=rank, target_modules=["query", "value"]) for rank in (2, 4)}
    studies = [replace(plain, name=f"rank {rank}", adapters=config) for rank, config in lora.items()]
    ablation = declared(folder, studies=[plain, *studies], budget=Budget(trials=1, seeds=1, epochs=2), expect=[])
    driven(ablation, tmp_path / "store", keep_models="best")
    records = finals(tmp_path / "store")
    assert {record.study: record.outcome for record in records} == dict.fromkeys(("mnr", "rank 2", "rank 4"), "ok")
    assert len({record.scores["own-test/mrr@10"] for record in records}) == 3
    for record in records:
        saved = tmp_path / "store" / "models" / record.study / record.id
        assert (saved / "adapter_model.safetensors").is_file() == (record.study != "mnr")
    unfit = declared(folder, studies=[replace(plain, adapters=peft.LoraConfig(target_modules=["nothing"]))], expect=[])
    with pytest.raises(AuditFailed, match="the base model cannot take them"):
        driven(unfit, tmp_path / "unfit")
    absent = declared(folder, studies=[replace(plain, frozen=["0.model.embedding"])], expect=[])
    with pytest.raises(AuditFailed, match=r"frozen='0.model.embedding': no parameter .* begins so; the first is"):
        driven(absent, tmp_path / "unfit")


def test_two_files_of_one_name_are_not_taken_for_each_other(folder: Path, tmp_path: Path) -> None:
    parts = []
    for number in (1, 2):
        (tmp_path / f"{number}").mkdir()
        write_pairs(tmp_path / f"{number}" / "pairs.csv", texts(40, number))
        parts.append(replace(sources.file("pairs.csv"), beside=str(tmp_path / f"{number}")))
    plain = declared(folder).studies[0]
    studies = [replace(plain, name=f"study {number}", source=part) for number, part in enumerate(parts)]
    with pytest.raises(AuditFailed, match=r"pairs.csv: two folders have a file or model of this name"):
        driven(declared(folder, studies=studies, expect=[]), tmp_path / "store")


def test_a_file_that_changes_while_its_runs_are_made_fails_them(folder: Path, tmp_path: Path) -> None:
    """All in one process: what it has read and hashed before must not hide the change."""
    own = tmp_path / "files"
    shutil.copytree(folder, own)
    changed: list[bool] = []

    def changing(model: SentenceTransformer) -> nn.Module:
        if changed:  # the first call is the audit's, the second the trial's
            write_pairs(own / "pairs.csv", texts(50, 9))
        changed.append(True)
        return MNR(model)

    study = replace(declared(own).studies[0], loss=changing)
    driven(declared(own, studies=[study], expect=[]), tmp_path / "store")
    errors = [record.error for record in finals(tmp_path / "store")]
    assert errors
    assert all(error is not None and "is not what the run was planned with" in error for error in errors)
