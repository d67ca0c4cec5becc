"""Words that the base model's tokenizer does not know: counted, named, and told for rows and measures alike."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from audited import MNR, examined
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from harness import Ablation, Budget, Space, Study, Testbed, choice, columns, log_uniform, measures, sources, testbeds
from harness.audit.unknown_words import MUCH, of_texts
from harness.embedded import base_model

KNOWN = "a dog runs along the river"


def with_tokenizer(folder: Path, tokenizer: Tokenizer | None) -> Testbed:
    """Return the embedded testbed with another tokenizer in its base model's folder."""
    shutil.copytree(base_model(), folder, dirs_exist_ok=True)
    (folder / "tokenizer.json").unlink()
    if tokenizer is not None:
        tokenizer.save(str(folder / "tokenizer.json"))
    return replace(testbeds.embedded, model=str(folder))


def trained(model: models.Model, trainer: trainers.Trainer) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator([KNOWN] * 20, trainer)
    return tokenizer


def test_unknown_words_are_counted_and_the_first_are_named() -> None:
    tokens = 4 * 20
    (found,) = of_texts(testbeds.embedded, [*[KNOWN] * 3, "∀ dog runs ∃", "a ∀ ∄ ∅"], "view 'pair'", "study mnr")
    assert (found.severity, found.where, found.what) == ("warning", "study mnr", "unknown words")
    assert found.count == 5
    assert 5 < found.of < tokens  # a text that is repeated is looked at once
    assert "view 'pair'" in found.explain
    assert "('∀', '∃', '∄')" in found.explain


@pytest.mark.parametrize("texts", [[], [""], [KNOWN], [KNOWN] * 5000, ["."]])
def test_known_words_and_no_words_are_no_finding(texts: list[str]) -> None:
    assert of_texts(testbeds.embedded, texts, "texts", "here") == []


def test_a_few_unknown_words_among_many_are_no_finding() -> None:
    many = [f"{KNOWN} and {KNOWN}{' .' * number}" for number in range(12)]  # distinct texts
    assert MUCH * 12 * 13 > 1
    assert of_texts(testbeds.embedded, [*many, "∀"], "texts", "here") == []
    assert of_texts(testbeds.embedded, [*many, "∀ ∀ ∀ ∀"], "texts", "here") != []


def test_tokenizers_that_know_every_byte_and_models_without_a_fast_one_have_no_finding(tmp_path: Path) -> None:
    every_byte = Tokenizer(models.BPE())
    every_byte.pre_tokenizer = pre_tokenizers.ByteLevel()
    every_byte.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    every_byte.train_from_iterator([KNOWN], trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False))
    assert of_texts(with_tokenizer(tmp_path / "bytes", every_byte), ["∀ ∃", "日本"], "texts", "here") == []
    assert of_texts(with_tokenizer(tmp_path / "none", None), ["∀ ∃", "日本"], "texts", "here") == []


@pytest.mark.parametrize("kind", ["unigram", "words"])
def test_each_kind_of_tokenizer_tells_its_unknown_words(kind: str, tmp_path: Path) -> None:
    tokenizer = {
        "unigram": lambda: trained(
            models.Unigram(),
            trainers.UnigramTrainer(
                vocab_size=40, unk_token="<unk>", special_tokens=["<unk>", "[UNK]"], show_progress=False
            ),
        ),
        "words": lambda: trained(
            models.WordLevel(unk_token="[?]"), trainers.WordLevelTrainer(special_tokens=["[?]"], show_progress=False)
        ),
    }[kind]()
    bed = with_tokenizer(tmp_path / kind, tokenizer)
    assert of_texts(bed, [KNOWN], "texts", "here") == []
    (found,) = of_texts(bed, [KNOWN, "∀ dog"], "texts", "here")
    assert found.count == 1
    assert "'∀'" in found.explain


def test_rows_and_both_measures_are_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer"])
        words = KNOWN.split()
        writer.writerows([" ".join(order), "∀ ∃ " + " ".join(order[:2])] for order in permutations(words, 4))
    train, dev, test = sources.file(str(path)).split(by="question", dev=0.2, test=0.2)
    bed = Testbed(
        name="own",
        model=str(base_model()),
        source=train,
        dev=measures.retrieval(dev, "own-dev", query="question", document="answer"),
        test=measures.retrieval(test, "own-test", query="question", document="answer"),
    )
    space = Space(batch_size=choice(8, 16), lr=log_uniform(1e-4, 1e-2))
    study = Study("mnr", loss=MNR, view=columns("question", "answer"))
    found = examined(
        Ablation(name="own", testbed=bed, studies=[study], space=space, budget=Budget(trials=1, epochs=1, seeds=1))
    )
    unknown = [finding for finding in found.findings if finding.what == "unknown words"]
    assert [finding.where for finding in unknown] == ["study mnr", "testbed own", "testbed own"]
    assert all(name in each.explain for name, each in zip(("view", "own-dev", "own-test"), unknown, strict=True))
