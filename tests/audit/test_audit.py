"""The audit: what is planted in the data is found, what is found stops a run or is told, and nothing is audited twice."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import synthetic
from audited import MNR, examined, make, plant, revision_of
from commandline import harness
from hub import nli_rows, sts_pairs
from rich.console import Console
from torch import Tensor, nn

from harness import Budget, Part, Space, Study, api, choice, log_uniform, measures, sources, testbeds
from harness.audit import cache as kept
from harness.audit import outcome
from harness.audit.examine import in_batch
from harness.data.checks import MANY_FALSE_NEGATIVES, false_negatives, of_dropped, of_view
from harness.data.clean import clean
from harness.data.findings import Audit, Finding, Overlap, by_severity
from harness.data.overlap import DEV_SET, MUCH_SHARED, ROWS, of_overlap, overlap
from harness.engine.options import Options
from harness.errors import AuditFailed, StoreError
from harness.reading import materials
from harness.report import write_report
from harness.report.facts import gather
from harness.report.threats import threats
from harness.spec import losses
from harness.spec.views import VIEWS
from harness.stats.intervals import spearman
from harness.testbeds.sources import Source
from harness.texts.near import near_duplicates
from harness.texts.normal import normalise, pair_key, pair_keys


def triplets(*changes: tuple[int, dict[str, str]]) -> pd.DataFrame:
    """Return forty clean triplets, some rows changed."""
    rows = pd.DataFrame([(f"anchor {i} a", f"positive {i} p", f"negative {i} n") for i in range(40)])
    rows.columns = ["anchor", "positive", "negative"]
    for row, values in changes:
        for column, text in values.items():
            rows.loc[row, column] = text
    return rows


def told(findings: list[Finding]) -> dict[str, tuple[str, float, float]]:
    return {finding.what: (finding.severity, finding.count, finding.of) for finding in findings}


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def looked_through(view: str, rows: pd.DataFrame, studies: list[str], most_words: int) -> list[Finding]:
    """Audit rows as `examine` does: those that cannot train are left out first, whatever their share."""
    left, dropped = clean(VIEWS[view], rows)
    told_of_dropped = of_dropped(VIEWS[view], dropped, len(rows), studies, 1.0)
    return [*told_of_dropped, *of_view(VIEWS[view], left, studies, most_words, words)]


def test_clean_rows_have_no_finding_and_empty_ones_a_warning() -> None:
    assert of_view(VIEWS["triplet"], triplets(), ["mnr"], 64, words) == []
    nothing = of_view(VIEWS["triplet"], triplets().head(0), ["mnr"], 64, words, [8])
    assert told(nothing) == {"no rows": ("warning", 0, 0)}


PLANTED: dict[str, tuple[list[tuple[int, dict[str, str]]], str, str, int, int]] = {
    "negative is positive": (
        [(3, {"negative": "POSITIVE, 3 p!"}), (7, {"negative": "positive 7 p"})],
        "rows left out",
        "warning",
        2,
        40,
    ),
    "negative is anchor": ([(3, {"negative": "Anchor 3 -- a."})], "negative equal to anchor", "warning", 1, 40),
    "anchor is positive": ([(5, {"positive": "anchor 5 a "})], "anchor equal to positive", "warning", 1, 40),
    "empty": ([(0, {"anchor": ""}), (9, {"negative": " \t"})], "rows left out", "warning", 2, 40),
    "one token too many": ([(1, {"positive": "word " * 65})], "truncated texts", "note", 1, 120),
}


@pytest.mark.parametrize("case", PLANTED)
def test_what_is_planted_in_a_view_is_the_one_thing_found(case: str) -> None:
    changes, what, severity, count, of = PLANTED[case]
    found = looked_through("triplet", triplets(*changes), ["mnr", "gist"], 64)
    assert told(found) == {what: (severity, count, of)}
    assert found[0].where == "studies mnr, gist"
    for row, values in changes:
        for text in (*values.values(), f"anchor {row} a"):
            assert not text.strip() or text.strip() not in found[0].explain


def test_as_many_tokens_as_the_model_reads_are_no_finding() -> None:
    assert of_view(VIEWS["triplet"], triplets((1, {"positive": "word " * 64})), ["mnr"], 64, words) == []


def test_duplicate_rows_count_each_repetition_and_need_every_column() -> None:
    rows = triplets()
    repeated = pd.concat([rows, rows.iloc[[0, 0, 4]], rows.iloc[[5]].assign(negative="another")], ignore_index=True)
    assert told(of_view(VIEWS["triplet"], repeated, ["mnr"], 64, words)) == {"duplicate rows": ("warning", 3, 44)}


def test_labels_are_counted_and_one_alone_is_an_error() -> None:
    rows = pd.DataFrame({"premise": [f"p{i}" for i in range(10)], "hypothesis": [f"h{i}" for i in range(10)]})
    mixed = of_view(VIEWS["pair-class"], rows.assign(label=[0] * 5 + [1] * 3 + [2] * 2), ["softmax"], 64, words)
    assert told(mixed) == {"label balance": ("note", 2, 10)}
    assert "0: 5 (50%), 1: 3 (30%), 2: 2 (20%)" in mixed[0].explain
    alone = of_view(VIEWS["pair-class"], rows.assign(label=1), ["softmax"], 64, words)
    assert told(alone) == {"one label": ("error", 10, 10)}


def test_expected_false_negatives_are_those_of_random_batches() -> None:
    """Against 4,000 shuffled batches; groups of anchors and of positives cross, and some rows share both."""
    rng = np.random.default_rng(0)
    anchors, positives = rng.integers(0, 25, 60), rng.integers(0, 30, 60)
    anchors[:4], positives[:4] = 1, 1
    for batch in (4, 12, 60, 200):
        counts = []
        for _ in range(4000 if batch < 60 else 1):
            drawn = rng.permutation(60)[:batch]
            a, p = anchors[drawn], positives[drawn]
            alike = (a[:, None] == a) | (p[:, None] == p)
            counts.append((alike.sum() - len(drawn)) / 2)
        expected = false_negatives(list(map(str, anchors)), list(map(str, positives)), batch)
        error = np.std(counts) / np.sqrt(len(counts))
        assert expected == pytest.approx(np.mean(counts), abs=4 * error + 1e-9), batch
    assert false_negatives(["a"], ["b"], 8) == 0
    assert false_negatives(["a", "a"], ["b", "c"], 8) == 1


def test_false_negatives_are_told_at_each_batch_size_and_many_are_a_warning() -> None:
    rows = triplets(*[(row, {"anchor": "ANCHOR 0, a"}) for row in range(1, 8)])[["anchor", "positive"]]
    found = of_view(VIEWS["pair"], rows, ["mnr"], 64, words, [4, 16, 64])
    values = {size: 28 * min(size, 40) * (min(size, 40) - 1) / (40 * 39) for size in (4, 16, 64)}
    expected: dict[str, Any] = {
        f"expected false negatives at batch {size}": (
            "warning" if value > MANY_FALSE_NEGATIVES else "note",
            pytest.approx(value, abs=1e-3),
            {4: 6, 16: 120, 64: 780}[size],
        )
        for size, value in values.items()
    }
    assert told(found) == expected
    assert [finding.severity for finding in found] == ["note", "warning", "warning"]


def test_only_losses_that_have_no_other_negatives_draw_them_from_the_batch() -> None:
    @losses.reads("none", fewest=3)
    def margin(model: Any) -> Any: ...

    kinds: list[tuple[Any, str, bool]] = [
        (MNR, "pair", True),
        (MNR, "triplet", True),
        (losses.MegaBatchMarginLoss, "pair", True),
        (lambda model: None, "pair", True),
        (losses.TripletLoss, "triplet", False),
        (margin, "triplet", False),
        (losses.CosineSimilarityLoss, "pair-score", False),
        (losses.softmax, "pair-class", False),
    ]
    assert [in_batch(Part("s", loss, view)) for loss, view, _ in kinds] == [drawn for *_, drawn in kinds]


def test_normalising_takes_case_width_punctuation_and_spaces_alone() -> None:
    same = ["A man's playing, the FLUTE!", "a mans playing the flute", "Ａ ｍａｎ's  playing\tthe flute…"]
    assert len({normalise(text) for text in same}) == 1
    assert normalise("Straße 5") == normalise("STRASSE 5")
    assert len({normalise(text) for text in ("3 men", "4 men", "3 man", "?!", "...", "")}) == 6
    assert normalise(None) == ""
    assert pair_key("B b.", "a") == pair_key("A!", "bb") != pair_key("a", "a")


def test_overlap_counts_pairs_and_distinct_sentences() -> None:
    keys = pair_keys(["a", "a", "b", "c", "a"], ["x", "y", "z", "c", "x"])
    own = {text for key in keys for text in key}
    others = set(pair_keys(["X", "y.", "q"], ["A", "z", "c"]))
    found = overlap("set", keys, own, ROWS, others, {text for key in others for text in key})
    assert found == Overlap("set", ROWS, 5, 2, 6, 5)  # both a-x; of a x y b z c all but b


def test_near_duplicates_share_four_fifths_of_their_shingles() -> None:
    sentence = normalise("a young woman in a red coat slowly walks along the river with her two old dogs")
    near = normalise("a young woman in a red coat slowly walks along the river with her two old cats")
    far = normalise("a young man in a blue shirt slowly walks along the beach with her two old dogs")
    assert near_duplicates([sentence, far], [near]) == {sentence}
    assert near_duplicates([sentence], [sentence]) == set()
    assert near_duplicates(["abc", "", sentence], ["abd", "", far]) == set()


def test_most_sentences_with_one_word_more_are_found_and_few_others() -> None:
    rng = np.random.default_rng(1)
    words = ["".join(rng.choice(list("abcdefghijklmnoprstuvw"), 6)) for _ in range(400)]
    sentences = [[words[i] for i in rng.integers(0, 400, 14)] for _ in range(300)]
    plain = ["".join(sentence) for sentence in sentences]
    longer = ["".join([*sentence, "zz"]) for sentence in sentences[:150]]  # 80 of 82 shingles
    found = near_duplicates(plain, longer)
    assert found <= set(plain[:150])
    assert len(found) >= 148


@pytest.mark.parametrize(("suffix", "least", "most"), [(24, 0, 0), (16, 99, 100)], ids=["77 percent", "83 percent"])
def test_candidates_of_the_index_are_compared_exactly(suffix: int, least: int, most: int) -> None:
    """80 shingles are shared of 104 or 96: the index offers most of either, only the second are near-duplicates."""
    rng = np.random.default_rng(2)
    plain = ["".join(rng.choice(list("abcdefghijklmnoprstuvw"), 84)) for _ in range(100)]
    longer = [text + "".join(rng.choice(list("0123456789"), suffix)) for text in plain]
    assert least <= len(near_duplicates(plain, longer)) <= most


SHARED = {
    "a test pair in the rows": (Overlap("stsb-test", ROWS, 1000, 1, 1900, 0), {"error"}),
    "a dev pair in the rows": (Overlap("stsb-dev", ROWS, 1000, 1, 1900, 0), {"error"}),
    "a task's pair in the rows": (Overlap("mteb/STS12", ROWS, 1000, 1, 1900, 0), {"warning"}),
    "few test pairs in the dev set": (Overlap("stsb-test", DEV_SET, 1000, 10, 1900, 50), {"warning"}),
    "many test pairs in the dev set": (Overlap("stsb-test", DEV_SET, 1000, 11, 1900, 50), {"error"}),
    "few of a task's pairs in the dev set": (Overlap("mteb/STS12", DEV_SET, 1000, 10, 1900, 50), {"note"}),
    "many of a task's pairs in the dev set": (Overlap("mteb/STS12", DEV_SET, 1000, 11, 1900, 50), {"warning"}),
    "few sentences in the rows": (Overlap("stsb-test", ROWS, 1000, 0, 1900, 19, 0), {"note"}),
    "many sentences in the rows": (Overlap("stsb-test", ROWS, 1000, 0, 1900, 20, 0), {"warning"}),
    "few nearly": (Overlap("stsb-test", ROWS, 1000, 0, 1900, 0, 19), {"note"}),
    "many nearly": (Overlap("stsb-test", ROWS, 1000, 0, 1900, 0, 20), {"warning"}),
    "nothing": (Overlap("stsb-test", ROWS, 1000, 0, 1900, 0, 0), set()),
    "sentences alone in the dev set": (Overlap("stsb-test", DEV_SET, 1000, 0, 1900, 500), set()),
}


@pytest.mark.parametrize("case", SHARED)
def test_what_is_shared_is_judged_by_where_and_how_much(case: str) -> None:
    shared, severities = SHARED[case]
    assert MUCH_SHARED == 0.01
    assert {
        finding.severity for finding in of_overlap(shared, "book", besides=shared.name.startswith("mteb/"))
    } == severities


def test_findings_come_by_severity_and_keep_their_order() -> None:
    findings = [Finding(s, "w", str(i), i, 9, "") for i, s in enumerate(("note", "error", "warning", "note", "error"))]  # type: ignore[arg-type]
    assert [finding.what for finding in by_severity(findings)] == ["1", "4", "2", "0", "3"]


def leaking(cache: Path, name: str, leaks: list[tuple[str, str, int]]) -> Source:
    frame = pd.concat([nli_rows(1, 300), pd.DataFrame(leaks, columns=["premise", "hypothesis", "label"])])
    return sources.nli(plant(cache, name, "mnli", "train", frame.drop(columns="idx")))


def test_a_leaked_test_pair_is_found_in_whatever_guise(cache: Path) -> None:
    test = materials.load_sts(testbeds.book.test)
    left, right = test.sentence1[0], test.sentence2[0]
    rows = leaking(cache, "leak", [(f" {right.upper()}", left.replace(" .", "..."), 0)])
    found = examined(make([Study("mnr", MNR, "pair")], rows))
    errors = [(f.what, f.count, f.of) for f in found.of("error")]
    assert errors == [(f"pairs of stsb-test in the {ROWS}", 1, 60)]
    assert "Remove them from the testbed's rows" in found.of("error")[0].explain
    (texts,) = (f.explain for f in found.findings if f.what == f"sentences of stsb-test in the {ROWS}")
    assert "2 of 120 distinct texts" in texts
    assert "in the same pairs or in others" in texts
    assert not [o for o in found.overlaps if o.name == "stsb-dev" and o.shared_pairs]


def test_a_pair_that_no_view_trains_on_does_not_leak(cache: Path) -> None:
    test = materials.load_sts(testbeds.book.test)
    rows = leaking(cache, "neutral", [(test.sentence1[0], test.sentence2[0], 1)])
    assert not examined(make([Study("mnr", MNR, "pair")], rows)).of("error")
    assert examined(make([Study("softmax", losses.softmax, "pair-class")], rows)).of("error")


def test_a_leaked_sentence_and_a_near_duplicate_are_no_leaked_pair(cache: Path) -> None:
    dev = materials.load_sts(testbeds.book.dev)
    rows = leaking(
        cache, "sentence", [(dev.sentence1[0].upper(), "something else", 0), (dev.sentence1[1] + "x", "else", 0)]
    )
    before = {o.name: o for o in examined(make([Study("mnr", MNR, "pair")], leaking(cache, "none", []))).overlaps}
    after = {o.name: o for o in examined(make([Study("mnr", MNR, "pair")], rows)).overlaps if o.held_by == ROWS}
    assert after["stsb-dev"].shared_pairs == 0
    assert after["stsb-dev"].shared_sentences - before["stsb-dev"].shared_sentences == 1
    assert (after["stsb-dev"].near or 0) >= 1


@pytest.mark.parametrize("names", [("stsb-dev", "stsb-test"), ("pairs", "pairs-test")])
def test_a_dev_set_that_is_the_test_set_is_an_error(names: tuple[str, str], cache: Path) -> None:
    pairs = sts_pairs(7, 60, 1.0, "score")
    test = plant(cache, "same", "default", "test", pairs)
    dev = plant(
        cache,
        "same-turned",
        "default",
        "test",
        pairs.rename(columns={"sentence1": "sentence2", "sentence2": "sentence1"}),
    )
    found = examined(
        make([Study("mnr", MNR, "pair")], dev=measures.sts(dev, names[0]), test=measures.sts(test, names[1]))
    )
    assert [(f.what, f.count) for f in found.of("error")] == [(f"pairs of {names[1]} in the {DEV_SET}", 60)]


class Reading(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: list[dict[str, Tensor]], labels: Tensor) -> dict[str, Tensor]:
        left, right = (self.model(column)["sentence_embedding"] for column in features)
        return {"part": ((left - right).abs().sum(1) * labels).mean()}


class Failing(Reading):
    def forward(self, features: list[dict[str, Tensor]], labels: Tensor) -> dict[str, Tensor]:
        raise ArithmeticError("no")


def deaf(model: Any) -> Any:
    from harness.compat import losses

    return losses.MultipleNegativesRankingLoss(model)


@pytest.mark.parametrize(
    ("loss", "view", "expected"),
    [
        (deaf, "pair-class", [("error", "ignored label")]),
        (deaf, "pair-score", [("error", "ignored label")]),
        (losses.reads("class")(lambda model: deaf(model)), "pair-class", [("error", "ignored label")]),
        (Reading, "pair-class", []),
        (Reading, "pair-score", []),
        (Failing, "pair-class", [("note", "label not probed")]),
        (deaf, "pair", []),
        (losses.softmax, "pair-class", []),
    ],
)
def test_a_loss_that_does_not_hear_its_labels_is_found_by_trying_it(
    loss: Callable[..., Any], view: str, expected: list[tuple[str, str]], cache: Path
) -> None:
    found = examined(make([Study("mine", loss, view)]))
    assert [(f.severity, f.what) for f in found.findings if "label" in f.what and "balance" not in f.what] == expected


LEAKY = """
from dataclasses import replace
from harness import *
ablation = Ablation(
    name="leaky",
    testbed=replace(
        testbeds.book,
        also=(),
        max_rows=400,
        source=sources.nli(sources.hub("planted/{name}", "mnli", revision="{revision}")),
        max_dropped=0.0,
    ),
    studies=[Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="triplet")],
    space=Space(batch_size=choice(8, 16), lr=log_uniform(1e-4, 1e-2)),
    budget=Budget(trials=1, epochs=1, seeds=1),
)
"""


@pytest.fixture
def leaky(cache: Path, tmp_path: Path) -> tuple[Path, list[str]]:
    """A study file whose rows hold a test pair and a negative that is its positive; and these sentences."""
    test = materials.load_sts(testbeds.book.test)
    sentences = [test.sentence1[3], test.sentence2[3], "the same said twice ."]
    leaking(
        cache,
        "leaky",
        [
            (sentences[0], sentences[1], 0),
            (sentences[0], sentences[2], 2),
            ("twice", sentences[2], 0),
            ("twice", sentences[2], 2),
        ],
    )
    path = tmp_path / "leaky.py"
    path.write_text(LEAKY.format(name="leaky", revision=revision_of("leaky")), encoding="utf-8")
    return path, sentences


def test_errors_stop_a_run_before_anything_is_trained_and_name_the_fix(leaky: tuple[Path, list[str]]) -> None:
    path, sentences = leaky
    done = harness("run", path.name, cwd=path.parent)
    store = path.parent / "runs" / "leaky-book"

    assert done.returncode == 2
    assert "the audit of the data found 2 errors; nothing was trained" in done.stderr
    assert "study mnr: rows left out: 1 of " in done.stderr
    assert "1 with a negative equal to the positive" in done.stderr
    assert "testbed book: pairs of stsb-test in the training rows" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((store / "records").iterdir()) == []
    assert not (store / "optuna.db").exists()
    kept = (store / "audit.json").read_text(encoding="utf-8")
    shown = harness("run", path.name, "--audit-only", cwd=path.parent)
    assert shown.returncode == 2
    assert "pairs of stsb-test in the training rows" in shown.stdout
    assert "audit:" not in shown.stderr
    assert (store / "audit.json").read_text(encoding="utf-8") == kept
    judged = harness("check", path.name, "--json", cwd=path.parent)
    assert [f["severity"] for f in json.loads(judged.stdout)["audit"]].count("error") == 2
    for text in sentences:
        assert text not in kept + shown.stdout + done.stderr + judged.stdout


@pytest.mark.parametrize(("ends", "code"), [("os._exit(9)", 3), ("raise MemoryError", 3), ("raise KeyError('x')", 2)])
def test_an_audit_that_is_killed_may_be_tried_again_and_one_that_cannot_be_made_is_an_error(
    ends: str, code: int, study: Path, cache: Path
) -> None:
    """The view ends the process that audits it: nothing is wrong with the data where it was killed or out of memory."""
    view = f"""
import os
from harness.spec.views import View
def build(rows, limit):
    {ends}
"""
    mine = 'view=View("mine", ("anchor", "positive"), "none", build))'
    text = study.read_text(encoding="utf-8").replace('view="pair")', mine)
    study.write_text(view + text, encoding="utf-8")
    done = harness("run", study.name, cwd=study.parent)

    assert done.returncode == code, done.stderr
    assert "nothing was trained" in done.stderr
    assert ("give the same command again" in done.stderr) == (code == 3)
    assert "Traceback" not in done.stderr


def test_audit_only_prints_and_trains_nothing(study: Path, cache: Path) -> None:
    done = harness("run", study.name, "--audit-only", "--rows", "90", "--tasks", "STS16,NFCorpus", cwd=study.parent)
    store = study.parent / "runs" / "small-book"

    assert done.returncode == 0, done.stderr
    assert "expected false negatives at batch 32" in done.stdout  # the default point's, beside the space's 8 and 16
    assert "tasks left out" in done.stdout
    assert list((store / "records").iterdir()) == []
    assert not (store / "last_run.json").exists()
    overlaps = json.loads((store / "audit.json").read_text(encoding="utf-8"))["overlaps"]
    assert {found["name"] for found in overlaps} == {"stsb-dev", "stsb-test", "mteb/STS16"}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the functions that are called in processes of their own; nothing is trained."""
    from harness.executors import processes

    made: list[str] = []
    really = processes.in_fresh_process

    def counted(function: Callable[..., Any], *arguments: Any) -> Any:
        made.append(function.__name__)
        return really(function, *arguments)

    monkeypatch.setattr(processes, "in_fresh_process", counted)
    return made


def test_nothing_is_audited_twice_and_other_data_are_audited_anew(
    cache: Path, tmp_path: Path, calls: list[str]
) -> None:
    ablation = make([Study("mnr", MNR, "pair")])
    console = Console(file=io.StringIO(), width=300)
    first = api.run(ablation, tmp_path / "s", Options(keep_models="none"), executor="inline", console=console)
    assert calls.count("audit") == 1
    assert first.audit == kept.read(tmp_path / "s")
    assert first.audit is not None
    assert first.audit.key == kept.key(first.ablation)
    more = replace(ablation, budget=Budget(trials=1, epochs=1, seeds=2))
    again = api.run(more, tmp_path / "s", Options(keep_models="none"), executor="inline", console=console)
    assert (calls.count("audit"), again.audit) == (1, first.audit)
    fewer = replace(ablation, testbed=replace(ablation.testbed, max_rows=120))
    assert api.audit(fewer, tmp_path / "s", console=console).key != first.audit.key
    assert calls.count("audit") == 2
    assert "Not audited: the audit in the store covers other rows" in page(api.plan(ablation, tmp_path / "s"), tmp_path)
    assert kept.of_plan(api.plan(fewer, tmp_path / "s")) == kept.read(tmp_path / "s")
    assert kept.of_plan(api.plan(ablation, tmp_path / "s")) is None


@pytest.mark.parametrize(
    "change",
    [
        {"testbed": replace(testbeds.book, max_rows=7)},
        {"testbed": replace(testbeds.book, dev=measures.sts(sources.hub("other/pairs"), "stsb-dev"))},
        {"testbed": replace(testbeds.book, also=("STS12",))},
        {"studies": [Study("mnr", MNR, "pair-of-all")]},
        {"studies": [Study("mnr", losses.MegaBatchMarginLoss, "pair")]},
        {"space": Space(batch_size=choice(8, 24), lr=log_uniform(1e-4, 1e-2))},
    ],
)
def test_the_key_is_of_all_that_decides_an_audit(change: dict[str, Any]) -> None:
    plain = replace(make([Study("mnr", MNR, "pair")]), testbed=testbeds.book)
    assert kept.key(replace(plain, **change)) != kept.key(plain)
    assert kept.key(replace(plain, budget=Budget(trials=9), expect=())) == kept.key(plain)
    known = Audit(kept.key(plain), missing=("STS12",))
    assert kept.still_holds(known, plain, ["STS12"])
    assert not kept.still_holds(known, plain, [])


def test_warnings_are_told_a_line_each_and_only_errors_refuse() -> None:
    found = synthetic.make_audit(synthetic.make_ablation())
    assert [line.split(":")[:2] for line in outcome.lines(found)] == [
        ["warning", " study mnr"],
        ["warning", " testbed book"],
    ]
    outcome.refuse_errors(found)
    assert outcome.exit_code(found) == 0
    one = synthetic.make_audit(synthetic.make_ablation(), Finding("error", "study mnr", "empty texts", 1, 2, "Fix it."))
    assert outcome.exit_code(one) == 2
    with pytest.raises(
        AuditFailed, match=r"1 error; nothing was trained:\n- study mnr: empty texts: Fix it\."
    ) as raised:
        outcome.refuse_errors(one)
    assert raised.value.exit_code == 2


def test_an_audit_is_read_as_it_was_written_and_a_broken_one_told_with_the_fix(tmp_path: Path) -> None:
    assert kept.read(tmp_path) is None
    found = replace(
        synthetic.make_audit(synthetic.make_ablation()), left_out=(("NFCorpus", "no pairs"),), missing=("X",)
    )
    for each in (found, Audit("k")):
        kept.write(tmp_path, each)
        assert kept.read(tmp_path) == each
    (tmp_path / kept.FILE).write_text('{"key": 1}', encoding="utf-8")
    with pytest.raises(StoreError, match="delete it"):
        kept.read(tmp_path)


def page(plan: Any, folder: Path) -> str:
    return write_report(plan, folder / "report", "harness run").read_text(encoding="utf-8")


def test_the_report_says_what_was_found_or_that_nothing_was_audited(tmp_path: Path) -> None:
    plan = synthetic.make()
    found = gather(plan)
    warning = next(text for text in threats(found) if text.startswith("The audit"))
    assert "duplicate rows (study mnr 12 of 400)" in warning
    assert "pairs of mteb/STS12" in warning
    assert "label balance" not in warning
    section = page(plan, tmp_path).split("## Audit of the data")[1].split("## Designs and")[0]
    assert "0 errors, 2 warnings, 2 notes" in section
    assert "| mteb/STS12 | 2,358 | 0 | 121 | 3,100 | 0 | – | 240 |" in section

    without = replace(plan, audit=None)
    assert "Not audited: the store has no audit" in page(without, tmp_path)
    assert any("The data were not audited" in text for text in threats(gather(without)))
    stale = replace(plan, audit=replace(synthetic.make_audit(plan.ablation), key="another"))
    assert "covers other rows, tasks or studies" in page(stale, tmp_path)


def test_scores_without_shared_pairs_change_no_mean_and_no_csv(tmp_path: Path) -> None:
    ablation = synthetic.make_ablation()
    plan = synthetic.make(ablation)
    bare = synthetic.make(ablation, change=lambda run, record: replace(record, unshared={}))
    written = [page(each, tmp_path / name) for name, each in (("with", plan), ("without", bare))]
    csvs = [(tmp_path / name / "report" / "scores.csv").read_bytes() for name in ("with", "without")]
    assert csvs[0] == csvs[1]
    assert [gather(each).task_mean(gather(each).studies[2]) for each in (plan, bare)] == [
        gather(plan).task_mean(gather(plan).studies[2])
    ] * 2
    assert "without shared pairs |" in written[0]
    assert "without shared pairs |" not in written[1]
    row = gather(plan).studies[2]
    raw, less = (np.mean([getattr(r, kind)["mteb/STS16"] for r in row.ended]) for kind in ("scores", "unshared"))
    assert f"{100 * raw:.2f} | {100 * less:.2f} |" in written[0].split("## Audit of the data")[1]


def test_a_task_without_its_shared_pairs_is_scored_on_the_rest(cache: Path, hub_root: Path) -> None:
    from models import make_model
    from sentence_transformers import SentenceTransformer

    from harness.evaluation import scoring

    encoder = scoring.Encoder(make_model(hub_root, SentenceTransformer, dtype="float32").eval())
    pairs = scoring.task_pairs("STS16")
    assert pairs is not None
    assert len(pairs.gold) == 40
    assert scoring.task_pairs("NFCorpus") is None
    keys = pair_keys(pairs.sentence2, pairs.sentence1)
    assert scoring.score_unshared(encoder, ["STS16", "NFCorpus"], frozenset()) == {}
    assert scoring.score_unshared(encoder, ["STS16"], frozenset(keys)) == {}
    found = scoring.score_unshared(encoder, ["STS16", "BIOSSES"], frozenset(keys[:15]))
    kept, whole = scoring.score_sts(encoder, pairs)
    assert found == {"mteb/STS16": pytest.approx(spearman(kept.gold[15:], kept.cosine[15:]), abs=1e-6)}
    assert found["mteb/STS16"] != pytest.approx(whole["spearman_cosine"], abs=1e-6)
