"""A benchmark-and-ablation harness for the losses and data that train sentence-embedding models.

This module exports the names that study files use; the command `harness` runs them.
"""

from harness import testbeds
from harness.spec import losses, views
from harness.spec.ablation import Ablation
from harness.spec.budget import Budget
from harness.spec.expectations import at_least, beats, in_order, keeps, within
from harness.spec.parts import Part
from harness.spec.settings import Settings
from harness.spec.space import Point, Space, choice, log_uniform
from harness.spec.study import Study
from harness.spec.views import columns
from harness.testbeds import Testbed, measures, sources

__version__ = "0.1.0"
__all__ = [
    "Ablation",
    "Budget",
    "Part",
    "Point",
    "Settings",
    "Space",
    "Study",
    "Testbed",
    "at_least",
    "beats",
    "choice",
    "columns",
    "in_order",
    "keeps",
    "log_uniform",
    "losses",
    "measures",
    "sources",
    "testbeds",
    "views",
    "within",
]
