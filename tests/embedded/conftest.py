"""Data that several test files read; drawn once, because drawing them takes seconds."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from harness.embedded import build, pretrain, rows
from harness.embedded.frames import Frame
from harness.embedded.rows import NliRow, StsPair

QUICK = pretrain.Recipe(vocabulary=800, width=32, layers=1, heads=2, epochs=1)


@pytest.fixture(scope="session")
def drawn() -> tuple[list[NliRow], list[StsPair], list[StsPair], list[str]]:
    """Training rows, dev pairs, test pairs and unlabelled text, as `build` draws them."""
    taken: set[Frame] = set()
    training = rows.nli_rows(rows.NLI_PREMISES, taken)
    dev = rows.sts_pairs("dev", rows.STS_PAIRS, rows.seen_domains(), taken)
    test = rows.sts_pairs("test", rows.STS_PAIRS, rows.seen_domains(), taken)
    return training, dev, test, rows.unlabelled_sentences(rows.UNLABELLED, taken)


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete testbed with little training text and a model of one layer of width 32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "NLI_PREMISES", 200)
        patch.setattr(rows, "STS_PAIRS", 120)
        patch.setattr(rows, "UNLABELLED", 3000)
        patch.setattr(pretrain, "build_model", partial(pretrain.build_model, recipe=QUICK))
        return build(tmp_path_factory.mktemp("cache") / "embedded-small")
