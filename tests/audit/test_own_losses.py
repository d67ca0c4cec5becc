"""The audit tries each loss that a study file defines on one batch, and says what is wrong with it and where."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from audited import MNR, make
from commandline import STUDY, harness
from driven import driven, make_ablation
from mishaps import crash, mishap
from rich.console import Console
from torch import Tensor, nn

from harness import Study, api, losses, views
from harness.audit import cache as audits
from harness.audit.losses import try_loss
from harness.data.findings import Finding

pytestmark = pytest.mark.usefixtures("cache")


def loss_of(value: Callable[[Any, Tensor | None], Any]) -> Callable[[Any], nn.Module]:
    """Make a loss from a function of the embeddings and the labels."""

    class Loss(nn.Module):
        def __init__(self, model: Any, scale: float = 1) -> None:
            super().__init__()
            self.model = model

        def forward(self, features: Any, labels: Tensor | None) -> Any:
            return value([self.model(column)["sentence_embedding"] for column in features], labels)

    return Loss


def two_columns(embeddings: Any, labels: Tensor | None) -> Any:
    left, right = embeddings
    return (left - right).square().mean()


def findings(loss: Any, view: Any = "pair", **options: Any) -> list[Finding]:
    return try_loss(make([Study("mine", loss, view, **options)]), "mine")


def explained(loss: Any, view: Any = "pair", **options: Any) -> tuple[str, str]:
    """Return kind and explanation of the one finding, an error."""
    (finding,) = (each for each in findings(loss, view, **options) if each.severity != "note")
    assert (finding.severity, finding.where) == ("error", "study mine")
    return finding.what, finding.explain


def test_a_loss_of_two_columns_cannot_read_a_triplet() -> None:
    assert findings(loss_of(two_columns)) == []
    assert explained(loss_of(two_columns), "triplet") == (
        "loss raises an error",
        "The loss of study 'mine' raised ValueError: too many values to unpack (expected 2) on a batch of 8 rows of "
        "view 'triplet' (3 texts, no label). Fix the loss, or give the study a view that it can read, e.g. "
        'view="pair".',
    )


def test_a_loss_that_declares_what_it_reads_is_not_given_another_view() -> None:
    wrong = losses.reads("none", fewest=3)(lambda model: loss_of(two_columns)(model))
    assert explained(wrong, "triplet")[1].endswith("(3 texts, no label). Fix the loss.")


def test_a_misspelt_key_is_an_error_on_scored_pairs_and_its_label_is_not_probed() -> None:
    class Misspelt(nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, features: Any, labels: Tensor) -> Tensor:
            return self.model(features[0])["sentence_embeding"].sum() * labels.sum()  # type: ignore[no-any-return]

    what, explain = explained(Misspelt, "pair-score")
    assert "raised KeyError: 'sentence_embeding' on a batch of 8 rows" in explain
    assert "(2 texts, label 'score')" in explain
    assert [f.what for f in findings(Misspelt, "pair-score")] == [what, "label not probed"]


@pytest.mark.parametrize(
    ("value", "what", "words"),
    [
        (lambda e, _: e[0].sum() * math.nan, "loss cannot be trained", "is nan on a batch of 8 rows of view 'pair'"),
        (lambda e, _: {"a": e[0].sum(), "b": e[0].sum() / 0}, "loss cannot be trained", "inf on a batch"),
        (lambda e, _: e[0].detach().sum(), "loss cannot be trained", "gave the model no gradient on a batch"),
        (lambda e, _: nn.Linear(32, 1)(e[0].detach()).sum(), "loss cannot be trained", "gave the model no gradient"),
        (lambda e, _: e[0].sum(1), "loss cannot be trained", "gave a tensor of shape [8] on a batch"),
        (lambda e, _: e[0].sum().item(), "loss cannot be trained", "gave an object of type float on a batch"),
        (lambda e, _: {"a": 1.0}, "loss cannot be trained", "gave a dictionary of float on a batch"),
        (lambda e, _: exit(3), "loss raises an error", "raised SystemExit: 3 on a batch"),
    ],
)
def test_a_value_that_cannot_be_trained_is_an_error_in_its_own_words(value: Any, what: str, words: str) -> None:
    assert explained(loss_of(value))[0] == what
    assert words in explained(loss_of(value))[1]


def test_what_is_no_module_is_an_error() -> None:
    assert "returned an object of type tuple and not a torch.nn.Module" in explained(lambda model: (model,))[1]


@pytest.mark.parametrize(
    "value",
    [
        lambda e, _: {"near": (e[0] - e[1]).square().mean(), "size": e[0].mean()},
        lambda e, _: e[0].sum() * 0,  # a margin that the batch satisfies
        lambda e, _: (e[0] @ e[1].T).topk(8).values.mean(),  # as many rows as the smallest batch of the space has
    ],
)
def test_a_loss_that_can_be_trained_is_no_finding(value: Any) -> None:
    assert findings(loss_of(value)) == []


@pytest.mark.parametrize("view", ["pair", "pair-score", "triplet"])
def test_one_row_is_tried_too(view: str) -> None:
    def parts(embeddings: Any, labels: Tensor | None) -> Any:
        assert len(embeddings[0]) == 1
        return embeddings[0].sum() * (1 if labels is None else labels.sum())

    def wrong(embeddings: Any, labels: Tensor | None) -> Any:
        raise IndexError("no such row")

    only = next(n for n in range(1, 60) if len(built(view, n)) == 1)
    assert findings(loss_of(parts), view, rows=only) == []
    assert "on a batch of 1 row of view" in explained(loss_of(wrong), view, rows=only)[1]


def built(view: str, rows: int) -> Any:
    from harness.audit.losses import _rows

    ablation = make([Study("mine", MNR, "pair", rows=rows)])
    return _rows(ablation.testbed_of("mine"), views.named(view))


def test_a_mined_view_is_tried_with_negatives_of_its_form() -> None:
    view = views.mined("pair-of-triplet", negatives=2)
    assert "(4 texts, no label)" in explained(loss_of(two_columns), view)[1]
    assert findings(loss_of(lambda e, _: e[3].sum()), view) == []


def test_losses_of_the_library_are_not_tried() -> None:
    studies = [
        Study("a", MNR, "pair"),
        Study("b", losses.softmax, "pair-class"),
        Study("c", losses.gist, "pair"),
        Study("mine", loss_of(two_columns), "pair"),
    ]
    assert [study.name for study in audits.own_losses(make(studies))] == ["mine"]


OWN = """
from helper import difference
from torch import nn

class Mine(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, features, labels):
        return difference(*(self.model(column)["sentence_embedding"] for column in features))

class Crashes(Mine):
    def forward(self, features, labels):
        import os
        os._exit(9)

class Hangs(Mine):
    def forward(self, features, labels):
        import time
        time.sleep(1e6)

class LateCrash(Mine):
    batches = 0

    def forward(self, features, labels):
        self.batches += 1
        left, right = (self.model(column)["sentence_embedding"] for column in features)
        return (left - right).square().mean() / (1 if self.batches == 1 else wrong())

def wrong():
    raise ZeroDivisionError("too late")

"""
HELPER = "def difference(left, right):\n    return (left - right).square().mean().view(3, 3)\n"


def write(folder: Path, cosine: str, mnr: str) -> None:
    """Write STUDY with two losses of its own, the second of which comes from a file beside it."""
    text = STUDY.replace("ablation =", f"{OWN}ablation =").replace(
        'losses.CosineSimilarityLoss, view="pair-score"', f'{cosine}, view="pair"'
    )
    (folder / "m.py").write_text(text.replace("losses.MultipleNegativesRankingLoss", mnr), encoding="utf-8")
    (folder / "helper.py").write_text(HELPER, encoding="utf-8")


def line_of(file: Path, text: str) -> int:
    return next(n for n, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1) if text in line)


def test_errors_name_the_line_refuse_the_run_and_a_crash_is_a_warning(tmp_path: Path) -> None:
    write(tmp_path, "Crashes", "Mine")
    done = harness("run", "m.py", "--tasks", "", cwd=tmp_path)

    assert done.returncode == 2, done.stderr
    assert "warning: study cosine: loss not tried: The loss of study 'cosine' could not be tried" in done.stderr
    assert "the worker process died (exit code 9). Its runs may end in the same way." in done.stderr
    assert "the audit of the data found 1 error; nothing was trained:\n  - study mnr: loss raises" in done.stderr
    assert "raised RuntimeError: shape '[3, 3]' is invalid for input of size 1 at helper.py:2 on a batch" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "runs" / "small-book" / "records").iterdir()) == []

    write(tmp_path, "losses.MultipleNegativesRankingLoss", "Mine")  # the digest of Mine covers the file beside it
    (tmp_path / "helper.py").write_text(HELPER.replace(".view(3, 3)", ""), encoding="utf-8")
    done = harness("run", "m.py", "--tasks", "", "--audit-only", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_trial_of_a_loss_that_hangs_ends_at_the_time_limit(tmp_path: Path) -> None:
    write(tmp_path, "Hangs", "losses.MultipleNegativesRankingLoss")
    done = harness("run", "m.py", "--tasks", "", "--audit-only", "--time-limit", "0.05", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "The loss of study 'cosine' could not be tried" in done.stdout
    assert "the run took longer than the time limit of 0.05 min" in done.stdout


def test_a_failed_run_names_the_line_of_the_study_file(tmp_path: Path) -> None:
    write(tmp_path, "losses.MultipleNegativesRankingLoss", "LateCrash")
    options = ("--tasks", "", "--trials", "1", "--seeds", "1", "--only", "mnr", "--workers", "1")
    done = harness("run", "m.py", *options, cwd=tmp_path)

    assert done.returncode == 3, done.stderr
    line = line_of(tmp_path / "m.py", 'raise ZeroDivisionError("too late")')
    assert f": failed: ZeroDivisionError: too late (at m.py:{line})\n" in done.stdout + done.stderr


def test_an_error_of_a_loss_is_tried_again_and_what_passed_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss may have failed for want of a package or a file, which no key contains."""
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "package_of_a_loss.py"

    def needs_a_package(model: Any) -> nn.Module:
        import importlib

        importlib.import_module("package_of_a_loss")
        return loss_of(two_columns)(model)

    def errors() -> list[str]:
        found = api.audit(ablation, tmp_path / "store", console=Console(file=io.StringIO()))
        return [finding.what for finding in found.of("error")]

    ablation = make([Study("mine", needs_a_package, "pair")])
    assert errors() == ["loss raises an error"]
    package.touch()
    assert errors() == []
    package.unlink()
    assert errors() == []


def test_the_key_covers_the_options_and_rows_that_a_loss_is_tried_with() -> None:
    def key(**fields: Any) -> str:
        return audits.key(make([Study("mine", loss_of(two_columns), "pair", **fields)]))

    assert len({key(), key(fixed={"batch_size": 4}), key(options={"scale": losses_choice()})}) == 3


def losses_choice() -> Any:
    from harness import choice

    return choice(1, 2)


def test_a_loss_that_fails_later_fails_its_runs_alone(tmp_path: Path) -> None:
    said = driven(make_ablation({"crash": mishap(crash)}, trials=1), tmp_path)
    assert "failed: ZeroDivisionError: a bug in the loss" in said
