"""Load base models once per worker, refuse unsuitable ones, and copy them for each run."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import nn
from transformers import PreTrainedModel

from harness.compat import Pooling, load_sentence_transformer, load_transformer
from harness.errors import RunFailed
from harness.executors import library_output
from harness.model.fast import FastSentenceTransformer
from harness.testbeds import Pooling as PoolingMode
from harness.testbeds import Testbed, fetching, model_files
from harness.testbeds.refs import Ref

SHOWN = 5
"""Number of keys of weights that an error message lists."""


@dataclass(frozen=True)
class Loaded:
    """A base model that was loaded."""

    model: FastSentenceTransformer
    """The model."""
    how: str
    """Description of its modules and of where they were declared, for the record."""
    warnings: tuple[str, ...]
    """Warnings of libraries during loading."""


def fresh_model(bed: Testbed) -> FastSentenceTransformer:
    """Return the base model as it was before any training."""
    loaded = _base_model(bed.base, bed.pooling)
    library_output.notify_listeners(loaded.warnings)
    return copy.deepcopy(loaded.model)


def how_loaded(bed: Testbed) -> str:
    """Describe the base model's modules, and whether they come from its own modules.json or from the harness."""
    return _base_model(bed.base, bed.pooling).how


@lru_cache(maxsize=1)
def _base_model(ref: Ref, pooling: PoolingMode | None) -> Loaded:
    warnings: dict[str, None] = {}
    with library_output.warnings_collected(warnings), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a missing pooler gets random weights, which must not depend on earlier runs
        model = load_model(str(fetching.locate(ref, is_model=True)), pooling)
    return Loaded(model, described(model), tuple(warnings))


def load_model(folder: str, pooling: PoolingMode | None) -> FastSentenceTransformer:
    """Load a base model as `load_plain` does, with the fast forward."""
    plain = load_plain(folder, pooling)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = FastSentenceTransformer(
        modules=OrderedDict(plain.named_children()),
        prompts=plain.prompts,
        default_prompt_name=plain.default_prompt_name,
        similarity_fn_name=plain._similarity_fn_name,
        truncate_dim=plain.truncate_dim,
        device=device,
    )
    model.module_kwargs = plain.module_kwargs
    return model


def load_plain(folder: str, pooling: PoolingMode | None) -> SentenceTransformer:
    """Load a base model on the CPU and in float32; a checkpoint stored in bf16 would otherwise be trained in bf16.

    If the folder has a modules.json, sentence-transformers loads the pooling and other modules, the maximum length, the
    prompts and the similarity from it. Otherwise a pooling is added to the transformer.

    Args:
        folder: the model's folder.
        pooling: mode of the pooling. It replaces the pooling of a modules.json; if None, that is kept, and the mean is
            added to models without a modules.json.

    Raises:
        RunFailed: weights are missing, unexpected or of another size; weights are not in safetensors; the model needs
            its own code, which is never executed; or it has no pooling that could be replaced.
    """
    try:
        model_files.refuse_code_and_pickles(Path(folder))
    except model_files.Unsafe as problem:
        raise RunFailed(f"base model {folder}: {problem}") from problem
    options = model_files.loading_options()
    with _all_weights_loaded(folder), _loading_errors(folder):
        if (Path(folder) / "modules.json").is_file():
            model = load_sentence_transformer(folder, device="cpu", local_files_only=True, **options)
            if pooling is not None:
                _replace_pooling(model, pooling, folder)
        else:
            transformer = load_transformer(folder, **options)
            added = Pooling(transformer.get_embedding_dimension(), pooling_mode=pooling or "mean")
            model = SentenceTransformer(modules=[transformer, added], device="cpu")
            model.module_kwargs = None
    return model.float()


def described(model: SentenceTransformer) -> str:
    """Describe a model's modules in order, its pooling, its maximum length, and where these were declared."""
    modules = ", ".join(f"Pooling ({m.pooling_mode})" if isinstance(m, Pooling) else type(m).__name__ for m in model)
    source = "pooling added: it has no modules.json" if model.module_kwargs is None else "as its modules.json says"
    prompts = f"; prompt {model.default_prompt_name!r} by default" if model.default_prompt_name else ""
    longest = model.max_seq_length
    length = "any number of" if longest is None or math.isinf(longest) else f"at most {longest}"
    return f"{modules}; {length} tokens{prompts}; {source}"


def _replace_pooling(model: SentenceTransformer, pooling: PoolingMode, folder: str) -> None:
    """Replace a model's pooling by one of another mode.

    Raises:
        RunFailed: the model has no pooling, several, or one that concatenates several modes.
    """
    poolings = [(name, module) for name, module in model.named_children() if isinstance(module, Pooling)]
    if len(poolings) != 1 or poolings[0][1].pooling_output_dimension != poolings[0][1].embedding_dimension:
        what = "several poolings, or one that concatenates several modes" if poolings else "no pooling"
        raise RunFailed(f"base model {folder}: pooling={pooling!r} cannot be set, because it has {what}; leave it out")
    name, own = poolings[0]
    model._modules[name] = Pooling(own.embedding_dimension, pooling_mode=pooling, include_prompt=own.include_prompt)


@contextmanager
def _loading_errors(folder: str) -> Iterator[None]:
    """Turn exceptions of loading into RunFailed, without the libraries' advice to set trust_remote_code."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, ImportError) as problem:
        message = str(problem)
        if "trust_remote_code" in message:
            message = "it needs its own code, which is not executed; use a model that transformers itself implements"
        raise RunFailed(f"base model {folder}: it cannot be loaded: {' '.join(message.split())[:600]}") from problem


@contextmanager
def _all_weights_loaded(folder: str) -> Iterator[None]:
    """Raise RunFailed if a transformers model that is loaded within the block lacks weights in its files.

    transformers initialises missing weights at random and only logs it, and sentence-transformers does not return the
    report on the weights (`output_loading_info`).
    """
    original = PreTrainedModel.__dict__["from_pretrained"]

    def checked(cls: type[PreTrainedModel], *arguments: Any, **options: Any) -> Any:
        wants_info = options.pop("output_loading_info", False)
        options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
        model, info = original.__get__(None, cls)(*arguments, **options)
        _refuse_other_weights(model, info, folder)
        return (model, info) if wants_info else model

    setattr(PreTrainedModel, "from_pretrained", classmethod(checked))  # noqa: B010
    try:
        yield
    finally:
        setattr(PreTrainedModel, "from_pretrained", original)  # noqa: B010


def _refuse_other_weights(model: PreTrainedModel, info: dict[str, Any], folder: str) -> None:
    """Raise RunFailed, with the keys, unless the weights of a model are those of its files.

    Poolers and heads may differ. A head is a part that the loaded model does not have, e.g. that of the language model
    with which the encoder was trained.
    """
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key.split("."))
    sizes = [  # transformers 4 gives only the keys
        each if isinstance(each, str) else f"{each[0]} ({list(each[1])} for {list(each[2])})"
        for each in sorted(info["mismatched_keys"])
    ]
    others = sorted(info["unexpected_keys"])
    parts = {name for name, _ in nn.Module.named_children(model)} - {"pooler"}
    extra = [key for key in others if key.removeprefix(f"{model.base_model_prefix}.").partition(".")[0] in parts]
    mismatches = [
        f"{len(keys):,} {what}: {', '.join(keys[:SHOWN])}{f' and {len(keys) - SHOWN:,} more' * (len(keys) > SHOWN)}"
        for what, keys in (
            ("missing in its files, so that they would be random", missing),
            ("of another size in its files", sizes),
            (
                "in its files that the model of config.json does not have",
                others if missing else extra,
            ),
        )
        if keys
    ]
    if missing or sizes or extra:
        raise RunFailed(
            f"base model {folder}: weights of its {type(model).__name__} do not match its files: "
            f"{'; '.join(mismatches)}. "
            "Use a complete checkpoint, saved by save_pretrained together with its config.json"
        )
