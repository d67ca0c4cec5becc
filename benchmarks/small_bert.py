"""A study file where bert-base-uncased is a small BERT, as on a stand-in for the hub: learning rates times ten.

    harness run benchmarks/small_bert.py --rows 4000 --trials 2 --seeds 3 --no-mteb
    harness run studies/loss_zoo.py --testbed embedded
    harness transfer benchmarks/small_bert.py runs/loss_zoo-small runs/loss_zoo-embedded

asks whether the embedded testbed is a fair proxy: docs/embedded.md has what came out. STUDIES=temperature in the
environment takes studies/temperature.py instead of the loss zoo; docs/studies.md has those.
"""

import os
from dataclasses import replace
from pathlib import Path

from harness import testbeds
from harness.spec.loading import load_study_file

declared = load_study_file(Path(__file__).parent.parent / "studies" / f"{os.environ.get('STUDIES', 'loss_zoo')}.py")

ablation = replace(declared, testbed=replace(testbeds.book, name="small", lr_scale=10.0))
