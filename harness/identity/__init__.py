"""Content digests of objects in study files: equal digests mean equal computations, in every process.

`digest` follows what a callable reaches: its code, the functions, classes and constants that it reads, its closure,
defaults and arguments, an object's class and state. Modules: `code` (functions as syntax trees), `numbers` (arrays and
tables), `walk` (all other objects), `paths` (texts that name files). Importing this package imports no heavy library.
"""

from __future__ import annotations

from harness.identity.paths import paths_in
from harness.identity.walk import Unstable, digest

__all__ = ["Unstable", "digest", "paths_in"]
