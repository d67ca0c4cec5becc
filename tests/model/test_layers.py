"""Layers written out: the same function, the same gradients and the same dropout as the library's modules."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import Counted, make_model, sentences
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from harness.model.attention import packed_attention
from harness.model.dropout import quick_dropout
from harness.model.fast import FastSentenceTransformer
from harness.model.layers import token_embeddings
from harness.model.packing import Features, Packing

LENGTHS = np.array([1, 3, 3, 4, 9, 12])


def bert(dropouts: tuple[float, float, float] = (0.0, 0.0, 0.0), dtype: torch.dtype = torch.float64) -> BertModel:
    """A small BERT in training whose layers drop attention's weights, attention's output and the feed-forward's."""
    config = BertConfig(vocab_size=50, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40)
    torch.manual_seed(2)
    model = BertModel(config, add_pooling_layer=False)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)  # as made, biases are zero and LayerNorm's weights one
    model.embeddings.dropout.p = 0.0
    for layer in model.encoder.layer:
        layer.attention.self.dropout.p, layer.attention.output.dropout.p, layer.output.dropout.p = dropouts
        layer.attention.output.LayerNorm.eps, layer.output.LayerNorm.eps = 0.2, 0.7
    return model.to(dtype).train()


def batch() -> Features:
    packing = Packing(LENGTHS, torch.device("cpu"))
    ids = torch.from_numpy(np.random.default_rng(3).integers(50, size=(1, LENGTHS.sum())))
    positions = torch.from_numpy(packing.position)[None]
    return {"input_ids": ids, "position_ids": positions, "token_type_ids": ids % 2, "packing": packing}


def by_modules(model: BertModel, features: Features) -> Tensor:
    with packed_attention(model.config):
        states: Tensor = model(**features).last_hidden_state
    return states


def written_out(model: BertModel, features: Features) -> Tensor:
    states = token_embeddings(model, features)
    assert states is not None
    return states


@pytest.mark.parametrize("dropouts", [(0.0, 0.0, 0.0), (0.3, 0.2, 0.4)])
def test_each_parameters_gradient_is_what_a_small_step_of_it_shows(dropouts: tuple[float, float, float]) -> None:
    model, features = bert(dropouts), batch()
    torch.manual_seed(4)
    weights = torch.randn(1, int(LENGTHS.sum()), 24, dtype=torch.float64)

    def value() -> Tensor:
        torch.manual_seed(5)  # the same masks each time
        return (written_out(model, features) * weights).sum()

    value().backward()
    for name, parameter in model.named_parameters():
        direction, step = torch.randn_like(parameter), 1e-6
        with torch.no_grad():
            parameter += step * direction
            above = value()
            parameter -= 2 * step * direction
            below = value()
            parameter += step * direction
        assert parameter.grad is not None
        found = (parameter.grad * direction).sum()
        assert abs((above - below) / (2 * step) - found) <= 1e-6 * max(1.0, abs(found)), name


def test_outside_training_it_gives_what_the_modules_give() -> None:
    """Also without gradients, where it keeps nothing for them."""
    model, features = bert((0.3, 0.2, 0.4)).eval(), batch()
    wanted = by_modules(model, features)
    with torch.no_grad():
        assert (written_out(model, features) - wanted).abs().max() <= 1e-12
    assert (written_out(model, features) - wanted).abs().max() <= 1e-12


@pytest.mark.parametrize("frozen", [[], ["embeddings"], ["embeddings", "encoder.layer.0"], ["encoder.layer.1"]])
def test_frozen_parameters_get_no_gradient_and_the_others_theirs(frozen: list[str]) -> None:
    found = []
    for run in (by_modules, written_out):
        model = bert()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not name.startswith(tuple(frozen)))
        run(model, batch()).square().mul(torch.arange(24.0)).sum().backward()
        found.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    wanted, got = found

    assert wanted.keys() == got.keys()
    assert not [name for name in got if name.startswith(tuple(frozen))]
    assert all((got[name] - gradient).abs().max() <= 1e-10 for name, gradient in wanted.items())


@pytest.mark.parametrize("dropouts", [(0.6, 0.0, 0.0), (0.0, 0.6, 0.0), (0.0, 0.0, 0.6), (0.1, 0.3, 0.5)])
def test_each_dropout_drops_where_and_as_much_as_the_modules_do(dropouts: tuple[float, float, float]) -> None:
    """Mean and spread of what comes out, over 600 draws of each, within five standard errors."""
    model, features = bert(dropouts, torch.float32), batch()
    torch.manual_seed(6)
    with torch.no_grad():
        one, other = (
            torch.stack([run(model, features)[0, :, :3].flatten() for _ in range(600)])
            for run in (by_modules, written_out)
        )
    spread = (one.var(0) + other.var(0)).sqrt()
    assert ((one.mean(0) - other.mean(0)).abs() < 5 * spread / 600**0.5 + 1e-6).all()
    ratio = (one.var(0) / other.var(0)).log().mean()  # the mean of 96 logarithms, each with a spread of some .08
    assert abs(ratio) < 0.04


def test_a_seed_draws_the_same_masks_again_and_another_seed_others() -> None:
    model, features = bert((0.3, 0.2, 0.4)), batch()
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(written_out(model, features))
    first, again, other = drawn
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(other, written_out(model, features)), "the seed is followed by another"


def test_a_cached_loss_finds_its_masks_again(hub_root: Path) -> None:
    """GradCache embeds twice, and puts torch's generator back for the second time."""
    gradients = []
    for cached in (False, True):
        model = make_model(hub_root, FastSentenceTransformer)
        for module in model.modules():
            if hasattr(module, "p"):
                module.p = 0.2
        make: Callable[..., nn.Module] = (
            losses.CachedMultipleNegativesRankingLoss if cached else losses.MultipleNegativesRankingLoss
        )
        features = [model.train().preprocess(sentences(random.Random(i), 16)) for i in range(2)]
        torch.manual_seed(3)
        with quick_dropout():
            make(model)(features, None).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    plain, cached_ = gradients

    assert all((cached_[name] - gradient).abs().max() <= 1e-12 for name, gradient in plain.items())


def test_gradients_in_bf16_are_as_near_as_the_modules_are() -> None:
    exact = bert(dtype=torch.float32)
    by_modules(exact, batch()).square().mul(torch.arange(24.0)).sum().backward()
    wanted = torch.cat([p.grad.flatten() for p in exact.parameters() if p.grad is not None])
    error = []
    for run in (by_modules, written_out):
        model = bert(dtype=torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            states = run(model, batch())
        states.float().square().mul(torch.arange(24.0)).sum().backward()
        got = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        assert got.dtype == torch.float32
        error.append(float((got - wanted).norm() / wanted.norm()))
    theirs, ours = error

    assert 1e-4 < ours < 1.2 * theirs


class Lora(nn.Linear):
    """A linear map of somebody's own."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + input


def changed(how: str, model: SentenceTransformer, seen: list[Any]) -> None:
    """Do to a model what the written-out layers know nothing of."""
    bert: BertModel = model[0].model
    layer = bert.encoder.layer[-1]
    if how == "another map":
        layer.attention.self.query = Lora(32, 32, dtype=torch.float64)
    elif how == "another activation":
        layer.intermediate.intermediate_act_fn = nn.ReLU()
    elif how == "two maps":
        layer.attention.self.query = nn.Sequential(layer.attention.self.query, nn.Linear(32, 32, dtype=torch.float64))
    elif how == "a hook inside":
        layer.output.dense.register_forward_hook(lambda module, given, out: seen.append(1) or out * 2)
    elif how == "a hook on a layer":
        layer.register_forward_hook(lambda module, given, out: seen.append(1) or out * 2)
    elif how == "a hook on the transformer":
        model[0].register_forward_hook(lambda module, given, out: seen.append(1))
    elif how == "a gradient's hook":
        layer.output.register_full_backward_hook(lambda module, given, out: seen.append(1))
    elif how == "a forward of its own":
        inherited = layer.forward
        layer.forward = lambda *given, **named: inherited(*given, **named) * 2
    elif how == "a model's forward of its own":
        whole = bert.forward
        bert.forward = lambda **named: seen.append(1) or whole(**named)
    elif how == "a hook on the encoder":
        bert.encoder.register_forward_hook(lambda module, given, out: seen.append(1))


@pytest.mark.parametrize(
    "how",
    [
        "another map",
        "another activation",
        "two maps",
        "a hook inside",
        "a hook on a layer",
        "a hook on the transformer",
        "a gradient's hook",
        "a forward of its own",
        "a model's forward of its own",
        "a hook on the encoder",
    ],
)
def test_a_model_changed_after_it_was_made_is_embedded_as_changed(how: str, hub_root: Path) -> None:
    made, hooks = [], []
    for cls in (SentenceTransformer, FastSentenceTransformer):
        model, seen = make_model(hub_root, cls), []
        torch.manual_seed(9)
        changed(how, model, seen)
        counted = Counted(model)
        features = model.train().preprocess(sentences(random.Random(7), 20))
        embedded = model(features)["sentence_embedding"]
        embedded.sum().backward()
        made.append(embedded)
        hooks.append(len(seen))
    assert counted.tokens == int(features["attention_mask"].sum()), "it is packed all the same"
    assert hooks[0] == hooks[1]
    assert (hooks[0] > 0) is ("hook" in how or "model's" in how)
    assert (made[0] - made[1]).abs().max() <= 1e-12
