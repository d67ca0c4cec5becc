"""The testbed that needs no network: a controlled language, rows and tasks drawn from it, and a base model that has
read it.

`build()` makes everything once and returns the folder; `make_task` gives its mteb tasks. Importing this package imports
neither torch nor mteb.

Modules, each resting only on those before it: `words` (data), `lexicon`, `frames`, `surface`, `inference`,
`similarity`, `rows`, `taskdata`, `pretrain`, `build`, `tasks`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .build import TASK_NAMES, build, cache_folder, fingerprint

if TYPE_CHECKING:
    from mteb.abstasks.abstask import AbsTask

__all__ = ["TASK_NAMES", "build", "cache_folder", "fingerprint", "make_task"]


def make_task(name: str, root: Path) -> AbsTask:
    """A new mteb task object; see `tasks.make_task`, which this imports when called."""
    from .tasks import make_task as make

    return make(name, root)
