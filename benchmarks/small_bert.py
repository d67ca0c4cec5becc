"""A study file for a hub mirror in which bert-base-uncased is a small BERT, with ten times the usual learning rates.

    harness run benchmarks/small_bert.py --rows 4000 --trials 2 --seeds 3 --no-mteb
    harness run studies/loss_zoo.py --testbed embedded
    harness transfer benchmarks/small_bert.py runs/loss_zoo-small runs/loss_zoo-embedded

These commands test whether the embedded testbed is a good proxy; docs/embedded.md has the results. With
STUDIES=temperature in the environment, studies/temperature.py replaces the loss zoo (docs/studies.md).
"""

import os
from dataclasses import replace
from pathlib import Path

from harness import testbeds
from harness.spec.loading import load_study_file

declared = load_study_file(Path(__file__).parent.parent / "studies" / f"{os.environ.get('STUDIES', 'loss_zoo')}.py")

ablation = replace(declared, testbed=replace(testbeds.book, name="small", lr_scale=10.0))
