"""A study file is checked before anything heavy is imported: what is wrong, where, and the mend; exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from commandline import GUARD, harness

from harness.cli.main import main
from harness.spec.loading import imported_anew

HEADER = "from harness import *\n"
ABLATION = """
ablation = Ablation(
    name={name!r},
    testbed={testbed},
    studies={studies},
    space={space},
    budget={budget},
    expect={expect},
)
"""
GOOD = {
    "name": "a",
    "testbed": "testbeds.book",
    "studies": '[Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="pair")]',
    "space": "Space(batch_size=choice(8, 16), lr=log_uniform(1e-5, 1e-3))",
    "budget": "Budget(trials=2, seeds=2)",
    "expect": "[]",
}
MNR = "losses.MultipleNegativesRankingLoss"

WRONG: dict[str, tuple[dict[str, str], list[str]]] = {
    "unknown testbed": ({"testbed": "testbeds.bok"}, ["unknown testbed 'bok'", "book"]),
    "testbed by its name": ({"testbed": "'book'"}, ["testbed='book'", "testbeds.book"]),
    "two studies of one name": (
        {"studies": f'[Study("s", loss={MNR}, view="pair"), Study("s", loss={MNR}, view="triplet")]'},
        ["two studies are named 's'", "a unique name"],
    ),
    "no studies": ({"studies": "[]"}, ["no studies", "at least one"]),
    "loss of scores on classes": (
        {"studies": '[Study("cosine", loss=losses.CosineSimilarityLoss, view="pair-class")]'},
        [
            "study 'cosine': the loss needs",
            "a float 'score' column; view 'pair-class' has premise, hypothesis, label",
            'Use view="pair-score".',
        ],
    ),
    "loss of classes on pairs": (
        {"studies": '[Study("s", loss=losses.softmax, view="pair")]'},
        ["study 's'", "an integer 'label' column", "anchor, positive", 'Use view="pair-class".'],
    ),
    "loss of triplets on pairs": (
        {"studies": '[Study("s", loss=losses.TripletLoss, view="pair")]'},
        ["3 texts", 'Use view="triplet".'],
    ),
    "loss of pairs on triplets": (
        {"studies": '[Study("s", loss=losses.MegaBatchMarginLoss, view="triplet")]'},
        ["2 texts", 'Use view="pair".'],
    ),
    "unknown view": (
        {"studies": f'[Study("s", loss={MNR}, view="pairs")]'},
        ["unknown view 'pairs'", "pair-of-triplet"],
    ),
    "unknown loss": (
        {"studies": '[Study("s", loss=losses.MNRL, view="pair")]'},
        ["no loss 'MNRL'", MNR[7:], "any callable"],
    ),
    "loss that is none": (
        {"studies": '[Study("s", loss="mnr", view="pair")]'},
        ["loss='mnr' is not callable", "losses.NAME"],
    ),
    "study without a name": ({"studies": f'[Study("", loss={MNR}, view="pair")]'}, ["1 to 100 printable characters"]),
    "study named like the base model": ({"studies": f'[Study("untrained", loss={MNR}, view="pair")]'}, ["'untrained'"]),
    "study named like a folder": ({"studies": f'[Study("a/b", loss={MNR}, view="pair")]'}, ["'a/b'", "none of /"]),
    "study named like the folder above": (
        {"studies": f'[Study("..", loss={MNR}, view="pair")]'},
        ["'..'", "leading dot"],
    ),
    "ablation named like a folder": ({"name": "a/b"}, ["'a/b'", "none of /"]),
    "option of a name that is taken": (
        {"studies": f'[Study("s", loss={MNR}, view="pair", options={{"lr": choice(1.0, 2.0)}})]'},
        ["option 'lr'", "not batch_size or lr"],
    ),
    "option that is a number": (
        {"studies": f'[Study("s", loss={MNR}, view="pair", options={{"scale": 20}})]'},
        ["option 'scale'", "choice(...)"],
    ),
    "expectation of no study": (
        {"expect": '[beats("mnr", "cosine")]'},
        ["mnr beats cosine", "no study 'cosine'", "mnr, untrained"],
    ),
    "order of no study": ({"expect": '[in_order("mnr", "best")]'}, ["no study 'best'"]),
    "claim about no point": ({"expect": '[beats("mnr", "untrained", at="tuned")]'}, ["at='tuned'", "best, default"]),
    "order of one": ({"expect": '[in_order("mnr")]'}, ["at least two studies"]),
    "no batch sizes": (
        {"space": "Space(batch_size=choice(), lr=log_uniform(1e-5, 1e-3))"},
        ["empty space", "choice(16, 32)"],
    ),
    "learning rates the wrong way round": (
        {"space": "Space(batch_size=choice(8), lr=log_uniform(1e-3, 1e-5))"},
        ["empty space", "low <= high"],
    ),
    "learning rates from zero": (
        {"space": "Space(batch_size=choice(8), lr=log_uniform(0, 1e-5))"},
        ["empty space", "0 < low"],
    ),
    "a learning rate that is a number": (
        {"space": "Space(batch_size=choice(8), lr=1e-5)"},
        ["lr must be", "log_uniform"],
    ),
    "no learning rate above zero": ({"space": "Space(batch_size=choice(8), lr=choice(0.0, 1e-5))"}, ["lr", "above 0"]),
    "batch size zero": (
        {"space": "Space(batch_size=choice(0), lr=log_uniform(1e-5, 1e-3))"},
        ["batch_size", "at least 1"],
    ),
    "batch size twice": ({"space": "Space(batch_size=choice(8, 8), lr=log_uniform(1e-5, 1e-3))"}, ["repeats a value"]),
    "zero trials": ({"budget": "Budget(trials=0)"}, ["trials=0", "at least 1"]),
    "zero seeds": ({"budget": "Budget(seeds=0)"}, ["seeds=0", "at least 1"]),
    "half a trial": ({"budget": "Budget(trials=1.5)"}, ["trials=1.5"]),
    "zero epochs": ({"budget": "Budget(epochs=0)"}, ["epochs=0", "more than 0"]),
    "endless epochs": ({"budget": "Budget(epochs=float('inf'))"}, ["epochs=inf"]),
    "zero examples": ({"budget": "Budget(examples=0)"}, ["examples=0", "at least 1"]),
    "argument that does not exist": ({"budget": "Budget(trails=3)"}, ["TypeError", "trails"]),
}

LINES = {"testbed": 5, "studies": 6, "space": 7, "budget": 8, "expect": 9}
OF_THE_WHOLE = (
    "testbed by its name",
    "two studies of one name",
    "no studies",
    "ablation named like a folder",
    "expectation of no study",
    "order of no study",
)
"""Mistakes that only the whole ablation can notice: its call, on line 3, is where they are."""


def write(path: Path, **changes: str) -> Path:
    path.write_text(HEADER + ABLATION.format(**{**GOOD, **changes}), encoding="utf-8")
    return path


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_its_line_and_mend(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    changes, words = WRONG[case]
    write(Path("study.py"), **changes)

    code = main(["plan", "study.py"])

    printed = capsys.readouterr()
    assert code == 2
    assert printed.err.startswith(f"error: study.py:{3 if case in OF_THE_WHOLE else LINES[next(iter(changes))]}: ")
    assert all(word in printed.err for word in words), printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_the_mismatch_of_loss_and_view_reads_as_documented(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "s.py", studies='[Study("cosine", loss=losses.CosineSimilarityLoss, view="pair-class")]')

    assert main(["plan", str(path)]) == 2

    assert capsys.readouterr().err == (
        f"error: {path}:6: study 'cosine': the loss needs 2 texts and a float 'score' column; view 'pair-class' has "
        'premise, hypothesis, label. Use view="pair-score".\n'
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x = 1\n", ["study.py: defines no `ablation`"]),
        ("ablation = 'all_losses'\n", ["study.py: defines no `ablation`"]),
        ("ablation = Ablation(\n", ["study.py:1: not valid Python"]),
        ("\nimport a_module_that_is_not_there\n", ["study.py:2: ModuleNotFoundError", "a_module_that_is_not_there"]),
        ("\n\nraise SystemExit('enough')\n", ["study.py:3: ", "SystemExit", "enough"]),
        ("x = 'a\0b'\n", ["study.py", "null bytes"]),
    ],
)
def test_a_file_that_is_no_study_file(
    content: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.py").write_text(content, encoding="utf-8")

    assert main(["plan", "study.py"]) == 2

    printed = capsys.readouterr()
    assert all(word in printed.err for word in words), printed.err


def test_a_custom_loss_is_checked_where_it_says_what_it_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.py"
    studies = '[Study("mine", loss=mine, view="pair")]'
    plain = "def mine(model): return None\n"
    for before, code in (
        (plain, 0),
        ("@losses.reads('score')\n" + plain, 2),
        ("@losses.reads('none', 2, 9)\n" + plain, 0),
    ):
        path.write_text(HEADER + before + ABLATION.format(**{**GOOD, "studies": studies}), encoding="utf-8")
        assert main(["plan", str(path), "--store", str(tmp_path / "store")]) == code
    assert 'Use view="pair-score".' in capsys.readouterr().err


def test_a_mistake_is_reported_without_heavy_imports(tmp_path: Path) -> None:
    write(tmp_path / "study.py", budget="Budget(trials=0)")
    program = (
        "import sys; from harness.cli.main import main; code = main(['run', 'study.py'])\n"
        "print([m for m in ('torch', 'optuna', 'transformers', 'sentence_transformers', 'mteb', 'datasets') if m in sys.modules])\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=GUARD)

    assert done.returncode == 2
    assert done.stdout.strip() == "[]"
    assert "trials=0" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["study.py"]


SHIPPED = sorted((Path(__file__).parents[2] / "studies").glob("*.py"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_the_shipped_study_files_load(file: Path) -> None:
    done = harness("plan", file, "--store", "none", "--json", cwd=file.parent)
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    planned = Counter((run["study"], run["stage"]) for run in runs)
    studies = {run["study"] for run in runs} - {"untrained"}

    for name in studies:  # 16 trials, 5 seeds at the best and 5 at the default point; one trial where it is fixed
        tuned = (planned[name, "tune"], planned[name, "final"])
        assert tuned == (16, 10) or (file.stem in ("book", "nli_full") and tuned in ((1, 10), (1, 6))), name
    assert f'name="{file.stem}"' in file.read_text(encoding="utf-8"), "its store and report are named after the file"


def test_a_module_that_imports_when_it_is_asked_for_its_place_is_left_alone(tmp_path: Path) -> None:
    """transformers has a hundred such, which want torchvision: no run could begin where that is not installed."""

    class Lazy(ModuleType):
        def __getattr__(self, name: str) -> None:
            raise ModuleNotFoundError("No module named 'torchvision'")

    sys.modules["lazy_one"] = Lazy("lazy_one")
    try:
        with imported_anew(str(tmp_path)):
            assert "lazy_one" in sys.modules
    finally:
        del sys.modules["lazy_one"]


@pytest.mark.parametrize("name", ["planted", "small_bert"])
def test_a_study_file_may_load_one_of_another_folder(name: str) -> None:
    file = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    done = harness("plan", file, "--store", "none", "--json", cwd=file.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"]
