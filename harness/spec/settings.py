"""Settings: how a study trains, apart from what is tuned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from harness.errors import StudyFileError

Scheduler = Literal["linear", "cosine", "polynomial", "inverse_sqrt", "constant_with_warmup", "constant"]
"""How the learning rate falls after the warm-up, by the names of transformers."""

Sampler = Literal["no_duplicates", "no_duplicates_hashed", "group_by_label"]
"""How batches are drawn, by the names of sentence-transformers, instead of at random.

"no_duplicates" puts no text twice into a batch, which matters for in-batch negatives; "no_duplicates_hashed" draws the
same batches faster; "group_by_label" puts at least two rows of at least two classes into each batch.
"""


@dataclass(frozen=True)
class Settings:
    """How a study trains, apart from what is tuned.

    Raises:
        StudyFileError: a value is out of range.
    """

    warmup: float = 0.1
    """Share of the steps over which the learning rate rises."""
    scheduler: Scheduler = "linear"
    """How the learning rate falls after the warm-up."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    accumulation: int = 1
    """Batches whose gradients are averaged for one optimizer step; in-batch negatives stay those of one batch."""
    max_grad_norm: float = 1.0
    """Largest norm of the model's gradient, to which larger ones are cut; 0 to cut none."""
    max_seq_length: int | None = None
    """Number of tokens at which texts are truncated, in training and afterwards; the model's own if None."""
    epochs: float | None = None
    """Number of epochs instead of the budget's."""

    def __post_init__(self) -> None:
        fits = {
            "warmup": 0 <= self.warmup < 1,
            "scheduler": self.scheduler in get_args(Scheduler),
            "weight_decay": 0 <= self.weight_decay < float("inf"),
            "accumulation": _is_count(self.accumulation),
            "max_grad_norm": 0 <= self.max_grad_norm < float("inf"),
            "max_seq_length": self.max_seq_length is None or _is_count(self.max_seq_length),
            "epochs": self.epochs is None or 0 < self.epochs < float("inf"),
        }
        wrong = [name for name, fit in fits.items() if not fit]
        if wrong:
            raise StudyFileError(f"Settings: {wrong[0]}={getattr(self, wrong[0])!r}; {_RANGES[wrong[0]]}")
        if self.scheduler == "constant" and self.warmup:
            raise StudyFileError(
                'Settings: scheduler="constant" has no warm-up; give warmup=0, or scheduler="constant_with_warmup"'
            )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


_RANGES = {
    "warmup": "it is a share of the steps, from 0 to less than 1",
    "scheduler": f"choose from {', '.join(get_args(Scheduler))}",
    "weight_decay": "it is a number of 0 or more",
    "accumulation": "it is a number of batches, at least 1",
    "max_grad_norm": "it is a number of 0 or more",
    "max_seq_length": "it is a number of tokens, at least 1",
    "epochs": "it is a number above 0",
}
