"""What differs between the versions of sentence-transformers and transformers that the harness supports.

Other modules import from here what moved, what older versions lack and what was renamed; each case is found by what the
installed version has, and not by its number. docs/versions.md lists what was tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from importlib.util import find_spec
from inspect import getsource, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.util import mine_hard_negatives
from torch import Tensor, nn
from transformers import BertTokenizer, PreTrainedTokenizerBase

if TYPE_CHECKING or find_spec("sentence_transformers.sentence_transformer"):
    from sentence_transformers.base.sampler import (
        BatchSamplers,
        GroupByLabelBatchSampler,
        NoDuplicatesBatchSampler,
    )
    from sentence_transformers.sentence_transformer import evaluation, losses
    from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
    from sentence_transformers.sentence_transformer.modules import (
        Dense,
        Normalize,
        Pooling,
        Router,
        StaticEmbedding,
        Transformer,
    )

    UNPACKED = ""
    """Why the installed version cannot embed sentences that are packed without padding; empty if it can."""

    def load_sentence_transformer(folder: str, **options: Any) -> SentenceTransformer:
        """Load a model from a folder, with options as `SentenceTransformer` takes them."""
        return SentenceTransformer(folder, **options)

    def load_transformer(folder: str, **options: Any) -> Transformer:
        """Load the first module of a model from a folder, with options as `Transformer` takes them."""
        transformer: Transformer = Transformer(folder, **options)
        return transformer

else:
    from harness.compat.before_5_4 import (
        UNPACKED,
        BatchSamplers,
        Dense,
        GroupByLabelBatchSampler,
        NoDuplicatesBatchSampler,
        Normalize,
        Pooling,
        Router,
        SentenceTransformerDataCollator,
        StaticEmbedding,
        Transformer,
        evaluation,
        load_sentence_transformer,
        load_transformer,
        losses,
    )

try:
    from sentence_transformers.base.losses.merged_forward import column_merging_disabled, embed_columns
except ImportError:  # before 6.0, no loss merges columns
    column_merging_disabled = nullcontext  # type: ignore[assignment]

    def embed_columns(
        model: nn.Module, features_list: Iterable[dict[str, Any]], separate_first: bool = True
    ) -> list[Tensor]:
        return [model(features)["sentence_embedding"] for features in features_list]


try:
    from sentence_transformers.base.losses.gradcache import uses_gradient_cache
except ImportError:  # before 5.7, one of these two methods shows that a loss goes through a batch in pieces

    def uses_gradient_cache(loss: Any) -> bool:
        return hasattr(loss, "embed_minibatch_iter") or loss.forward == getattr(loss, "forward_mini_batched", None)


def warm_up(share: float) -> dict[str, Any]:
    """Return the training argument for a warm-up over a share of the steps, from 0 to less than 1.

    Before transformers 5.0, `warmup_steps` takes whole steps only, and `warmup_ratio` is a number.
    """
    takes_shares = getattr(SentenceTransformerTrainingArguments, "warmup_ratio", None) is None
    return {"warmup_steps" if takes_shares else "warmup_ratio": share}


def bert_tokenizer(vocabulary: Mapping[str, int], folder: Path, **options: Any) -> PreTrainedTokenizerBase:
    """Return BERT's tokenizer for a vocabulary; before transformers 5.0 it reads one from a file.

    Args:
        vocabulary: the id of each piece.
        folder: where such a file is written.
        options: further options of the tokenizer.
    """
    if "vocab" in signature(BertTokenizer.__init__).parameters:
        tokenizer: PreTrainedTokenizerBase = BertTokenizer(vocab=dict(vocabulary), **options)
        return tokenizer
    from transformers import BertTokenizerFast  # type: ignore  # mypy reads a newer version

    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    older: PreTrainedTokenizerBase = BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), **options)
    return older


def candidates_at_most(most: int, corpus: int, positives: int) -> int:
    """Return how many candidates `mine_hard_negatives` can consider.

    Before 5.7 it fails if they and the positives are more than the texts of the corpus.

    Args:
        most: how many should be considered.
        corpus: number of distinct texts.
        positives: number of positives of the anchor that has most of them.
    """
    takes_any_number = "min(range_max" in getsource(mine_hard_negatives)
    return most if takes_any_number else min(most, corpus - positives)


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
    "bert_tokenizer",
    "candidates_at_most",
    "column_merging_disabled",
    "embed_columns",
    "evaluation",
    "load_sentence_transformer",
    "load_transformer",
    "losses",
    "uses_gradient_cache",
    "warm_up",
]
