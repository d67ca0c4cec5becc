"""Data that several test files read; drawn once, because drawing them takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.embedded import build, pretrain, rows
from harness.embedded.frames import Frame
from harness.embedded.rows import NliRow, StsPair

QUICK = pretrain.Recipe(vocabulary=800, width=32, layers=1, heads=2, epochs=1)


@pytest.fixture(scope="session")
def drawn() -> tuple[list[NliRow], list[StsPair], list[StsPair], list[str]]:
    """Training rows, dev pairs and test pairs as `build` draws them, and a part of the unlabelled text."""
    taken: set[Frame] = set()
    training = rows.nli_rows(rows.NLI_PREMISES, taken)
    dev = rows.sts_pairs("dev", rows.DEV_PAIRS, rows.seen_domains(), taken)
    test = rows.sts_pairs("test", rows.TEST_PAIRS, rows.seen_domains(), taken)
    return training, dev, test, rows.unlabelled_sentences(34_500, taken)


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small testbed: few rows and pairs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "NLI_PREMISES", 200)
        patch.setattr(rows, "DEV_PAIRS", 120)
        patch.setattr(rows, "TEST_PAIRS", 120)
        return build(tmp_path_factory.mktemp("cache") / "embedded-small")
