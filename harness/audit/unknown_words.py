"""Words that the base model's tokenizer does not know: all of them are one and the same token to the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from harness.audit import lengths
from harness.data.findings import Finding
from harness.testbeds import Testbed

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MUCH = 0.01
"""Share of unknown tokens above which a finding is made; English texts have about .0001 in bert-base-uncased."""

LOOKED_AT = 2_000
"""Number of texts that are looked at, about evenly spaced."""

NAMED = 3
"""Number of unknown words that are named."""


def of_texts(bed: Testbed, texts: Sequence[str], what: str, where: str) -> list[Finding]:
    """Return a finding if the base model's tokenizer knows too few words of the texts.

    Args:
        bed: the testbed with the base model; one without a fast tokenizer is not looked at.
        texts: the texts.
        what: what they are, e.g. "view 'pair'".
        where: what the finding names as its place.
    """
    tokenizer = lengths.tokenizer_of(bed)
    unknown = None if tokenizer is None else _unknown(tokenizer)
    distinct = list(dict.fromkeys(texts))
    looked_at = distinct[:: len(distinct) // LOOKED_AT + 1]
    if tokenizer is None or unknown is None or not looked_at:
        return []
    ids = [encoded.ids for encoded in tokenizer.encode_batch_fast(looked_at, add_special_tokens=False)]
    number, of = sum(row.count(unknown) for row in ids), sum(map(len, ids))
    if number <= MUCH * of:
        return []
    of_whom = (text for text, row in zip(looked_at, ids, strict=True) if unknown in row)
    named = ", ".join(repr(word) for word in islice(dict.fromkeys(_words(tokenizer, unknown, of_whom)), NAMED))
    return [
        Finding(
            "warning",
            where,
            "unknown words",
            number,
            of,
            f"{number / of:.1%} of the tokens of {what} are unknown to the base model's tokenizer ({named}): the model "
            "reads all unknown words as the same token and cannot tell them apart. Use a base model that was trained "
            "on texts of this kind.",
        )
    ]


def _unknown(tokenizer: Tokenizer) -> int | None:
    """Return the id of the token for unknown words, None if the tokenizer needs none."""
    token = getattr(tokenizer.model, "unk_token", None) or "<unk>"  # a Unigram model does not tell its own
    return tokenizer.token_to_id(token)


def _words(tokenizer: Tokenizer, unknown: int, texts: Iterable[str]) -> Iterable[str]:
    """Return what is unknown in the first of the texts."""
    for text in islice(texts, NAMED):
        encoded = tokenizer.encode(text, add_special_tokens=False)
        for id, (begin, end) in zip(encoded.ids, encoded.offsets, strict=True):
            if id == unknown:
                yield text[begin:end]
