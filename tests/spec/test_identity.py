"""A run's id is made of contents: what decides a result changes it, and nothing else does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from commandline import harness

from harness import Ablation, Study, api, choice, log_uniform, testbeds, views
from harness.errors import StudyFileError
from harness.identity import digest
from harness.spec import losses
from harness.spec.budget import Budget
from harness.spec.loading import load_study_file
from harness.spec.space import Space
from harness.spec.views import VIEWS, View

STUDY = '''
"""What is asked."""
import enum
import functools
import os
from functools import partial
from pathlib import Path
import helper
from helper import Base, other
from harness import *

SCALE = 20
TABLE = {"b": [1, 2], "a": {3, 4}}

class Mode(enum.Enum):
    SLOW = 1
    FAST = 2

def shared(model):
    """Says something."""
    return SCALE  # why

def plain(model, weight=1.0):
    return shared(model) * weight, TABLE

def closure(number):
    def loss(model):
        return number
    return loss

class Weighted(Base):
    """A loss with a state."""
    factor = 2
    def __init__(self, state):
        self.state = state
    def __call__(self, model):
        return self.state * self.factor * self.more()

def inside(model):
    from helper import late
    return late(model)

@functools.wraps(losses.softmax)
def wrapped(model):
    return 1 + model

class Kind(enum.Enum):
    ONE = 1
    def scale(self):
        return 10

SIDE = Path(__file__).parent / "side.txt"

def from_file(model):
    return float(SIDE.read_text())

def beside(model):
    return (Path(__file__).parent / "side.txt").read_text()

def of_environment(model):
    return os.environ["IDENTITY_SCALE"]

def build(rows, limit):
    return rows.head(limit)[["premise", "hypothesis"]]

ablation = Ablation(
    name="identities",
    testbed=testbeds.book,
    studies=[
        Study("plain", loss=partial(plain, weight=0.5), view="pair"),
        Study("closure", loss=closure(3), view="pair"),
        Study("object", loss=Weighted(7), view="pair"),
        Study("method", loss=Weighted(8).__call__, view="pair"),
        Study("attribute", loss=lambda model: helper.make(model), view="pair"),
        Study("name", loss=other, view="pair"),
        Study("mode", loss=partial(plain, weight=Mode.FAST), view="pair"),
        Study("inside", loss=inside, view="pair"),
        Study("lambdas", loss=(lambda m: 1, lambda m: 2)[0], view="pair"),
        Study("set", loss=partial(plain, weight=frozenset({"x", "y", "z"})), view="pair"),
        Study("wrapped", loss=wrapped, view="pair-class"),
        Study("kind", loss=partial(plain, weight=Kind.ONE), view="pair"),
        Study("file", loss=from_file, view="pair"),
        Study("beside", loss=beside, view="pair"),
        Study("environment", loss=of_environment, view="pair"),
        Study("view", loss=plain, view=views.View("mine", ("premise", "hypothesis"), "none", build)),
    ],
    space=Space(batch_size=choice(16), lr=log_uniform(1e-6, 2e-4)),
    budget=Budget(trials=1, seeds=1),
)
'''
HELPER = '''
"""Helps."""
from deeper import DEPTH
NUMBER = 5
UNUSED = 1
LATE = 4

class Base:
    def more(self):
        return DEPTH

def make(model):
    return NUMBER

def late(model):
    return LATE

def other(model, *, size=9):
    return make(model) + size
'''
DEEPER = "DEPTH = 1\n"

ALL = {
    "wrapped",
    "kind",
    "file",
    "beside",
    "environment",
    "plain",
    "closure",
    "object",
    "method",
    "attribute",
    "name",
    "mode",
    "inside",
    "lambdas",
    "set",
    "view",
}

EDITS: dict[str, tuple[str, str, str, set[str]]] = {
    "a constant": ("study.py", "SCALE = 20", "SCALE = 1", {"plain", "mode", "kind", "set", "view"}),
    "a constant's inside": ("study.py", '"b": [1, 2]', '"b": [1, 9]', {"plain", "mode", "kind", "set", "view"}),
    "a helper of the file": (
        "study.py",
        "return SCALE  # why",
        "return SCALE + 1",
        {"plain", "mode", "kind", "set", "view"},
    ),
    "a default": ("study.py", "weight=1.0", "weight=2.0", {"plain", "mode", "kind", "set", "view"}),
    "a partial's argument": ("study.py", "partial(plain, weight=0.5)", "partial(plain, weight=0.6)", {"plain"}),
    "a closure": ("study.py", "closure(3)", "closure(4)", {"closure"}),
    "an object's state": ("study.py", "Weighted(7)", "Weighted(6)", {"object"}),
    "a bound method's object": ("study.py", "Weighted(8)", "Weighted(6)", {"method"}),
    "a class attribute": ("study.py", "factor = 2", "factor = 3", {"object", "method"}),
    "a method": ("study.py", "return self.state *", "return 2 * self.state *", {"object", "method"}),
    "a base class of a helper module's module": ("deeper.py", "DEPTH = 1", "DEPTH = 2", {"object", "method"}),
    "a base class's method": ("helper.py", "return DEPTH", "return DEPTH + 1", {"object", "method"}),
    "a helper module's constant": ("helper.py", "NUMBER = 5", "NUMBER = 6", {"attribute", "name"}),
    "a helper module's function": ("helper.py", "return make(model) + size", "return make(model) - size", {"name"}),
    "a keyword's default": ("helper.py", "size=9", "size=8", {"name"}),
    "what is imported inside": ("helper.py", "LATE = 4", "LATE = 3", {"inside"}),
    "an enum's member": ("study.py", "weight=Mode.FAST", "weight=Mode.SLOW", {"mode"}),
    "what a library's function is wrapped by": ("study.py", "return 1 + model", "return 2 + model", {"wrapped"}),
    "an enum's method": ("study.py", "return 10", "return 11", {"kind"}),
    "a lambda": ("study.py", "lambda m: 1,", "lambda m: 3,", {"lambdas"}),
    "a set": ("study.py", '"x", "y", "z"', '"x", "y", "w"', {"set"}),
    "a view's function": ("study.py", '[["premise", "hypothesis"]]', '[["hypothesis", "premise"]]', {"view"}),
    "a comment": ("study.py", "# why", "# because", set()),
    "a docstring": ("study.py", '"""Says something."""', '"""Says something else,\n\n    at length."""', set()),
    "a class's docstring": ("study.py", '"""A loss with a state."""', '"""It has one."""', set()),
    "blank lines": ("study.py", "SCALE = 20", "\n\n\nSCALE = 20", set()),
    "layout": ("study.py", "return self.state * self.factor", "return (\n            self.state * self.factor", set()),
    "another lambda on the line": ("study.py", "lambda m: 2)", "lambda m: 4)", set()),
    "a helper's docstring": ("helper.py", '"""Helps."""', '"""It helps."""', set()),
    "what nobody reads": ("helper.py", "UNUSED = 1", "UNUSED = 2", set()),
}


def write(folder: Path, **changed: str) -> Path:
    for name, text in {"study": STUDY, "helper": HELPER, "deeper": DEEPER, **changed}.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder / "study.py"


def ids(path: Path) -> dict[str, str | None]:
    """The id of each study's first trial, planned without a store."""
    plan = api.plan(load_study_file(path), path.parent / "store")
    return {study: plan.of(study, "tune")[0].id for study in ALL}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_makes_new_runs_of_the_studies_that_it_reaches_and_of_no_others(tmp_path: Path, edit: str) -> None:
    file, old, new, reached = EDITS[edit]
    before = ids(write(tmp_path))
    text = {"study.py": STUDY, "helper.py": HELPER, "deeper.py": DEEPER}[file]
    assert old in text
    changed = text.replace(old, new)
    if edit == "layout":
        changed = changed.replace("* self.more()", "* self.more()\n        )")
    after = ids(write(tmp_path, **{file.removesuffix(".py"): changed}))
    assert {study for study in ALL if before[study] != after[study]} == reached


def test_a_file_and_a_variable_of_the_environment_that_a_loss_reads_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.reading.hashes import of_names
    from harness.store.contents import Contents, resolved, updated

    def decided() -> dict[str, str]:
        ablation = load_study_file(write(tmp_path))
        found = resolved(ablation, updated(Contents(), {}, of_names(ablation.names_files())))
        return {study.name: found.decides(study)["loss"] for study in found.studies}

    (tmp_path / "side.txt").write_text("1", encoding="utf-8")
    monkeypatch.setenv("IDENTITY_SCALE", "1")
    before = decided()
    (tmp_path / "side.txt").write_text("20", encoding="utf-8")
    monkeypatch.setenv("IDENTITY_SCALE", "20")
    monkeypatch.setenv("NOBODY_READS", "20")
    after = decided()
    assert {name for name in before if before[name] != after[name]} == {"file", "beside", "environment"}


def test_every_process_has_the_same_ids_whatever_its_hash_seed(tmp_path: Path) -> None:
    path = write(tmp_path)
    code = (
        "import json, sys; from pathlib import Path; from harness import api; "
        "from harness.spec.loading import load_study_file; "
        "print(json.dumps([run.id for run in api.plan(load_study_file(Path(sys.argv[1])), 'none').runs]))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code, str(path)],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(5)
    }
    assert len(found) == 1
    assert len(set(json.loads(found.pop()))) > len(ALL)


def test_a_copy_in_another_folder_has_the_same_ids(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    one, two = ids(write(first)), ids(write(second))
    assert {study for study in ALL if one[study] != two[study]} == {"file"}  # a path, until what it holds was read


def test_functions_and_enums_as_options_have_no_address_in_id_or_name() -> None:
    from sentence_transformers import util

    from harness.compat import losses as library

    given = losses.MultipleNegativesRankingLoss.given(similarity_fct=util.dot_score)
    other = losses.MultipleNegativesRankingLoss.given(similarity_fct=util.cos_sim)
    assert digest(given) != digest(other)
    assert losses.label(given) == "MultipleNegativesRankingLoss(similarity_fct=dot_score)"
    cosine = losses.TripletLoss.given(distance_metric=library.TripletDistanceMetric.COSINE)
    assert "0x" not in losses.label(cosine)
    code = (
        "from harness import losses; from harness.identity import digest; from sentence_transformers import util; "
        "print(digest(losses.MultipleNegativesRankingLoss.given(similarity_fct=util.dot_score)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(given)


def test_partials_of_two_losses_have_two_ids_and_two_names() -> None:
    cosent, angle = partial(losses.CoSENTLoss, scale=20), partial(losses.AnglELoss, scale=20)
    assert digest(cosent) != digest(angle)
    assert [losses.label(cosent), losses.label(angle)] == ["CoSENTLoss(scale=20)", "AnglELoss(scale=20)"]


def test_arrays_and_tensors_count_by_their_numbers() -> None:
    import torch

    ones, others = np.ones(3), np.array([1.0, 1.0, 2.0])
    assert digest(ones) == digest(np.ones(3)) != digest(others)
    assert digest(torch.ones(3)) == digest(torch.ones(3)) != digest(torch.ones(4))
    assert digest(np.arange(10_000)) != digest(np.arange(10_000)[::-1])


def ablation_of(*studies: Study) -> Ablation:
    return Ablation(
        name="a",
        testbed=testbeds.book,
        studies=studies,
        space=Space(batch_size=choice(16), lr=log_uniform(1e-6, 2e-4)),
        budget=Budget(trials=1, seeds=1),
    )


@pytest.mark.parametrize(
    "make",
    [threading.Lock, partial(open, os.devnull), lambda: (n for n in range(0))],
    ids=["lock", "file", "generator"],
)
def test_what_has_no_content_is_refused_before_anything_runs_with_study_object_and_way_out(make: object) -> None:
    held = make()  # type: ignore[operator]

    def loss(model: object) -> object:
        return held

    with pytest.raises(StudyFileError) as caught:
        api.plan(ablation_of(Study("mine", loss=loss, view="pair")), "none")
    told = str(caught.value)
    assert "study 'mine'" in told
    assert "held" in told
    assert type(held).__qualname__ in told
    assert "inside the function" in told


def odd() -> dict[str, object]:
    import pandas as pd
    import torch

    class Broken:
        def __reduce_ex__(self, protocol: object) -> tuple[()]:
            return ()

    deep: list[object] = []
    for _ in range(3000):
        deep = [deep]
    return {
        "sparse": torch.eye(2).to_sparse(),
        "meta": torch.ones(2, device="meta"),
        "pickled in no way": Broken(),
        "deep": deep,
        "frame": pd.Series([[1], [2]]),
        "conjugate": torch.ones(2, dtype=torch.complex64).conj(),
        "huge": 10**5000,
    }


@pytest.mark.parametrize("what", odd())
def test_odd_objects_are_told_or_refused_and_never_an_unexpected_error(what: str) -> None:
    held = odd()[what]
    refused = what in ("sparse", "meta", "pickled in no way", "deep")

    def loss(model: object) -> object:
        return held

    ablation = ablation_of(Study("mine", loss=loss, view="pair"))
    if refused:
        with pytest.raises(StudyFileError, match="study 'mine'"):
            api.plan(ablation, "none")
    else:
        assert api.plan(ablation, "none").runs


def test_kinds_of_arrays_and_tables_are_told_apart() -> None:
    import pandas as pd
    import torch

    pairs = [
        (np.array([[1.0]]), np.asmatrix([[1.0]])),
        (np.ma.masked_array([1, 2], [False, False]), np.ma.masked_array([1, 2], [False, True])),
        (torch.ones(2), torch.nn.Parameter(torch.ones(2))),
        (pd.DataFrame({"a": [1, "1"]}), pd.DataFrame({"a": ["1", 1]})),
        (pd.Series([1], name="a"), pd.Series([1], name="b")),
        (pd.Series(pd.Categorical(["a"], ["a", "b"])), pd.Series(pd.Categorical(["a"], ["b", "a"]))),
    ]
    for left, right in pairs:
        assert digest(left) != digest(right)


def rows_of(columns: list[str]) -> object:
    return lambda rows, limit: rows[columns].head(limit)


def test_two_views_of_one_name_are_refused_if_they_make_other_rows() -> None:
    first = View("mine", ("premise", "hypothesis"), "none", rows_of(["premise", "hypothesis"]))  # type: ignore[arg-type]
    twin = View("mine", ("premise", "hypothesis"), "none", rows_of(["premise", "hypothesis"]))  # type: ignore[arg-type]
    other = View("mine", ("premise", "hypothesis"), "none", rows_of(["hypothesis", "premise"]))  # type: ignore[arg-type]
    mnr = losses.MultipleNegativesRankingLoss
    assert first == twin != other
    ablation_of(Study("a", loss=mnr, view=first), Study("b", loss=mnr, view=twin))
    with pytest.raises(StudyFileError, match=r"study 'b': its view has the name 'mine'.*give it a unique name"):
        ablation_of(Study("a", loss=mnr, view=first), Study("b", loss=mnr, view=other))
    called_pair = View("pair", ("premise", "hypothesis"), "none", rows_of(["premise", "hypothesis"]))  # type: ignore[arg-type]
    with pytest.raises(StudyFileError, match="a built-in view"):
        ablation_of(Study("a", loss=mnr, view=called_pair))


def test_shares_that_print_alike_are_two_views() -> None:
    assert views.noisy("pair", 0.1) == views.noisy("pair", 0.1)
    assert views.noisy("pair", 0.1) != views.noisy("pair", 0.1 + 1e-12)
    assert len({view.decides() for view in VIEWS.values()}) == len(VIEWS)


def records(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("runs/*/records/*.json")}


def test_editing_a_constant_trains_anew_and_editing_a_comment_does_not(cache: Path, tmp_path: Path) -> None:
    text = """
from harness import *
SCALE = 20

def loss(model):
    return losses.MultipleNegativesRankingLoss(model, scale=SCALE)

ablation = Ablation(
    name="edited", testbed=testbeds.book, studies=[Study("mine", loss=loss, view="pair")],
    space=Space(batch_size=choice(16), lr=log_uniform(1e-4, 1e-2)), budget=Budget(trials=1, epochs=0.25, seeds=1),
)
"""

    def run(text: str) -> str:
        (tmp_path / "study.py").write_text(text, encoding="utf-8")
        done = harness("run", "study.py", "--no-mteb", "--executor", "inline", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    run(text)
    first = records(tmp_path)
    told = run(text.replace("SCALE = 20", "# warm\nSCALE = 20"))
    assert records(tmp_path) == first
    assert "was edited after" in told  # the file changed, and the runs stand
    run(text.replace("SCALE = 20", "SCALE = 1"))
    new = records(tmp_path) - first
    assert len(new) == 2  # the trial and its final run; the untrained model's stands
    assert first < records(tmp_path)  # nothing is lost


def test_a_guide_counts_by_its_content_and_not_by_its_name(cache: Path, tmp_path: Path) -> None:
    from harness.reading.hashes import of_names
    from harness.store.contents import Contents, resolved, updated

    guide = tmp_path / "guide"
    guide.mkdir()
    (guide / "config.json").write_text("{}", encoding="utf-8")
    (guide / "model.safetensors").write_bytes(b"some")
    ablation = ablation_of(Study("gist", loss=partial(losses.gist, guide=str(guide)), view="pair"))

    def digests() -> dict[str, str]:
        found = resolved(ablation, updated(Contents(), {}, of_names(ablation.names_files())))
        return found.decides(found.studies[0])

    before = digests()
    (guide / "README.md").write_text("a card", encoding="utf-8")
    assert digests() == before
    (guide / "model.safetensors").write_bytes(b"other")
    assert digests() != before
