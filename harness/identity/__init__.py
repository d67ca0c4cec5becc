"""Content digests of objects in study files: equal digests mean equal computations, in every process.

`digest` follows what a callable reaches: its code, the functions, classes and constants that it reads, its closure,
defaults and arguments, an object's class and state. Modules: `code` (functions as syntax trees), `walk` (everything
else). Importing this package imports no heavy library.
"""

from __future__ import annotations

from harness.identity.walk import Unstable, digest, paths_in

__all__ = ["Unstable", "digest", "paths_in"]
