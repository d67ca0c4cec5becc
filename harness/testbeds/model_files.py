"""What a folder of a model may hold: no code and no pickle of its author is ever executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

OWN = "sentence_transformers."
"""Prefix of the classes of modules that are loaded; any other class is code of the model's author."""


class Unsafe(Exception):
    """A model that is not loaded; the message says why and what to use instead."""


def loading_options() -> dict[str, Any]:
    """Return the options with which a model is loaded: in float32, from safetensors, without its author's code.

    sentence-transformers hands each of them to another class of transformers, and each class asks on a terminal whether
    to run a model's code unless it is told not to.
    """
    return {
        "model_kwargs": {"dtype": "float32", "use_safetensors": True, "trust_remote_code": False},
        "config_kwargs": {"trust_remote_code": False},
        "processor_kwargs": {"trust_remote_code": False},
    }


def refuse_code_and_pickles(folder: Path) -> None:
    """Raise Unsafe unless a model consists of modules of sentence-transformers with weights in safetensors."""
    if (folder / "adapter_config.json").is_file():
        raise Unsafe(
            "it is an adapter, whose own base model is named without a revision; merge the two (`merge_and_unload` of "
            "peft), save the result and use that"
        )
    modules = _json(folder / "modules.json", [])
    kind = _json(folder / "config_sentence_transformers.json", {}).get("model_type", "SentenceTransformer")
    if modules and kind != "SentenceTransformer":
        raise Unsafe(f"it is a {kind}, but sentence embeddings need a SentenceTransformer; choose another")
    routed = [_json(folder / m.get("path", "") / "router_config.json", {}).get("types", {}) for m in modules]
    for name in [m["type"] for m in modules] + [name for types in routed for name in types.values()]:
        if not name.startswith(OWN):
            raise Unsafe(
                f"its module {name} is custom code, which is not executed; use a model that has only modules of "
                "sentence-transformers"
            )
    for pickle in folder.rglob("pytorch_model*.bin"):
        if not any(pickle.parent.glob("*.safetensors")):
            raise Unsafe(
                f"{pickle.relative_to(folder)} has no *.safetensors beside it, and weights in other formats are not "
                "loaded, because they can run code; convert them to safetensors"
            )


def _json(path: Path, otherwise: Any) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else otherwise
