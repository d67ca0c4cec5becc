"""Base models: loaded once a worker, copied for each run."""

from __future__ import annotations

import copy
from functools import lru_cache

import torch
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

from harness.testbeds import Pooling as PoolingMode
from harness.testbeds import Testbed, materials
from harness.training.forward import FastSentenceTransformer


def fresh_model(bed: Testbed) -> FastSentenceTransformer:
    """Return the base model as it was before any training."""
    return copy.deepcopy(_base_model(bed))


@lru_cache(maxsize=1)
def _base_model(bed: Testbed) -> FastSentenceTransformer:
    return load_model(str(materials.locate(bed.model, is_model=True)), bed.pooling)


def load_model(folder: str, pooling: PoolingMode) -> FastSentenceTransformer:
    """Load a base model in float32: a checkpoint stored in bf16 would otherwise train in it."""
    transformer = Transformer(folder, model_kwargs={"dtype": "float32", "use_safetensors": True})
    device = "cuda" if torch.cuda.is_available() else "cpu"
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), pooling_mode=pooling)]
    return FastSentenceTransformer(modules=modules, device=device)
