"""What an ablation's names stand for: hashes of what was read under them, kept in the store.

A run's id holds the content of rows, sets, base model and of the files and models that a loss names, not their names:
a data set of which a part was missing, or a model of which the folder was overwritten, makes other runs. `run` reads
it all anew; commands that read a store take what its last run found, so that they need no data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import cast

from harness.errors import StoreError
from harness.files import as_json, write_atomically
from harness.spec.ablation import Ablation, Precision

FILE = "contents.json"


@dataclass(frozen=True)
class Contents:
    """Hashes by name.

    Attributes:
        parts: of a testbed's parts, by what the testbed says of them (`Testbed.declared`).
        files: of files, models and hub repositories that losses and views name.
        precision: what "auto" came to on the device that trains; None before a run asked.
    """

    parts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    precision: str | None = None


def read(folder: Path) -> Contents:
    """Return what a store's last run found, nothing if there is none; raise StoreError if it cannot be read."""
    path = folder / FILE
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        parts, files = ({str(k): str(v) for k, v in plain[name].items()} for name in ("parts", "files"))
        return Contents(parts, files, None if plain["precision"] is None else str(plain["precision"]))
    except FileNotFoundError:
        return Contents()
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as problem:
        raise StoreError(
            f"{path}: cannot be read ({problem}); delete it: the next `harness run` reads the data again"
        ) from problem


def write(folder: Path, contents: Contents) -> None:
    """Replace a store's contents. Call it with the store locked."""
    write_atomically(folder / FILE, as_json(asdict(contents)) + "\n")


def resolved(ablation: Ablation, contents: Contents) -> Ablation:
    """Return the ablation with contents in the place of names, and its precision as the device has it."""
    declared = ablation.testbed.declared()
    known = tuple((part, contents.parts[said]) for part, said in declared.items() if said in contents.parts)
    precision = contents.precision if ablation.precision == "auto" and contents.precision else ablation.precision
    return replace(
        ablation,
        testbed=replace(ablation.testbed, contents=known),
        files=contents.files,
        precision=cast(Precision, precision),
    )


def added(known: Contents, ablation: Ablation, parts: Mapping[str, str], files: Mapping[str, str]) -> Contents:
    """Return contents with what was read now, by part and by name, in the place of what was known of these."""
    declared = ablation.testbed.declared()
    read_now = {declared[part]: found for part, found in parts.items()}
    return replace(known, parts={**known.parts, **read_now}, files={**known.files, **files})


def changes(known: Contents, found: Contents) -> list[str]:
    """Say what is no longer what the store's runs were made with; what was not known before has not changed."""
    pairs = [*((known.parts, now) for now in found.parts.items()), *((known.files, now) for now in found.files.items())]
    told = [f"{name} holds something else" for before, (name, now) in pairs if before.get(name, now) != now]
    if known.precision not in (None, found.precision):
        told.append(
            f"this device trains in {found.precision} where they were trained in {known.precision} "
            f"(--precision {known.precision} goes on with them)"
        )
    return told
