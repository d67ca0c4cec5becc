"""Files of rows of many shapes, and study files that `harness new` writes for them."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.cli.main import main

WORDS = ("boat", "dog", "guitar", "woman", "street", "child", "song", "Straße", "man", "horse", "river", "lamp")


def say(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words)) + f" {rng.randrange(10**6)}"


def new(folder: Path, rows: Sequence[Mapping[str, object]], kind: str = "csv", *options: str) -> int:
    """Write rows into a file and make a study file of them."""
    if kind == "csv":
        with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return main(["new", str(folder / "mine.py"), "--source", str(folder / f"rows.{kind}"), *options])


def texts(number: int, words: int = 7) -> list[str]:
    """Return different texts, of which none is nearly equal to another."""
    rng = random.Random(words)
    return [say(rng, words) for _ in range(number)]


def drafted(folder: Path) -> str:
    """Return the study file that was written."""
    return (folder / "mine.py").read_text(encoding="utf-8")
