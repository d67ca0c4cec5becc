"""A report against its study file: each line is rendered again, so that no sentence can be changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import synthetic

from harness.cli.main import main
from harness.spec.loading import load_study_file
from harness.store.folder import create

STUDY = """
from harness import *
ablation = Ablation(
    name="small",
    testbed=testbeds.book,
    studies=[
        Study("cosine", loss=losses.CosineSimilarityLoss, view="pair-score"),
        Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="pair"),
    ],
    space=Space(batch_size=choice(16, 32, 64), lr=log_uniform(1e-5, 1e-3)),
    budget=Budget(trials=3, epochs=1, seeds=3),
    expect=[beats("mnr", "cosine")],
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study file, its store, and its report, of a run with an option."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.py").write_text(STUDY, encoding="utf-8")
    ablation = load_study_file(folder / "small.py")
    store = create(folder / "store", "small", "book")
    for record in synthetic.make_records(ablation):
        store.write(record)
    assert main(["report", str(folder / "small.py"), "--store", str(store.folder), "--report", str(folder / "r")]) == 0
    (folder / "r" / "report.html").unlink()
    return folder


def verified(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["verify", str(folder / "r"), *options])
    return code, capsys.readouterr().out


def with_study(folder: Path) -> tuple[str, ...]:
    return "--study", str(folder / "small.py"), "--store", str(folder / "store")


def test_a_report_is_what_study_file_and_store_give(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for here in (folder, folder.parent):  # the page has the study file's path as seen from the folder of the command
        monkeypatch.chdir(here)
        code, said = verified(folder, capsys, *with_study(folder))
        assert (code, "Each line is what study file and store give" in said) == (0, True)


def test_the_last_line_says_what_was_not_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "because the folder has no predictions (--store DIR" in verified(folder, capsys)[1]
    said = verified(folder, capsys, "--store", str(folder / "store"))[1]
    assert "predictions (--store" not in said
    assert "(--study FILE renders all of it again)" in said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("CosineSimilarityLoss", "AnglELoss"),
        ("The interval over seeds", "It is proved: the interval over seeds"),
        ("The store's log is empty, so", "The store's log is full, and"),
        ("the loss and the view changed", "the loss changed"),
        (r"^- A trial is one run.*\n", ""),
        ("harness run (.*)small.py", r"harness run \1other.py"),
        ("harness run (.*)small.py", r"harness run \1small.py --seeds 5"),
        ("Minutes cover training", "Minutes cover the first half of training"),
        ("Not audited:", "Audited without a warning:"),
        (r"\n\Z", "\nAnd all is well.\n"),
    ],
)
def test_no_sentence_can_be_changed(old: str, new: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = folder / "r" / "README.md"
    page = readme.read_text(encoding="utf-8")
    changed, number = re.subn(old, new, page, count=1, flags=re.M)
    assert number == 1, "the page does not have it"
    readme.write_text(changed, encoding="utf-8")
    code, said = verified(folder, capsys, *with_study(folder))
    readme.write_text(page, encoding="utf-8")
    assert code == 1
    rendered = r"README.md, line \d+: .* is printed, study file and store give "
    assert re.search(rf"{rendered}|What changed at each step: ", said)  # of which the page's other tables decide a part


def test_records_json_is_compared_as_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = folder / "r" / "records.json"
    text = records.read_text(encoding="utf-8")
    records.write_text(text.replace('"testbed": "book"', '"testbed":  "book"'), encoding="utf-8")
    code, said = verified(folder, capsys, *with_study(folder))
    assert code == 1
    assert "records.json, line 1: " in said
    records.write_text(text, encoding="utf-8")
