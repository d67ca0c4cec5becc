"""Content hashes of the data, models and files that an ablation names, kept in the store.

A run's id depends on the content of rows, evaluation sets, base model and the files and models that a loss names, and
not on their names: an incomplete data set or an overwritten model folder gives other runs. `run` reads the content
again each time; commands that only read a store use the hashes of its last run, so that they need no data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import cast

from harness.errors import StoreError
from harness.files import as_json, write_atomically
from harness.spec.ablation import Ablation, Precision
from harness.store import reading

FILE = "contents.json"

OTHER = " has other content"
"""What `changes` says of a part or a file."""


@dataclass(frozen=True)
class Contents:
    """Hashes of contents, by name."""

    parts: Mapping[str, str] = field(default_factory=dict)
    """Hashes of base model, sources and measures, by what is declared of them."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Hashes of the files, models and repositories of the hub that losses and views name."""
    precision: str | None = None
    """Precision that "auto" selected on the device that trains; None before the first run."""


def read(folder: Path) -> Contents:
    """Return the hashes of a store's last run, empty if there are none.

    Raises:
        StoreError: the file cannot be read.
    """
    try:
        found: Contents = reading.document(Contents, folder, FILE)
        return found
    except FileNotFoundError:
        return Contents()
    except reading.Unreadable as problem:
        raise StoreError(
            f"{folder / FILE}: cannot be read ({problem}); delete it: the next `harness run` reads the data again"
        ) from problem


def write(folder: Path, contents: Contents) -> None:
    """Replace a store's contents. Call it with the store locked."""
    write_atomically(folder / FILE, as_json(asdict(contents)) + "\n")


def resolved(ablation: Ablation, contents: Contents) -> Ablation:
    """Return the ablation with content hashes and with the precision that the device uses."""
    declared = {repr(part) for part in (*ablation.sources, *ablation.testbed.measures)}
    declared |= set(ablation.testbed.declared().values())
    hashes = tuple((name, content) for name, content in sorted(contents.parts.items()) if name in declared)
    precision = contents.precision if ablation.precision == "auto" and contents.precision else ablation.precision
    return replace(
        ablation,
        testbed=replace(ablation.testbed, contents=hashes),
        files=contents.files,
        precision=cast(Precision, precision),
    )


def updated(contents: Contents, parts: Mapping[str, str], files: Mapping[str, str]) -> Contents:
    """Return contents updated with new hashes.

    Args:
        contents: the contents.
        parts: new hashes by what is declared of a part.
        files: new hashes by name of a file, model or repository.
    """
    return replace(contents, parts={**contents.parts, **parts}, files={**contents.files, **files})


def names(ablation: Ablation) -> dict[str, str]:
    """Return how the parts of an ablation's data are called, by what is declared of them."""
    bed = ablation.testbed
    words = {repr(part): str(part) for part in (bed.base, bed.source, *ablation.sources)}
    return words | {repr(measure): f"measure {measure.name}" for measure in bed.measures}


def changes(earlier: Contents, current: Contents, ablation: Ablation) -> list[str]:
    """Describe what changed since the store's last run; contents that it had no hash of do not count."""
    words = names(ablation)
    pairs = [
        *((earlier.parts, now) for now in current.parts.items()),
        *((earlier.files, now) for now in current.files.items()),
    ]
    changed = [name for before, (name, now) in pairs if before.get(name, now) != now]
    lines = [f"{words.get(name, name)}{OTHER}" for name in changed]
    if earlier.precision not in (None, current.precision):
        lines.append(
            f"this device trains in {current.precision}, earlier runs were trained in {earlier.precision} "
            f"(--precision {earlier.precision} continues with them)"
        )
    return lines
