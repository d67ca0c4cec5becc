"""Load base models once per worker, refuse unsuitable ones, and copy them for each run."""

from __future__ import annotations

import copy
import json
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from torch import nn
from transformers import PreTrainedModel

from harness.errors import RunFailed
from harness.executors import library_output
from harness.model.fast import FastSentenceTransformer
from harness.testbeds import Pooling as PoolingMode
from harness.testbeds import Testbed, materials

SHOWN = 5
"""Keys of weights that a refusal names."""

OWN = "sentence_transformers."
"""What the name of a module's class begins with that is loaded; any other is code of the model's author."""


@dataclass(frozen=True)
class Loaded:
    """A base model, how it was loaded, in words for the record, and what libraries warned of meanwhile."""

    model: FastSentenceTransformer
    how: str
    warned: tuple[str, ...]


def fresh_model(bed: Testbed) -> FastSentenceTransformer:
    """Return the base model as it was before any training."""
    loaded = _base_model(bed)
    library_output.repeat(loaded.warned)
    return copy.deepcopy(loaded.model)


def how_loaded(bed: Testbed) -> str:
    """Tell of what modules the base model is, and whether its own modules.json or the harness says so."""
    return _base_model(bed).how


@lru_cache(maxsize=1)
def _base_model(bed: Testbed) -> Loaded:
    warned: dict[str, None] = {}
    with library_output.heard(warned), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a pooler that the files lack is made up: alike whatever run comes first in a process
        model = load_model(str(materials.locate(bed.model, is_model=True)), bed.pooling)
    return Loaded(model, described(model), tuple(warned))


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
    """Load a base model on the CPU, in float32: a checkpoint stored in bf16 would otherwise train in it.

    A folder with modules.json is what sentence-transformers makes of it: its pooling and other modules, length, prompts
    and similarity; `pooling`, if given, takes the place of its pooling. To any other the pooling is added, the mean if
    None.

    Raises RunFailed for weights that are missing, too many or of another size, for other files than safetensors, for
    code of the model's own, which is never executed, and for a pooling that the model has no place for.
    """
    _no_code_and_no_pickle(Path(folder))
    own = {"trust_remote_code": False}
    options: dict[str, Any] = {
        "model_kwargs": {"dtype": "float32", "use_safetensors": True, **own},
        "config_kwargs": dict(own),
        "processor_kwargs": dict(own),
    }
    with _all_weights_loaded(folder), _said_plainly(folder):
        if (Path(folder) / "modules.json").is_file():
            model = SentenceTransformer(folder, device="cpu", local_files_only=True, **options)
            if pooling is not None:
                _pool_otherwise(model, pooling, folder)
        else:
            transformer = Transformer(folder, **options)
            added = Pooling(transformer.get_embedding_dimension(), pooling_mode=pooling or "mean")
            model = SentenceTransformer(modules=[transformer, added], device="cpu")
            model.module_kwargs = None
    return model.float()


def described(model: SentenceTransformer) -> str:
    """Tell a model's modules in their order, its pooling, the length at which it cuts, and where all this is from."""
    modules = ", ".join(f"Pooling ({m.pooling_mode})" if isinstance(m, Pooling) else type(m).__name__ for m in model)
    whence = "pooling added: it has no modules.json" if model.module_kwargs is None else "as its modules.json says"
    prompts = f"; prompt {model.default_prompt_name!r} by default" if model.default_prompt_name else ""
    return f"{modules}; at most {model.max_seq_length} tokens{prompts}; {whence}"


def _no_code_and_no_pickle(folder: Path) -> None:
    """Raise RunFailed if a model is more than modules of sentence-transformers with safetensors."""
    if (folder / "adapter_config.json").is_file():
        raise RunFailed(
            f"base model {folder}: it is an adapter, whose own base model is named without a revision; merge the two "
            "(`merge_and_unload` of peft), save the result and use that"
        )
    modules = _json(folder / "modules.json", [])
    kind = _json(folder / "config_sentence_transformers.json", {}).get("model_type", "SentenceTransformer")
    if modules and kind != "SentenceTransformer":
        raise RunFailed(f"base model {folder}: it is a {kind}; sentence embeddings need a SentenceTransformer")
    routed = [_json(folder / m.get("path", "") / "router_config.json", {}).get("types", {}) for m in modules]
    for name in [m["type"] for m in modules] + [name for types in routed for name in types.values()]:
        if not name.startswith(OWN):
            raise RunFailed(
                f"base model {folder}: its module {name} is custom code, which is not executed; use a model that "
                "has only modules of sentence-transformers"
            )
    for pickle in folder.rglob("pytorch_model*.bin"):
        if not any(pickle.parent.glob("*.safetensors")):
            raise RunFailed(
                f"base model {folder}: {pickle.relative_to(folder)} has no *.safetensors beside it, and weights in "
                "other formats are not loaded: they can run code"
            )


def _json(path: Path, otherwise: Any) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else otherwise


def _pool_otherwise(model: SentenceTransformer, pooling: PoolingMode, folder: str) -> None:
    """Put another pooling in the place of a model's own; raise RunFailed if it has none, or one of another width."""
    found = [(name, module) for name, module in model.named_children() if isinstance(module, Pooling)]
    if len(found) != 1 or found[0][1].pooling_output_dimension != found[0][1].embedding_dimension:
        what = "several poolings, or one that puts several together" if found else "no pooling"
        raise RunFailed(f"base model {folder}: pooling={pooling!r} cannot be set: it has {what}; leave it out")
    name, own = found[0]
    model._modules[name] = Pooling(own.embedding_dimension, pooling_mode=pooling, include_prompt=own.include_prompt)


@contextmanager
def _said_plainly(folder: str) -> Iterator[None]:
    """Turn what loading raises into a RunFailed; the libraries advise trust_remote_code, which nobody here can give."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, ImportError) as problem:
        said = str(problem)
        if "trust_remote_code" in said:
            said = "it needs code of its own, which is not executed; use a model that transformers itself has"
        raise RunFailed(f"base model {folder}: it cannot be loaded: {' '.join(said.split())[:600]}") from problem


@contextmanager
def _all_weights_loaded(folder: str) -> Iterator[None]:
    """Raise RunFailed if a transformers model that is loaded within did not take all its weights from its files.

    transformers gives missing weights random numbers, and only logs it; sentence-transformers passes its own account
    of it (`output_loading_info`) on to nobody.
    """
    really = PreTrainedModel.__dict__["from_pretrained"]

    def checked(cls: type[PreTrainedModel], *arguments: Any, **options: Any) -> Any:
        asked = options.pop("output_loading_info", False)
        options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
        model, info = really.__get__(None, cls)(*arguments, **options)
        _refuse_other_weights(model, info, folder)
        return (model, info) if asked else model

    setattr(PreTrainedModel, "from_pretrained", classmethod(checked))  # noqa: B010
    try:
        yield
    finally:
        setattr(PreTrainedModel, "from_pretrained", really)  # noqa: B010


def _refuse_other_weights(model: PreTrainedModel, info: dict[str, Any], folder: str) -> None:
    """Raise RunFailed, naming keys, unless a model's weights are its files', heads and poolers aside.

    A head is what lies beside the model's own parts: that of the language model which it was trained with, say.
    """
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key.split("."))
    sizes = [f"{key} ({list(stored)} for {list(wanted)})" for key, stored, wanted in sorted(info["mismatched_keys"])]
    others = sorted(info["unexpected_keys"])
    parts = {name for name, _ in nn.Module.named_children(model)} - {"pooler"}
    extra = [key for key in others if key.removeprefix(f"{model.base_model_prefix}.").partition(".")[0] in parts]
    told = [
        f"{len(keys):,} {what}: {', '.join(keys[:SHOWN])}{f' and {len(keys) - SHOWN:,} more' * (len(keys) > SHOWN)}"
        for what, keys in (
            ("missing in its files, which would be random", missing),
            ("of another size in its files", sizes),
            (
                "in its files without a place in the model that config.json describes",
                others if missing else extra,
            ),
        )
        if keys
    ]
    if missing or sizes or extra:
        raise RunFailed(
            f"base model {folder}: weights of its {type(model).__name__} do not match its files: {'; '.join(told)}. "
            "Use a complete checkpoint, saved by save_pretrained together with its config.json"
        )
