"""The testbed that needs no network: a controlled language, rows and tasks drawn from it, and a base model that has
read it.

`build()` makes the data once and returns their folder; `base_model()` is the folder of the model, which ships with the
package; `make_task` gives the mteb tasks. Importing this package imports neither torch nor mteb.

Modules, each resting only on those before it: `words` (data), `lexicon`, `frames`, `surface`, `inference`,
`similarity`, `rows`, `taskdata`, `build`, `tasks`, `basemodel`, `pretrain`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .basemodel import MODEL_HASH, base_model
from .build import TASK_NAMES, build, cache_folder, fingerprint

if TYPE_CHECKING:
    from mteb.abstasks.abstask import AbsTask

__all__ = ["MODEL_HASH", "TASK_NAMES", "base_model", "build", "cache_folder", "fingerprint", "make_task"]


def make_task(name: str, root: Path) -> AbsTask:
    """A new mteb task object; see `tasks.make_task`, which this imports when called."""
    from .tasks import make_task as make

    return make(name, root)
