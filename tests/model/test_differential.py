"""Random models, losses and batches: every fast way beside sentence-transformers' own forward.

Embeddings, a loss's value, every gradient and the weights after three steps. Models are tiny and random, without
dropout. HARNESS_DIFFERENTIAL=50 tries fifty times as many examples.
"""

from __future__ import annotations

import copy
import math
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, NamedTuple, cast

import pytest
import torch
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from models import cosine, needs_packing
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoModel, PretrainedConfig, PreTrainedTokenizerFast, set_seed

from harness.compat import (
    Dense,
    Normalize,
    Pooling,
    StaticEmbedding,
    column_merging_disabled,
    load_transformer,
    losses,
)
from harness.errors import TokensWanted
from harness.model.agreement import GRADIENT, beside_float64, in_float32, rounded
from harness.model.fast import FastSentenceTransformer
from harness.model.packing import Features
from harness.spec.losses import gist, softmax

pytestmark = needs_packing

WORDS = [f"w{number}" for number in range(60)]
LONG, CUT = 48, 8
"""Tokens at which a batch is cut: one of short sentences, one very long, and one that is all cut."""

TIMES = int(os.environ.get("HARNESS_DIFFERENTIAL", "1"))


class Family(NamedTuple):
    """A kind of model: its transformer's configuration, its pooling, what comes after it, and its fastest right way."""

    kind: str
    fastest: str
    pooling: str | tuple[str, ...] = "mean"
    after: tuple[str, ...] = ()
    options: dict[str, Any] = {}  # noqa: RUF012
    side: str = "right"
    include_prompt: bool = True


WINDOW = {"local_attention": 4, "global_attn_every_n_layers": 2, "attention_dropout": 0.0, "cls_token_id": 2}
DISTIL = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "dropout": 0.0, "attention_dropout": 0.0}
DECODER = {"num_key_value_heads": 1, "head_dim": 8}
FAMILIES = {
    "bert": Family("bert", "packed"),
    "bert, CLS": Family("bert", "packed", "cls"),
    "bert, mean and max": Family("bert", "packed", ("mean", "max")),
    "bert, Dense, Normalize": Family("bert", "packed", after=("dense", "normalize")),
    "bert without its prompt": Family("bert", "packed", include_prompt=False),
    "bert, padded on the left": Family("bert", "chunks", side="left"),
    "roberta": Family("roberta", "packed"),
    "distilbert": Family("distilbert", "packed", options=DISTIL),
    "mpnet": Family("mpnet", "chunks"),
    "modernbert": Family("modernbert", "chunks", options=WINDOW),
    "qwen2, last token": Family("qwen2", "chunks", "lasttoken", options=DECODER, side="left"),
    "llama, last token, on the right": Family("llama", "chunks", "lasttoken", options=DECODER),
    "static": Family("static", "plain"),
}


def tokenizer(side: str) -> PreTrainedTokenizerFast:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*special, *WORDS])}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        padding_side=side, model_max_length=LONG,
    )  # fmt: skip


@cache
def modules(name: str, folder: str) -> list[nn.Module]:
    """Make a family's modules, of random weights as large as trained ones, in float64."""
    family = FAMILIES[name]
    torch.manual_seed(0)
    if family.kind == "static":
        return [StaticEmbedding(tokenizer("right"), embedding_dim=16).double()]
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    configure: Callable[..., PretrainedConfig] = CONFIG_MAPPING[family.kind]
    config = configure(
        **({} if family.kind == "distilbert" else sizes), vocab_size=64, pad_token_id=0, bos_token_id=2, eos_token_id=3,
        max_position_embeddings=LONG + 8, **family.options,
    )  # fmt: skip
    for dropout in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        if hasattr(config, dropout):
            setattr(config, dropout, 0.0)
    made = AutoModel.from_config(config).double()  # type: ignore[no-untyped-call]
    for parameter in made.parameters():
        nn.init.normal_(parameter, mean=1.0 if parameter.ndim == 1 else 0.0, std=0.3)
    where = f"{folder}/{name.replace(' ', '_')}"
    made.save_pretrained(where)
    tokenizer(family.side).save_pretrained(where)
    transformer = load_transformer(where, model_kwargs={"dtype": "float64"})
    pooling = Pooling(16, pooling_mode=family.pooling, include_prompt=family.include_prompt)
    after = {"dense": Dense(16, 12).double(), "normalize": Normalize()}
    return [transformer, pooling, *(after[part] for part in family.after)]


def model(name: str, cls: type[SentenceTransformer], folder: str) -> Any:
    return cls(modules=copy.deepcopy(modules(name, folder)), device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("families"))


Make = Callable[[SentenceTransformer], nn.Module]


class Asked(NamedTuple):
    """A loss, how many texts of a row it reads, and what label."""

    make: Make
    texts: int = 2
    label: str = "none"
    smooth: bool = True
    """Whether it has derivatives everywhere: else rounding may choose another side of a kink."""


def cached(kind: Any, **options: Any) -> Make:
    return lambda model: kind(model, **options)


def guided(kind: Any, **options: Any) -> Make:
    return lambda model: kind(model, guide=copy.deepcopy(model).eval(), **options)


MNR, CACHED = losses.MultipleNegativesRankingLoss, losses.CachedMultipleNegativesRankingLoss
LOSSES = {
    "angle": Asked(losses.AnglELoss, label="score"),
    "cosent": Asked(losses.CoSENTLoss, label="score"),
    "cosine": Asked(cosine, label="score"),
    "contrastive": Asked(losses.ContrastiveLoss, label="binary", smooth=False),
    "online contrastive": Asked(losses.OnlineContrastiveLoss, label="binary", smooth=False),
    "softmax": Asked(softmax, label="class", smooth=False),
    "triplet": Asked(losses.TripletLoss, 3, smooth=False),
    "mega batch margin": Asked(cached(losses.MegaBatchMarginLoss, mini_batch_size=3), smooth=False),
    "mnr": Asked(MNR),
    "mnr, negatives": Asked(MNR, 4),
    "symmetric": Asked(losses.MultipleNegativesSymmetricRankingLoss),
    "cached mnr, 1": Asked(cached(CACHED, mini_batch_size=1)),
    "cached mnr, 3": Asked(cached(CACHED, mini_batch_size=3), 3),
    "cached mnr, tokens": Asked(cached(CACHED, mini_batch_num_tokens=2 * LONG)),
    "cached symmetric, 2": Asked(cached(losses.CachedMultipleNegativesSymmetricRankingLoss, mini_batch_size=2)),
    "gist": Asked(gist, smooth=False),
    "cached gist, 4": Asked(guided(losses.CachedGISTEmbedLoss, mini_batch_size=4), smooth=False),
    "matryoshka": Asked(lambda model: losses.MatryoshkaLoss(model, MNR(model), [12, 8, 4])),
    "matryoshka of cached": Asked(
        lambda model: losses.MatryoshkaLoss(model, CACHED(model, mini_batch_size=3), [12, 5])
    ),
    "adaptive layers": Asked(lambda model: losses.AdaptiveLayerLoss(model, MNR(model))),
    "matryoshka 2d": Asked(lambda model: losses.Matryoshka2dLoss(model, MNR(model), [12, 6])),
    "batch hard": Asked(losses.BatchHardSoftMarginTripletLoss, 1, "class", smooth=False),
    "margin mse": Asked(losses.MarginMSELoss, 3, "score"),
}


class Case(NamedTuple):
    """What is drawn: a loss, a batch's rows and lengths, a precision, a way, and whether a trainer announces it."""

    loss: str
    rows: int
    lengths: str
    precision: str
    way: int
    announced: bool
    seed: int


LENGTHS = ("mixed", "equal", "all cut", "one empty", "one very long")
CASES = st.builds(
    Case,
    st.sampled_from(sorted(LOSSES)),
    st.sampled_from((1, 2, 3, 5, 7, 8, 13)),
    st.sampled_from(LENGTHS),
    st.sampled_from(("fp64", "fp32", "bf16")),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 9),
)
SETTINGS = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # a case says all there is to say; making it smaller takes minutes
    suppress_health_check=list(HealthCheck),
)


def texts(case: Case, count: int) -> list[list[str]]:
    """Make columns of texts, no two of which are one: where they are, |u - v| has no derivative."""
    draw, seen = random.Random(case.seed), set()

    def text(row: int, column: int) -> str:
        if case.lengths == "one empty" and (row, column) == (case.rows // 2, 0):
            return ""
        long = case.lengths == "one very long" and (row, column) == (0, count - 1)
        while True:
            words = {"equal": 4, "all cut": draw.randint(CUT, 12)}.get(case.lengths, draw.randint(2, 10))
            made = " ".join(draw.choices(WORDS, k=70 if long else words))
            if tuple(made.split()[: CUT - 2]) not in seen:
                seen.add(tuple(made.split()[: CUT - 2]))
                return made

    return [[text(row, column) for row in range(case.rows)] for column in range(count)]


def labels(kind: str, rows: int) -> Tensor | None:
    made = {
        "score": torch.arange(rows, dtype=torch.float64) / rows,
        "binary": torch.arange(rows) % 2,
        "class": torch.arange(rows) % 3,
    }
    return made.get(kind)


class Trained(NamedTuple):
    """What a model gave for a batch: embeddings, loss and gradients; and how far three steps moved its weights."""

    first: dict[str, Tensor]
    moved: dict[str, Tensor]


def trained(made: Any, case: Case, dtype: torch.dtype, low: bool = False) -> Trained:
    """Let a model take three steps on a batch; with `low`, its forward computes in bf16."""
    made = made.to(dtype).train()
    asked = LOSSES[case.loss]
    made.max_seq_length = CUT if case.lengths == "all cut" else LONG
    columns, label = texts(case, asked.texts), labels(asked.label, case.rows)
    label = label.to(dtype) if label is not None and label.is_floating_point() else label
    options = {} if getattr(made[-1], "include_prompt", True) else {"prompt": "w1 w2 "}
    set_seed(case.seed)
    loss = linear(made) if case.precision == "bf16" else asked.make(made).to(dtype)
    named = dict(made.named_parameters()) | {f"loss.{name}": p for name, p in loss.named_parameters()}
    parameters = {id(p): (f"gradient of {name}", p) for name, p in reversed(named.items()) if p.requires_grad}
    before = {name: p.detach().clone() for name, p in parameters.values()}
    learning = [p for _, p in parameters.values()]
    optimizer: torch.optim.Optimizer = torch.optim.SGD(learning, 1e-3)
    if dtype == torch.float64:
        optimizer = torch.optim.AdamW(learning, 1e-3, eps=1e-5, weight_decay=0.0)
    first: dict[str, Tensor] = {}
    with in_bf16(made) if low else nullcontext():
        for step in range(3):
            made.max_seq_length = LONG if step == 2 else made.max_seq_length  # and tokens that were kept are other ones
            features = [made.preprocess(column, **options) for column in columns]
            first |= {} if step else {"embeddings": torch.cat([made({**c})["sentence_embedding"] for c in features])}
            if isinstance(made, FastSentenceTransformer) and case.announced:
                made.announce_batch(features)
            set_seed(case.seed + step)
            with column_merging_disabled() if case.announced else nullcontext():
                value = loss(features, label)
            value = cast(Tensor, sum(value.values())) if isinstance(value, dict) else value
            optimizer.zero_grad()
            value.backward()
            if not step:
                first |= {} if case.precision == "bf16" else {"the loss": value}
                first |= {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in parameters.values()}
            optimizer.step()
    moved = {name: p.detach() - before[name] for name, p in parameters.values()}
    return Trained({name: value.detach() for name, value in first.items()}, moved)


def linear(model: SentenceTransformer) -> nn.Module:
    """Make a loss that is linear in the embeddings: others have kinks, on whose other side a rounded one may be."""

    class Linear(nn.Module):
        def forward(self, features: list[Features], labels: Tensor | None) -> Tensor:
            value = torch.cat([model(column)["sentence_embedding"] for column in features])
            return (value * torch.arange(1, value.numel() + 1).mul(math.sqrt(2)).sin().view_as(value)).sum()

    return Linear()


@contextmanager
def in_bf16(made: Any) -> Iterator[None]:
    """Let a model's forward compute in bf16 and give float32, as in a trainer."""
    usual = made.forward

    def forward(features: Features, **options: Any) -> Features:
        with torch.autocast("cpu", torch.bfloat16):
            output: Features = usual(features, **options)
        return {
            name: x.float() if isinstance(x, Tensor) and x.dtype == torch.bfloat16 else x for name, x in output.items()
        }

    made.forward = forward
    yield
    del made.forward


CANNOT = (ValueError, RuntimeError, AttributeError, IndexError, TypeError)
"""What a loss may raise that cannot take a batch, or a model: the plain one's word for it."""


def compare(name: str, case: Case, folder: str) -> None:
    """Train a plain and a fast model on a case, and hold one against the other."""
    if case.precision == "fp32" and not LOSSES[case.loss].smooth:
        case = case._replace(precision="fp64")
    fast = model(name, FastSentenceTransformer, folder)
    fast.way = (*fast.ways, "plain")[case.way % (len(fast.ways) + 1)]
    low = case.precision == "bf16"
    dtype = torch.float64 if case.precision == "fp64" else torch.float32

    def plainly(dtype: torch.dtype, low: bool) -> Trained:
        return trained(model(name, SentenceTransformer, folder), case, dtype, low)

    try:
        plain = plainly(dtype, low)
    except CANNOT:
        return
    if not all(tensor.isfinite().all() for tensor in plain.first.values()):
        return  # a loss of no rows of a kind
    if max(float(value.abs().max()) for key, value in plain.first.items() if key.startswith(GRADIENT)) < 1e-20:
        return  # the embeddings are equal, so that nothing but rounding is in the gradient
    try:
        got = trained(fast, case, dtype, low)
    except TokensWanted:  # a run then takes the plain path; Matryoshka's loss reads tokens before 6.2
        assert case.loss.startswith("matryoshka")
        return
    if low:
        exact = plainly(torch.float32, False)
        gaps = [gap for parts in zip(exact, plain, got, strict=True) for gap in rounded("", *parts, 2**-8)]
    else:
        gaps = [gap for parts in zip(plain, got, strict=True) for gap in in_float32("", *parts)]
    most = {"fp64": 1e-4}.get(case.precision, 1.0)  # of 1e-5
    if dtype == torch.float32 and not low and max(gap.share for gap in gaps) > most:
        exact = plainly(torch.float64, False)
        parts_of = [[{n: t.double() for n, t in part.items()} for part in each] for each in (plain, got)]
        gaps = [gap for parts in zip(exact, *parts_of, strict=True) for gap in beside_float64("", *parts)]
    worst = max(gaps, key=lambda gap: gap.share)
    assert worst.share <= most, f"{name}, {fast.way}, {case}: {worst}"


def seeded(test: Callable[..., None]) -> Callable[..., None]:
    """Begin with what has failed before: batches without padding, and a cached loss's last piece."""
    for loss, rows, lengths in (
        ("mnr", 1, "mixed"),
        ("cosent", 5, "equal"),
        ("mnr, negatives", 7, "all cut"),
        ("cached mnr, 1", 5, "mixed"),
        ("cached mnr, 3", 7, "mixed"),
        ("cached mnr, tokens", 5, "one very long"),
    ):
        for precision, way in (("fp64", 0), ("fp32", 1)):
            test = example(case=Case(loss, rows, lengths, precision, way, announced=True, seed=1))(test)
    return test


def test_each_family_has_the_ways_that_are_right_for_it(folder: str) -> None:
    found = {name: (*model(name, FastSentenceTransformer, folder).ways, "plain")[0] for name in FAMILIES}
    assert found == {name: family.fastest for name, family in FAMILIES.items()}


@pytest.mark.parametrize("name", FAMILIES)
@settings(SETTINGS, max_examples=10 * TIMES)
@seeded
@given(case=CASES)
def test_a_family_of_models(name: str, folder: str, case: Case) -> None:
    compare(name, case, folder)


@pytest.mark.parametrize("loss", LOSSES)
@settings(SETTINGS, max_examples=6 * TIMES)
@given(case=CASES)
def test_a_loss(loss: str, folder: str, case: Case) -> None:
    compare("bert", case._replace(loss=loss), folder)
