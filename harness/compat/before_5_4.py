"""sentence-transformers 5.0 to 5.3 under the names and signatures of 5.4.

5.4 moved the modules and renamed methods. The new names are added to the old classes, none of whose own attributes
changes; the old library never looks at them.
"""

from __future__ import annotations

from typing import Any

from sentence_transformers import SentenceTransformer, __version__, evaluation, losses
from sentence_transformers.data_collator import SentenceTransformerDataCollator as OldCollator
from sentence_transformers.models import Dense, Normalize, Pooling, Router, StaticEmbedding, Transformer
from sentence_transformers.sampler import GroupByLabelBatchSampler, NoDuplicatesBatchSampler
from sentence_transformers.training_args import BatchSamplers

__all__ = [
    "UNPACKED",
    "BatchSamplers",
    "Dense",
    "GroupByLabelBatchSampler",
    "NoDuplicatesBatchSampler",
    "Normalize",
    "Pooling",
    "Router",
    "SentenceTransformerDataCollator",
    "StaticEmbedding",
    "Transformer",
    "evaluation",
    "load_sentence_transformer",
    "load_transformer",
    "losses",
]

UNPACKED = f"sentence-transformers {__version__} cannot embed packed sentences; 5.4 and newer can"

OLD_NAMES = {"model_kwargs": "model_args", "processor_kwargs": "tokenizer_args", "config_kwargs": "config_args"}
"""The old constructor's names of the options of a Transformer."""


def load_sentence_transformer(folder: str, **options: Any) -> SentenceTransformer:
    """Load a model from a folder, with options as the SentenceTransformer of 5.4 takes them."""
    if "processor_kwargs" in options:
        options["tokenizer_kwargs"] = options.pop("processor_kwargs")
    return SentenceTransformer(folder, **options)


def load_transformer(folder: str, **options: Any) -> Transformer:
    """Load the first module of a model from a folder, with options as the Transformer of 5.4 takes them."""
    return Transformer(folder, **{OLD_NAMES.get(name, name): value for name, value in options.items()})


class SentenceTransformerDataCollator(OldCollator):
    """The collator, whose function that makes features is called `preprocess_fn` and is given the prompt."""

    def __init__(self, preprocess_fn: Any, **options: Any) -> None:
        model = getattr(preprocess_fn, "__self__", None)
        if model is not None:  # the old trainer hands these over, so that a prompt's length leaves [SEP] out
            options["all_special_ids"] = set(getattr(model.tokenizer, "all_special_ids", ()))
        super().__init__(tokenize_fn=preprocess_fn, **options)

    @property
    def preprocess_fn(self) -> Any:
        return self.tokenize_fn

    @preprocess_fn.setter
    def preprocess_fn(self, function: Any) -> None:
        self.tokenize_fn = function


def _preprocess(model: SentenceTransformer, inputs: Any, prompt: str | None = None, **options: Any) -> Any:
    texts = [prompt + text for text in inputs] if prompt else list(inputs)
    return _tokenize(model, texts, **{name: value for name, value in options.items() if value is not None})


_tokenize = SentenceTransformer.tokenize
SentenceTransformer.preprocess = _preprocess
SentenceTransformer.get_embedding_dimension = SentenceTransformer.get_sentence_embedding_dimension
SentenceTransformer.model_type = property(
    lambda model: model._model_config["model_type"],
    lambda model, name: model._model_config.update(model_type=name),
)
if not hasattr(SentenceTransformer, "get_model_kwargs"):  # before 5.2
    SentenceTransformer.get_model_kwargs = lambda model: [
        *(name for names in (model.module_kwargs or {}).values() for name in names),
        *(name for module in model.modules() for name in getattr(module, "forward_kwargs", ())),  # a Router's "task"
    ]
Transformer.config = property(lambda transformer: transformer.auto_model.config)
Transformer.get_embedding_dimension = Transformer.get_word_embedding_dimension
Pooling.embedding_dimension = property(lambda pooling: pooling.word_embedding_dimension)
Pooling.pooling_mode = property(Pooling.get_pooling_mode_str)
