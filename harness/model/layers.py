"""BERT layers for CPUs: each layer is one autograd function with explicit forward and backward passes.

Left to autograd, a layer is dozens of operations, each with a tensor of its own. Written out, residuals are added by
the product or the dropout before them, gradients take the place of what they are made from, one draw serves a layer's
dropouts, and queries, keys and values go into blocks together. The function and its gradients are the same: the layer
of Devlin et al., 2019, which is the encoder's of Vaswani et al., 2017, section 3.1, with GELU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.activations import GELUActivation

from harness.model.blocks import Blocks, attend, attend_backward
from harness.model.dropout import factors, random_bits
from harness.model.packing import Features, Packing

PARTS: dict[str, tuple[type[nn.Module], ...]] = {
    "attention.self.query": (nn.Linear,),
    "attention.self.key": (nn.Linear,),
    "attention.self.value": (nn.Linear,),
    "attention.output.dense": (nn.Linear,),
    "intermediate.dense": (nn.Linear,),
    "output.dense": (nn.Linear,),
    "attention.output.LayerNorm": (nn.LayerNorm,),
    "output.LayerNorm": (nn.LayerNorm,),
    "attention.self.dropout": (nn.Dropout,),
    "attention.output.dropout": (nn.Dropout,),
    "output.dropout": (nn.Dropout,),
    "intermediate.intermediate_act_fn": (GELUActivation,),
}
"""What a layer consists of, if it is one of BERT's, RoBERTa's or their like."""

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

FEWEST = 32
"""Tokens to a multiple of which GELU's input is filled at least."""


class Settings(NamedTuple):
    """What a layer knows beside its input and its parameters."""

    blocks: Blocks
    scale: float
    dropouts: tuple[float, ...]
    """Shares dropped of attention's weights, of attention's output and of the feed-forward's."""
    epsilons: tuple[float, ...]
    low: torch.dtype
    """In which type matrices are multiplied: autocast's."""
    learns: bool


def token_embeddings(model: Any, features: Features) -> Tensor | None:
    """Return a transformer's last hidden states for a packed batch, shape (1, tokens, width).

    None if its layers are of an unsupported architecture, if hooks observe them, or on a GPU.
    """
    packing = features["packing"]
    if not isinstance(packing, Packing) or features["input_ids"].device.type != "cpu":
        return None
    encoder = getattr(model, "encoder", None)
    layers = [parts for layer in getattr(encoder, "layer", ()) if (parts := _parts(layer)) is not None]
    if encoder is None or not layers or len(layers) < len(encoder.layer) or is_watched(model) or is_watched(encoder):
        return None
    names = ("input_ids", "token_type_ids", "position_ids")
    x: Tensor = model.embeddings(**{name: features[name] for name in names if name in features})[0]
    heads = model.config.num_attention_heads
    blocks = packing.kept((Blocks, heads), lambda: Blocks(packing, heads))
    low = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    run: Callable[..., Tensor] = _Layer.apply
    for parts in layers:
        linear, norms, dropouts = parts[:6], parts[6:8], parts[8:11]
        settings = Settings(
            blocks,
            (linear[0].out_features // heads) ** -0.5,
            tuple(part.p if part.training else 0.0 for part in dropouts),
            tuple(part.eps for part in norms),
            low,
            torch.is_grad_enabled(),
        )
        x = run(x, settings, *(parameter for part in (*linear, *norms) for parameter in (part.weight, part.bias)))
    return x[None]


def _parts(layer: nn.Module) -> list[Any] | None:
    """Return a layer's parts in the order of PARTS; None if it has others, or is watched."""
    if getattr(layer, "gradient_checkpointing", False):
        return None
    found = {}
    for name, module in layer.named_modules():
        if is_watched(module):
            return None
        if not module._modules:
            found[name] = module
    if found.keys() != PARTS.keys() or any(type(found[name]) not in types for name, types in PARTS.items()):
        return None
    return [found[name] for name in PARTS]


def is_watched(module: nn.Module) -> bool:
    """Return whether a module has hooks or a replaced forward function."""
    return "forward" in vars(module) or any(getattr(module, hooks) for hooks in HOOKS)


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, settings: Settings, *parameters: Tensor) -> Tensor:
        blocks, scale, dropouts, epsilons, low, learns = settings
        with torch.autocast("cpu", enabled=False):
            wq, bq, wk, bk, wv, bv, wo, bo, wu, bu, wd, bd = (parameter.to(low) for parameter in parameters[:12])
            g1, b1, g2, b2 = parameters[12:]
            tokens, x_ = len(x), x.to(low)
            m0, m1, m2 = _masks((blocks.cells, x.numel(), x.numel()), dropouts, x.dtype)
            qkv = x_.new_empty(3, *x.shape)
            for out, w, b in zip(qkv, (wq, wk, wv), (bq, bk, bv), strict=True):
                torch.addmm(b, x_, w.t(), out=out)
            rows = blocks.gather(qkv)
            attended, weights = attend(blocks, rows, scale, m0, learns)
            c = blocks.scatter(attended, low)[0]
            s1 = _add(x, torch.addmm(bo, c, wo.t()), m1)
            y, mean1, spread1 = torch.native_layer_norm(s1, g1.shape, g1, b1, epsilons[0])
            y_ = y.to(low)
            h = _filled(y_, len(bu))
            torch.addmm(bu, y_, wu.t(), out=h[:tokens])
            a = nn.functional.gelu(h) if learns else torch.ops.aten.gelu_(h)
            s2 = _add(y, torch.addmm(bd, a[:tokens], wd.t()), m2)
            z, mean2, spread2 = torch.native_layer_norm(s2, g2.shape, g2, b2, epsilons[1])
        if learns:
            ctx.settings = settings
            ctx.save_for_backward(
                x_, rows, weights, m0, c, m1, s1, mean1, spread1, y_, h, a, m2, s2, mean2, spread2,
                wq, wk, wv, wo, wu, wd, g1, b1, g2, b2,
            )  # fmt: skip
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (
            x_, rows, weights, m0, c, m1, s1, mean1, spread1, y_, h, a, m2, s2, mean2, spread2,
            wq, wk, wv, wo, wu, wd, g1, b1, g2, b2,
        ) = ctx.saved_tensors  # fmt: skip
        blocks, scale, low, tokens = ctx.settings.blocks, ctx.settings.scale, ctx.settings.low, len(x_)
        norm = torch.ops.aten.native_layer_norm_backward.default
        d, dg2, db2 = norm(gradients[0], s2, g2.shape, mean2, spread2, g2, b2, [True] * 3)
        d_o = _dropped(d, m2).to(low)
        d_wd, d_bd = torch.mm(d_o.t(), a[:tokens]), d_o.sum(0)
        d_h = _filled(d_o, h.shape[1])
        torch.mm(d_o, wd, out=d_h[:tokens])
        d_h = torch.ops.aten.gelu_backward.grad_input(d_h, h, grad_input=d_h)[:tokens]
        d_wu, d_bu = torch.mm(d_h.t(), y_), d_h.sum(0)
        _add_product(d, d_h, wu)
        d, dg1, db1 = norm(d, s1, g1.shape, mean1, spread1, g1, b1, [True] * 3)
        d_o = _dropped(d, m1).to(low)
        d_wo, d_bo = torch.mm(d_o.t(), c), d_o.sum(0)
        d_attended = blocks.gather(torch.mm(d_o, wo)[None])
        d_qkv = blocks.scatter(attend_backward(blocks, rows, weights, m0, d_attended, scale), low)
        d_wq, d_wk, d_wv = (torch.mm(part.t(), x_) for part in d_qkv)
        d_bq, d_bk, d_bv = d_qkv.sum(1)
        if ctx.needs_input_grad[0]:
            for part, w in zip(d_qkv, (wq, wk, wv), strict=True):
                _add_product(d, part, w)
        of_matrices = (d_wq, d_bq, d_wk, d_bk, d_wv, d_bv, d_wo, d_bo, d_wu, d_bu, d_wd, d_bd)
        return d, None, *(gradient.to(g1.dtype) for gradient in of_matrices), dg1, db1, dg2, db2


def _masks(counts: tuple[int, ...], dropouts: tuple[float, ...], dtype: torch.dtype) -> list[Tensor | None]:
    """Draw what a layer's dropouts multiply by, each flat; None for one that drops nothing."""
    wanted = [count if p else 0 for count, p in zip(counts, dropouts, strict=True)]
    if not any(wanted):
        return [None] * len(wanted)
    drawn = torch.split(random_bits(sum(wanted)), wanted)
    return [factors(bits, p, dtype) if p else None for bits, p in zip(drawn, dropouts, strict=True)]


def _add(x: Tensor, addition: Tensor, mask: Tensor | None) -> Tensor:
    """Return x with the other added, after its dropout if that has a mask; the addition may become the sum."""
    addition = addition.to(x.dtype)
    return addition.add_(x) if mask is None else torch.addcmul(x, addition, mask.view(x.shape))


def _dropped(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask.view(x.shape)


def _add_product(into: Tensor, left: Tensor, right: Tensor) -> None:
    if into.dtype == left.dtype:
        into.addmm_(left, right)
    else:
        into.add_(torch.mm(left, right))


def _filled(like: Tensor, width: int) -> Tensor:
    """Make room for as many tokens as `like` has, of another width, and for some more, which are zero.

    oneDNN compiles GELU for each shape that it meets, which takes longer than computing it; so it meets few.
    """
    grid = max(FEWEST, 1 << max(0, len(like).bit_length() - 4))
    made = like.new_empty(-(-len(like) // grid) * grid, width)
    made[len(like) :].zero_()
    return made
