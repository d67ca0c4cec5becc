"""A study file is checked before anything heavy is imported: errors say what, where, and how to fix it; exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from inspect import Parameter, signature
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from commandline import GUARD, harness

from harness import Ablation, Point, Space, Study, choice, log_uniform, losses, testbeds
from harness.cli.main import main
from harness.errors import RunFailed, StudyFileError
from harness.planning.plan import start_up_points
from harness.spec.ablation import restrict
from harness.spec.arguments import _of_class
from harness.spec.loading import imported_anew, load_study_file

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
        ["option 'scale'", "choice(...)", "write e.g. choice(20)"],
    ),
    "option that the loss has not": (
        {"studies": f'[Study("s", loss={MNR}, view="pair", options={{"scael": choice(10, 20)}})]'},
        ["study 's'", "no argument 'scael'", "did you mean 'scale'?"],
    ),
    "option that a function has not": (
        {"studies": '[Study("s", loss=lambda model, scale: None, view="pair", options={"margin": choice(1, 2)})]'},
        ["study 's'", "no argument 'margin'; it has scale"],
    ),
    "argument that the loss has not": (
        {"studies": f'[Study("s", loss={MNR}.given(scael=5), view="pair")]'},
        ["study 's'", "no argument 'scael'", "did you mean 'scale'?"],
    ),
    "swept argument that the loss has not": (
        {"studies": f'Study("s", loss={MNR}, view="pair").sweep(scael=[5])'},
        ["no argument 'scael'", "did you mean 'scale'?"],
    ),
    "bound argument that the loss has not": (
        {"studies": f'[Study("s", loss=__import__("functools").partial({MNR}, scael=5), view="pair")]'},
        ["study 's'", "no argument 'scael'", "did you mean 'scale'?"],
    ),
    "argument of the loss given to the study": (
        {"studies": f'[Study("s", loss={MNR}, view="pair", scale=30)]'},
        ["Study(...) has no argument 'scale'", "partial(loss, scale=...)", ".sweep(scale=[...])"],
    ),
    "argument of the loss as a fixed value": (
        {"studies": f'[Study("s", loss={MNR}, view="pair", fixed={{"scale": 30}})]'},
        ["fixed['scale']=30", "partial(loss, scale=30)", ".sweep(scale=[...])"],
    ),
    "a sweep without its star": (
        {"studies": f'[Study("s", loss={MNR}, view="pair").sweep(scale=[5, 10])]'},
        ["the list of the studies 's scale=5', 's scale=10'", "*b.sweep(...)"],
    ),
    "a study without a list": (
        {"studies": f'Study("s", loss={MNR}, view="pair")'},
        ["studies=Study('s', ...) is not a list", "write studies=[...]"],
    ),
    "a study that is a text": ({"studies": '["mnr"]'}, ["studies contains 'mnr'", "Study(name, loss, view)"]),
    "an expectation without brackets": (
        {"expect": 'beats("mnr", "untrained")'},
        ["is not a list", "expect=mnr beats untrained", "brackets: expect=[...]"],
    ),
    "an expectation that is a pair": (
        {"expect": '[("mnr", "untrained")]'},
        ["expect contains ('mnr', 'untrained')", "beats(...)"],
    ),
    "a figure that is no score": (
        {"expect": '[beats("mnr", "untrained", figure="STS12")]'},
        ["mnr beats untrained (STS12)", "figure='STS12' is not a score of a record", '"mteb/STS12"'],
    ),
    "a tolerance of nothing": (
        {"expect": '[keeps("mnr", "untrained", within=0)]'},
        ["mnr keeps untrained within 0", "more than 0 and less than 1"],
    ),
    "expectation of no study": (
        {"expect": '[beats("mnr", "cosine")]'},
        ["mnr beats cosine", "no study 'cosine'", "mnr, untrained"],
    ),
    "order of no study": ({"expect": '[in_order("mnr", "best")]'}, ["no study 'best'"]),
    "claim about no point": (
        {"expect": '[beats("mnr", "untrained", at="first")]'},
        ["at='first'", "best, default, tuned"],
    ),
    "order of one": ({"expect": '[in_order("mnr")]'}, ["at least two studies"]),
    "no batch sizes": (
        {"space": "Space(batch_size=choice(), lr=log_uniform(1e-5, 1e-3))"},
        ["empty space", "choice(16, 32)"],
    ),
    "learning rates the wrong way round": (
        {"space": "Space(batch_size=choice(8), lr=log_uniform(1e-3, 1e-5))"},
        ["empty space", "low <= high", "swap the two: log_uniform(1e-05, 0.001)"],
    ),
    "learning rates that are texts": (
        {"space": "Space(batch_size=choice(8), lr=log_uniform('1e-6', 1e-5))"},
        ["log_uniform('1e-6', 1e-05): '1e-6' is not a number", "log_uniform(1e-6, 2e-4)"],
    ),
    "batch sizes in a list": (
        {"space": "Space(batch_size=[16, 32], lr=log_uniform(1e-5, 1e-3))"},
        ["batch_size must be", "write e.g. choice(16, 32)"],
    ),
    "a list within choice": (
        {"space": "Space(batch_size=choice([16, 32]), lr=log_uniform(1e-5, 1e-3))"},
        ["choice(...) has the value [16, 32]", "one by one, e.g. choice(16, 32)"],
    ),
    "a default that is no batch size": (
        {"space": "Space(batch_size=choice(8, default=0), lr=log_uniform(1e-5, 1e-3))"},
        ["batch_size has default=0", "at least 1"],
    ),
    "a default that is no learning rate": (
        {"space": "Space(batch_size=choice(8), lr=log_uniform(1e-5, 1e-3, default=-1))"},
        ["lr has default=-1", "above 0"],
    ),
    "two defaults": (
        {"space": "Space(batch_size=choice(8, default=8), lr=choice(1e-5)), default=Point(16, 1e-5)"},
        ["default=Point(batch_size=16, lr=1e-05", "Point(batch_size=8, lr=1e-05", "one of the two"],
    ),
    "a space that is a dictionary": ({"space": "{'lr': 1e-5}"}, ["space={'lr': 1e-05}", "write Space("]),
    "learning rates from zero": (
        {"space": "Space(batch_size=choice(8), lr=log_uniform(0, 1e-5))"},
        ["empty space", "0 < low"],
    ),
    "a learning rate that is a number": (
        {"space": "Space(batch_size=choice(8), lr=1e-5)"},
        ["lr must be", "log_uniform", "write e.g. choice(1e-05)"],
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
    "argument that does not exist": (
        {"budget": "Budget(trails=3)"},
        ["Budget(...)", "'trails'", "did you mean 'trials'?"],
    ),
}

LINES = {"testbed": 5, "studies": 6, "space": 7, "budget": 8, "expect": 9}
OF_THE_WHOLE = (
    "testbed by its name",
    "two studies of one name",
    "no studies",
    "ablation named like a folder",
    "expectation of no study",
    "order of no study",
    "two defaults",
    "a space that is a dictionary",
    "a sweep without its star",
    "a study without a list",
    "a study that is a text",
    "an expectation without brackets",
    "an expectation that is a pair",
)
"""Mistakes that only the whole ablation can notice: its call, on line 3, is where they are."""


def write(path: Path, **changes: str) -> Path:
    path.write_text(HEADER + ABLATION.format(**{**GOOD, **changes}), encoding="utf-8")
    return path


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_its_line_and_the_fix(
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


MNR_STUDY = Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="pair")


def test_a_default_of_the_space_is_the_point_of_untuned_runs() -> None:
    space = Space(batch_size=choice(16, 64, default=64), lr=log_uniform(1e-6, 2e-4, default=1e-4))
    ablation = Ablation("a", testbeds.book, [MNR_STUDY], space)

    assert ablation.default == Point(64, 1e-4)
    assert ablation.default_point(MNR_STUDY) == start_up_points(ablation, MNR_STUDY)[0] == Point(64, 1e-4)
    assert restrict(ablation, testbed=testbeds.embedded).default_point(MNR_STUDY) == Point(64, 8e-4)
    assert replace(ablation, name="b").default == Point(64, 1e-4)
    assert replace(ablation, default=Point(64, 1e-4)).default == Point(64, 1e-4)
    with pytest.raises(StudyFileError, match=r"batch_size=16.*batch_size=64"):
        replace(ablation, default=Point(16, 1e-4))

    partly = replace(ablation, space=Space(choice(16, 64), log_uniform(1e-6, 2e-4)), default=Point(16, 1e-5))
    assert partly.default == Point(16, 1e-5)
    half = Space(batch_size=choice(16, 64, default=64), lr=choice(1e-5, 1e-4))
    assert Ablation("a", testbeds.book, [MNR_STUDY], half).default == Point(64, 5e-5)


def test_a_loss_that_is_built_is_refused() -> None:
    from torch import nn

    with pytest.raises(StudyFileError, match="object of Identity; give the class or a function of the model"):
        Study("s", loss=nn.Identity(), view="pair")
    Study("s", loss=nn.Identity, view="pair")


def test_an_argument_that_only_the_run_can_check_is_named_when_it_builds_the_loss() -> None:
    model = SimpleNamespace(get_embedding_dimension=lambda: 8)
    Study("s", loss=losses.softmax, view="pair-class", options={"scael": choice(1, 2)})

    with pytest.raises(RunFailed, match=r"losses.SoftmaxLoss takes no argument 'scael'.*num_labels"):
        losses.softmax(model, scael=1)  # type: ignore[arg-type]


def test_arguments_read_from_the_source_are_those_of_the_classes() -> None:
    from harness.compat import losses as classes

    for name in losses.INPUTS.keys() & dir(classes):  # not every version has them all
        parameters = signature(getattr(classes, name)).parameters
        accepts_any = any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values())  # a deprecated class
        arguments = _of_class(name)
        assert arguments is not None, name
        assert accepts_any or arguments == list(parameters)[1:], name


def test_study_files_of_one_folder_load_one_after_the_other(tmp_path: Path) -> None:
    for name in ("one", "two", "one"):
        assert load_study_file(write(tmp_path / f"{name}.py", name=name)).name == name


def test_one_seed_is_said_to_leave_the_spread_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, store = str(write(tmp_path / "study.py")), str(tmp_path / "store")

    assert main(["plan", path, "--store", store, "--seeds", "1"]) == 0
    assert "\n1 final seed: the spread over seeds will be unknown" in capsys.readouterr().out
    assert main(["plan", path, "--store", store]) == 0
    assert "spread over seeds" not in capsys.readouterr().out


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
        assert (
            tuned == (16, 10)
            or (file.stem in ("book", "nli_full") and tuned in ((1, 10), (1, 6)))
            or (file.stem == "own_data" and tuned == (3, 8))
            or (file.stem == "retuned" and tuned == (160, 63))  # 20 tunings of 8 trials, 3 seeds after each
        ), name
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
