"""What rows and the data of measures are read from: files of this machine, and data sets. Light to import."""

from __future__ import annotations

from pathlib import Path

from harness.testbeds.measure_kinds import Classification, Measure, Retrieval
from harness.testbeds.refs import Ref
from harness.testbeds.sources import File, Hub, Mix, Source


def leaves(part: Source | Measure) -> list[Source]:
    """Return the sources that rows, or the data of a measure, are read from: files, data sets and frames."""
    if isinstance(part, Mix):
        return [leaf for each in part.parts for leaf in leaves(each)]
    if isinstance(part, Classification):
        return [*leaves(part.train), *leaves(part.test)]
    inner = getattr(part, "of", None) or getattr(part, "source", None)
    if isinstance(inner, Source):
        return leaves(inner)
    return [part] if isinstance(part, Source) else []


def files_of(part: Source | Measure) -> list[Path]:
    """Return the files and folders of this machine that a part is read from."""
    paths = [Path(leaf.beside, leaf.path) for leaf in leaves(part) if isinstance(leaf, File)]
    if isinstance(part, Retrieval) and part.folder:
        paths.append(Path(part.beside, part.folder))
    return paths


def refs_of(part: Source | Measure) -> list[Ref]:
    """Return the data sets of the hub or of the embedded testbed that a part is read from."""
    refs = [leaf.ref for leaf in leaves(part) if isinstance(leaf, Hub)]
    if isinstance(part, Retrieval) and part.hub is not None:
        refs.append(part.hub)
    return refs
