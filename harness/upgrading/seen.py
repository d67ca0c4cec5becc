"""What an environment's own Python sees: `python -m harness.upgrading.seen [FOLDER]` prints it as JSON.

With the folder of an overlay's packages it also names what hides them, e.g. a checkout on PYTHONPATH.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harness import provenance
from harness.files import as_json
from harness.upgrading.wanted import folder_hash


@dataclass(frozen=True)
class Seen:
    """What an environment's Python sees."""

    versions: dict[str, str]
    """Versions that records made here have (`harness.provenance.versions`)."""
    packages: dict[str, str]
    """Version of every package that is installed, by its name, and where it came from if it is not the index."""
    hidden: dict[str, str]
    """Packages of the overlay that are not imported from it, with the place that hides them."""


def packages() -> dict[str, str]:
    """Return every package's version and origin, as the first folder of the path has it, except this harness's."""
    versions: dict[str, str] = {}
    for each in importlib.metadata.distributions():
        name = canonical(each.name or "")
        if name and name not in versions and name != "harness-embeddings":  # a hash of its code is in every record
            versions[name] = each.version + _origin(each)
    return versions


def canonical(name: str) -> str:
    """Return a package's name as pip compares names."""
    return "-".join(part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part)


def hidden(folder: Path) -> dict[str, str]:
    """Return the packages of an overlay whose modules are imported from elsewhere, with the place."""
    elsewhere = {}
    for each in importlib.metadata.distributions(path=[str(folder)]):
        tops = {file.parts[0] for file in each.files or () if file.suffix == ".py" and ".." not in file.parts}
        for top in sorted(tops):
            spec = importlib.util.find_spec(top.removesuffix(".py"))
            places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
            if not any(place and Path(place).resolve().is_relative_to(folder.resolve()) for place in places):
                elsewhere[canonical(each.name)] = str(next(filter(None, places), "nowhere"))
    return elsewhere


def _origin(package: importlib.metadata.Distribution) -> str:
    """Return where a package came from if it is not the index, since its version does not say what it holds."""
    try:
        origin = json.loads(package.read_text("direct_url.json") or "{}")
    except ValueError:
        return ""
    if commit := origin.get("vcs_info", {}).get("commit_id"):
        return f" (commit {commit[:12]})"
    if "dir_info" not in origin:
        return " (a file)" if "archive_info" in origin else ""
    folder = Path(unquote(urlsplit(str(origin.get("url"))).path))
    if not origin["dir_info"].get("editable"):
        return f" (folder {folder.name})"
    return f" (editable, {folder_hash(folder, '.py')[:12]})" if folder.is_dir() else ""


if __name__ == "__main__":
    overlay = [Path(folder) for folder in sys.argv[1:]]
    told = Seen(
        provenance.versions(), packages(), {name: place for each in overlay for name, place in hidden(each).items()}
    )
    print(as_json(asdict(told)))
