"""`harness doctor`: the installed libraries pass every check, and each check fails on the fault that it is for.

The faults are planted in the libraries, or in the harness where it does the work; the command runs in this process.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import BertModel

from harness.cli.main import main
from harness.compat import NoDuplicatesBatchSampler, Pooling, SentenceTransformerDataCollator, Transformer, evaluation
from harness.compat import losses as library
from harness.doctor import material
from harness.evaluation.encoder import EvaluatedModel
from harness.model import attention, certificate, loading
from harness.model.fast import FastSentenceTransformer
from harness.stats import intervals
from harness.training import train as training

library_trainer = pytest.importorskip(
    "sentence_transformers.base.trainer", reason="faults are planted in modules of sentence-transformers 5.4 and newer"
)
library_sampler = pytest.importorskip("sentence_transformers.base.sampler")

CLEARS_GRADIENTS = hasattr(library_trainer, "_OptimizerZeroGradCallback")
"""Whether the installed trainer clears the gradients of a loss's own parameters; sentence-transformers 6.2 does."""

PAGE = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _as_if_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget models and certificates of other tests, and take back the environment variables that the command sets."""
    monkeypatch.setattr(certificate, "_CERTIFICATES", {})
    before = dict(os.environ)
    loading._base_model.cache_clear()
    yield
    loading._base_model.cache_clear()
    os.environ.clear()
    os.environ.update(before)


def test_the_installed_libraries_pass_every_check_that_the_page_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == int(not CLEARS_GRADIENTS)
    document = json.loads(capsys.readouterr().out)
    assert document["failed"] == ([] if CLEARS_GRADIENTS else ["fresh-gradients"])
    failed = [each["check"] for each in document["checks"] if each["state"] != "ok"]
    assert failed == document["failed"]
    assert document["versions"]["sentence-transformers"]
    assert re.findall(r"^\| `([\w-]+)` \| (.+) \|$", PAGE, re.MULTILINE) == [
        (each["check"], each["proves"]) for each in document["checks"]
    ]


@dataclass(frozen=True)
class Fault:
    """A fault, and what the line of its check says of it."""

    check: str
    """The check that must fail."""
    says: str
    """Pattern of what the line says was expected and found."""
    plant: Callable[[pytest.MonkeyPatch], None]
    """Plants it."""


def around(owner: Any, name: str, wrapper: Callable[..., Any]) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what replaces a function or method by one that gets the original before its arguments."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def replaced(*arguments: Any, **options: Any) -> Any:
            return wrapper(original, *arguments, **options)

        monkeypatch.setattr(owner, name, replaced)

    return plant


def both(*plants: Callable[[pytest.MonkeyPatch], None]) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        for each in plants:
            each(monkeypatch)

    return plant


def few_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out most losses, to save time."""
    names = ("MultipleNegativesRankingLoss", "CoSENTLoss", "SoftmaxLoss")
    some = {name: feed for name, feed in material.feeds().items() if name in names}
    monkeypatch.setattr(material, "feeds", lambda: some)


def pads_are_pooled(pool: Any, module: Any, features: Any, **options: Any) -> Any:
    mask = features["attention_mask"]
    pooled = pool(module, {**features, "attention_mask": torch.ones_like(mask)}, **options)
    return {**pooled, "attention_mask": mask}


def place_counts(pool: Any, module: Any, features: Any, **options: Any) -> Any:
    pooled = pool(module, features, **options)
    rows = torch.arange(len(pooled["sentence_embedding"]))[:, None]
    return {**pooled, "sentence_embedding": pooled["sentence_embedding"] * (1 + rows / 100)}


def left_is_cut(preprocess: Any, module: Any, *arguments: Any, **options: Any) -> Any:
    module.tokenizer.truncation_side = "left"
    return preprocess(module, *arguments, **options)


def prompt_is_dropped(encode: Any, model: Any, inputs: Any, *, prompt: Any = None, **options: Any) -> Any:
    return encode(model, inputs, **options)


def other_weights_are_saved(save: Any, model: Any, *arguments: Any, **options: Any) -> None:
    with torch.no_grad():
        weight = model[0].auto_model.encoder.layer[0].output.dense.weight
        weight.mul_(2)
        save(model, *arguments, **options)
        weight.div_(2)


def length_is_forgotten(save: Any, model: Any, *arguments: Any, **options: Any) -> None:
    usual, model.max_seq_length = model.max_seq_length, 9
    save(model, *arguments, **options)
    model.max_seq_length = usual


def times(factor: float) -> Callable[..., Any]:
    return lambda original, *arguments, **options: factor * original(*arguments, **options)


def gradient_is_off(original: Any, *arguments: Any, **options: Any) -> Any:
    value = original(*arguments, **options)
    return value + 0.01 * (value - value.detach())


def own_labels(forward: Any, loss: Any, features: Any, labels: Any) -> Any:
    return forward(loss, features, torch.arange(len(labels), dtype=torch.float))


def classifier_gets_nothing(forward: Any, loss: Any, features: Any, labels: Any) -> Any:
    with torch.no_grad():
        weight, bias = loss.classifier.weight.clone(), loss.classifier.bias.clone()
    usual, loss.classifier.forward = loss.classifier.forward, lambda x: torch.nn.functional.linear(x, weight, bias)
    try:
        return forward(loss, features, labels)
    finally:
        loss.classifier.forward = usual


def embeddings_are_frozen(build: Any, loss: Any, model: Any, *arguments: Any, **options: Any) -> None:
    build(loss, model, *arguments, **options)
    model[0].auto_model.embeddings.requires_grad_(False)


def unseeded(forward: Any, loss: Any, *arguments: Any, **options: Any) -> Any:
    return (1 + float(np.random.default_rng().random())) * forward(loss, *arguments, **options)


def one_seed(function: Any, *arguments: Any, **options: Any) -> Any:
    return function(*arguments, **{**options, "seed": 1})


def in_mode(training: bool) -> Callable[..., Any]:
    def forward(original: Any, module: Any, *arguments: Any, **options: Any) -> Any:
        module.train(training)
        return original(module, *arguments, **options)

    return forward


def labels_are_rolled(collate: Any, collator: Any, rows: Any) -> Any:
    batch = collate(collator, rows)
    return {**batch, "label": batch["label"].roll(1)} if "label" in batch else batch


def first_batch_is_left_out(batches: Any, sampler: Any) -> Any:
    whole = list(batches(sampler))
    return iter([*whole[1:], whole[1]])


def rows_in_order(batches: Any, sampler: Any) -> Any:
    rows = sorted(itertools.chain(*batches(sampler)))
    return iter([rows[start : start + sampler.batch_size] for start in range(0, len(rows), sampler.batch_size)])


def first_batch_comes_twice(batches: Any, sampler: Any) -> Any:
    whole = list(batches(sampler))
    return iter([whole[0], *whole])


def chance_is_used(embed: Any, *arguments: Any, **options: Any) -> Any:
    torch.rand(1)
    return embed(*arguments, **options)


def nan_is_filtered(arguments: Any, **options: Any) -> Any:
    return arguments(**{**options, "logging_nan_inf_filter": True})


def gold_is_rounded(build: Any, judge: Any, left: Any, right: Any, scores: Any, **options: Any) -> None:
    build(judge, left, right, [float(round(2 * score)) for score in scores], **options)


def name_decides(evaluate: Any, model: Any, tasks: Any, known: dict[Any, Any], **options: Any) -> Any:
    names = [task.metadata.name for task in tasks] if isinstance(tasks, list) else [tasks.metadata.name]
    key = type(model).__name__, *names
    return known.setdefault(key, None) or known.setdefault((key, "result"), evaluate(model, tasks, **options))


def coarse(encode: Any, *arguments: Any, **options: Any) -> Any:
    return np.round(np.asarray(encode(*arguments, **options)), 1)


def better(figure: str) -> Callable[..., Any]:
    def judge(original: Any, *arguments: Any, **options: Any) -> Any:
        judged = original(*arguments, **options)
        return {**judged, figure: judged[figure] + 2e-6}

    return judge


def history_counts() -> Callable[..., Any]:
    calls = itertools.count()
    return lambda original, *arguments: (1 + next(calls) / 10) * original(*arguments)


def raises(*arguments: Any, **options: Any) -> Any:
    raise TypeError("forward() got an unexpected keyword argument 'x'\x1b[2J")


MNR = library.MultipleNegativesRankingLoss
FAULTS = [
    Fault(
        "padding",
        r"check that ends; found TypeError: forward\(\) got .* 'x'\\x1b\[2J",
        around(Pooling, "forward", raises),
    ),
    Fault(
        "fast-path",
        r"a path without padding for MultipleN.*; found that of chunks",
        around(FastSentenceTransformer, "_pass", times(1.01)),
    ),
    Fault(
        "fast-path",
        r"agrees with the plain one for MultipleN.*; found packed: gradient of .* bound",
        around(attention, "within_sentences", gradient_is_off),
    ),
    Fault(
        "padding",
        r"alone and beside longer ones, by forward: .* off by 0\.",
        around(Pooling, "forward", pads_are_pooled),
    ),
    Fault("truncation", r"another end after 64 tokens", around(Transformer, "preprocess", left_is_cut)),
    Fault(
        "prompts", r"texts that begin with it, by encode: ", around(SentenceTransformer, "encode", prompt_is_dropped)
    ),
    Fault(
        "saved-model",
        r"saved model, loaded as SentenceTransformer: ",
        around(SentenceTransformer, "save_pretrained", other_weights_are_saved),
    ),
    Fault(
        "saved-model",
        r"max_seq_length 8 of a saved model; found 9",
        around(SentenceTransformer, "save_pretrained", length_is_forgotten),
    ),
    Fault("row-order", r"embeddings of a batch in another order", around(Pooling, "forward", place_counts)),
    Fault(
        "row-order",
        r"the value of AnglELoss with rows in another order",
        around(library.CoSENTLoss, "forward", own_labels),
    ),
    Fault(
        "cached-losses",
        r"the value of MultipleN.* in pieces of 3",
        around(library.CachedMultipleNegativesRankingLoss, "forward", times(1.01)),
    ),
    Fault(
        "labels",
        r"another value of AnglELoss with other labels; found the same",
        around(library.CoSENTLoss, "forward", own_labels),
    ),
    Fault(
        "every-loss-trains",
        r"FrozenLoss: SoftmaxLoss: its parameters classifier\.weight",
        both(few_losses, around(library.SoftmaxLoss, "forward", classifier_gets_nothing)),
    ),
    Fault(
        "every-loss-trains",
        r"CoSENTLoss to move 36 weight matrices; found \d unmoved",
        both(few_losses, around(library.CoSENTLoss, "__init__", embeddings_are_frozen)),
    ),
    Fault(
        "seeds",
        r"the same weights of Multiple.* from the same seed; found \d+ tensors",
        around(MNR, "forward", unseeded),
    ),
    Fault(
        "seeds",
        r"other weights of Multiple.* from another seed",
        both(around(material, "train", one_seed), around(material, "set_seed", lambda seed, _: seed(1))),
    ),
    *(
        [
            Fault(
                "fresh-gradients",
                r"left of earlier ones for inner\.classifier\.weight, .* in 7 steps",
                around(library_trainer._OptimizerZeroGradCallback, "on_step_end", lambda *_, **__: None),
            ),
        ]
        if CLEARS_GRADIENTS
        else []
    ),
    Fault(
        "dropout", r"dropout in all 2 steps .*; found dropout in 0 steps", around(BertModel, "forward", in_mode(False))
    ),
    Fault("dropout", r"same embeddings twice in evaluation", around(BertModel, "forward", in_mode(True))),
    Fault(
        "rows",
        r"the texts of row 0 beside its label",
        around(SentenceTransformerDataCollator, "__call__", labels_are_rolled),
    ),
    Fault(
        "rows",
        r"each of 61 rows once an epoch; found",
        around(library_sampler.DefaultBatchSampler, "__iter__", first_batch_is_left_out),
    ),
    Fault(
        "rows",
        r"shuffled rows; found the rows in their own order",
        around(library_sampler.DefaultBatchSampler, "__iter__", rows_in_order),
    ),
    Fault(
        "no-duplicates",
        r"no batch with a text twice; found \d",
        around(NoDuplicatesBatchSampler, "__iter__", rows_in_order),
    ),
    Fault(
        "no-duplicates",
        r"no row twice in an epoch; found",
        around(NoDuplicatesBatchSampler, "__iter__", first_batch_comes_twice),
    ),
    Fault(
        "scoring-in-between",
        r"with and without scoring in between; found \d+ tensors",
        around(FastSentenceTransformer, "embed", chance_is_used),
    ),
    Fault(
        "not-a-number",
        r"ends at a NaN loss; found one that went on",
        around(training, "SentenceTransformerTrainingArguments", nan_is_filtered),
    ),
    Fault(
        "gold-scale",
        r"sentence-transformers' correlations with gold",
        around(evaluation.EmbeddingSimilarityEvaluator, "__init__", gold_is_rounded),
    ),
    Fault(
        "gold-scale",
        r"Spearman of cosines and of their exponential",
        lambda m: m.setattr(intervals, "spearman", intervals.pearson),
    ),
    Fault("mteb-tasks", r"mteb's score, EmbeddedSTS: .* off by", around(EvaluatedModel, "encode", coarse)),
    Fault(
        "mteb-tasks",
        r"another score for a model with other weights; found the same for EmbeddedSTS",
        around(mteb, "evaluate", functools.partial(name_decides, known={})),
    ),
    Fault(
        "evaluators",
        r"STS by .*, spearman_cosine: .* off by 2e-06",
        around(evaluation.EmbeddingSimilarityEvaluator, "__call__", better("spearman_cosine")),
    ),
    Fault(
        "evaluators",
        r"retrieval by .*, ndcg@10: .* off by 2e-06",
        around(evaluation.InformationRetrievalEvaluator, "__call__", better("cosine_ndcg@10")),
    ),
    Fault(
        "evaluators",
        r"pairs by .*, average_precision: .* off by 2e-06",
        around(evaluation.BinaryClassificationEvaluator, "__call__", better("cosine_ap")),
    ),
    Fault(
        "evaluators",
        r"triplets by .*, accuracy: .* off by 2e-06",
        around(evaluation.TripletEvaluator, "__call__", better("cosine_accuracy")),
    ),
    Fault(
        "resume", r"of mnr, \w+, seed \d after a resumption; found .* off by", around(MNR, "forward", history_counts())
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.check}: {fault.says[:40]}")
def test_each_check_fails_on_its_fault(
    fault: Fault, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fault.plant(monkeypatch)
    assert main(["doctor", "--only", fault.check]) == 1
    lines = capsys.readouterr().out.splitlines()
    failed = [line for line in lines if line.startswith("FAILED")]
    assert len(failed) == 1, lines
    assert re.match(rf"FAILED   {fault.check}: expected .*{fault.says}", failed[0]), failed[0]
    assert lines[-1] == f"1 check of {len(lines) - 2} failed: {fault.check}"


def test_libraries_that_the_harness_cannot_import_are_the_only_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "harness.doctor.scores", None)
    assert main(["doctor"]) == 1
    _, line, last = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "FAILED   imports: expected a check that ends; found ModuleNotFoundError: import of harness."
    )
    assert last == "1 check of 1 failed: imports"


def test_a_device_without_a_fast_path_skips_its_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FastSentenceTransformer, "ways", ())
    assert main(["doctor", "--only", "fast-path"]) == 0
    assert "skipped  fast-path: a model on this device (cpu) has only the plain path" in capsys.readouterr().out


def test_an_unknown_check_is_an_error_that_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--only", ""]) == 2
    assert main(["doctor", "--only", "padding,nothing"]) == 2
    assert "there is no check 'nothing'; choose from imports, fast-path, padding," in capsys.readouterr().err
