"""The base model: a WordPiece vocabulary and a small BERT, learnt by masked language modelling from unlabelled
sentences.

    python -m harness.embedded.pretrain FOLDER

makes the model that ships with the package anew and prints its hash; users of the testbed never run it. Everything runs
on one thread with seeds of its own and gives the same weights each time on one machine; processors round differently,
and thousands of steps carry a rounding far. The global generators and thread count are put back afterwards.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import rows as language
from .basemodel import content
from .build import write_data

if TYPE_CHECKING:
    import torch
    from transformers import BertForMaskedLM, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Recipe:
    """Sizes and schedule of the pretraining; the defaults were chosen by measuring, see the comments.

    With 4,000 pieces nearly every word is whole; with 2,300 a sentence has a tenth more tokens and topics are weaker.
    `masked` is above BERT's 0.15 because a small model learns faster per step from more gaps (Wettig et al. 2023).
    Batches of 64 at 2e-3 make models that differ little: over three seeds and 50,000 sentences the untrained dev score
    was 0.59 to 0.61, the topic probe 0.81 to 0.91. At 128 and 3e-3 it was 0.51 to 0.62 and 0.40 to 0.83. Four layers of
    64 cost a run what two of 128 do, and softmax falls further below cosine, as in the book. Twelve epochs instead of
    five raise that difference from 5 to 10 points (docs/log.md).
    """

    vocabulary: int = 4000
    width: int = 64
    layers: int = 4
    heads: int = 4
    max_tokens: int = 64
    masked: float = 0.25
    batch: int = 64
    epochs: int = 12
    learning_rate: float = 2e-3
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 20240


def train_tokenizer(lines: Sequence[str], folder: Path, recipe: Recipe) -> PreTrainedTokenizerBase:
    """Learns a lower-case WordPiece vocabulary of `recipe.vocabulary` pieces and saves it in `folder`."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    from harness.compat import bert_tokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # The learner numbers the letters inside words in the order of a hash table, and breaks ties by those numbers:
    # another vocabulary in each process. Named beforehand, they have fixed numbers.
    letters = {letter for line in lines for letter in line.lower() if letter.isalpha()}
    inside = [f"##{letter}" for letter in sorted(letters)]
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.normalizer = normalizers.BertNormalizer(lowercase=True)
    learner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    learner.decoder = decoders.WordPiece()
    learner.train_from_iterator(
        lines,
        trainers.WordPieceTrainer(vocab_size=recipe.vocabulary, special_tokens=special + inside, show_progress=False),
    )
    options = {"do_lower_case": True, "model_max_length": recipe.max_tokens}
    tokenizer = bert_tokenizer(learner.get_vocab(), folder, **options)
    tokenizer.save_pretrained(str(folder))
    return tokenizer


@contextmanager
def _without_bars() -> Iterator[None]:
    """Silences the bar that transformers draws for writing a file; puts the caller's setting back."""
    from transformers.utils import logging

    bars: Any = logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


@contextmanager
def _alone(seed: int) -> Iterator[None]:
    """One thread and torch's generator seeded, inside; the caller's thread count and generator state, afterwards."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _batches(lengths: Sequence[int], size: int, rng: random.Random) -> list[list[int]]:
    """One epoch of row numbers, each batch of neighbours in length, batches in random order.

    Pretraining compares nothing within a batch, so sorting by length changes no objective here, and saves the padding.
    """
    order = sorted(range(len(lengths)), key=lambda row: (lengths[row], rng.random()))
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    rng.shuffle(batches)
    return batches


def _mask(
    rows: list[list[int]], special: int, mask: int, size: int, share: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pads a batch and hides tokens as BERT does: of the chosen ones 80 % become [MASK], 10 % a random piece.

    Returns:
        The input, the attention mask, which tokens were chosen (all rows x tokens), and the chosen tokens' ids (one
        row).
    """
    import torch

    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    usable = ids >= special
    chosen = (torch.rand(ids.shape) < share) & usable
    fate = torch.rand(ids.shape)
    hidden = torch.where(chosen & (fate < 0.8), mask, ids)
    noise = torch.randint(special, size, ids.shape)
    hidden = torch.where(chosen & (fate >= 0.9), noise, hidden)
    return hidden, (ids != 0).long(), chosen, ids[chosen]


def _counted_embeddings(rows: list[list[int]], size: int, width: int, scale: float) -> torch.Tensor:
    """Word vectors to start from (size x width): the SVD of the pieces' pointwise mutual information within sentences.

    The first steps teach grammar before topics, and a model without topics is unlike BERT: with 2,300 pieces
    a linear classifier found a sentence's domain (one of 14) in .15 of the cases, and in .41 after this start, at the
    same STS score. Counting finds what a predicting model learns (Levy & Goldberg 2014), sooner.
    """
    import numpy as np
    import torch

    pairs = [np.add.outer(np.array(row[1:-1]) * size, np.array(row[1:-1])).ravel() for row in rows]
    counts = torch.from_numpy(np.bincount(np.concatenate(pairs), minlength=size * size)).reshape(size, size).float()
    counts.fill_diagonal_(0)
    totals = counts.sum(0) + 1
    information = (counts * totals.sum() / totals.outer(totals)).clamp(min=1.0).log()
    left, values, _ = torch.svd_lowrank(information, q=width, niter=4)
    vectors = left * values.sqrt()
    return vectors * (scale / vectors.std())


def train_model(
    lines: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    recipe: Recipe,
    progress: Callable[[str, float], None] | None = None,
) -> BertForMaskedLM:
    """Trains the model on `lines`; `progress` gets ("base model", share done) now and then.

    Only the hidden tokens go through the output layer: with BERT's full logits it would cost more than both layers.
    """
    import torch
    from transformers import BertConfig, BertForMaskedLM

    special = len(tokenizer.all_special_ids)
    rows: list[list[int]] = tokenizer(list(lines), truncation=True, max_length=recipe.max_tokens)["input_ids"]
    lengths = [len(row) for row in rows]
    rng = random.Random(recipe.seed)
    with _alone(recipe.seed):
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.width,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            intermediate_size=4 * recipe.width,
            max_position_embeddings=recipe.max_tokens,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        model: BertForMaskedLM = BertForMaskedLM(config).train()
        start = _counted_embeddings(rows, len(tokenizer), recipe.width, config.initializer_range)
        with torch.no_grad():
            # A quarter of the usual noise on top, so that pieces which never meet another one differ as well.
            words = model.bert.embeddings.word_embeddings.weight
            words.copy_(start + 0.25 * words)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, foreach=True
        )
        steps = recipe.epochs * -(-len(rows) // recipe.batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, total_steps=steps, pct_start=recipe.warmup, anneal_strategy="linear"
        )
        step = 0
        for _ in range(recipe.epochs):
            for batch in _batches(lengths, recipe.batch, rng):
                ids, attention, chosen, wanted = _mask(
                    [rows[row] for row in batch], special, int(tokenizer.mask_token_id), len(tokenizer), recipe.masked
                )
                states = model.bert(input_ids=ids, attention_mask=attention).last_hidden_state
                loss = torch.nn.functional.cross_entropy(model.cls(states[chosen]), wanted)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
                optimizer.step()
                schedule.step()
                step += 1
                if progress is not None and step % 10 == 0:
                    progress("base model", step / steps)
        model.train(False)
        return model


def build_model(
    lines: Sequence[str],
    folder: Path,
    recipe: Recipe | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> None:
    """Learns vocabulary and model from `lines` and saves both in `folder`, which `SentenceTransformer` loads,
    mean-pooled.

    The saved model has BERT's dropout of .1, for the losses to train with, and a pooler that was never trained, because
    without one the library would draw it at each loading from the caller's random numbers. The weights are stored with
    16 bits, and the configuration says that they are to be loaded with 32.
    """
    import torch
    from transformers import BertModel

    recipe = recipe or Recipe()
    tokenizer = train_tokenizer(lines, folder, recipe)
    trained = train_model(lines, tokenizer, recipe, progress)
    config = trained.config
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.1
    with _alone(recipe.seed):
        model: Any = BertModel(config)
    model.load_state_dict(trained.bert.state_dict(), strict=False)
    with _without_bars():
        model.half().save_pretrained(str(folder))
    config.dtype = torch.float32
    config.save_pretrained(str(folder))
    # Without the version of transformers that wrote it, which would change the content's hash and nothing else.
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del settings["transformers_version"]
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the model that ships, from sentences whose frames are in no training row, pair or task."""
    parser = argparse.ArgumentParser(prog="python -m harness.embedded.pretrain", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="where to save it; harness/embedded/model is where it ships from")
    folder = parser.parse_args(arguments).folder
    with tempfile.TemporaryDirectory() as data:
        taken = write_data(Path(data))
    lines = language.unlabelled_sentences(language.UNLABELLED, taken)
    build_model(lines, folder, progress=lambda what, share: print(f"\r{what}: {share:4.0%}", end="", flush=True))
    print(f"\n{folder}: {content(folder)}")


if __name__ == "__main__":
    main()
