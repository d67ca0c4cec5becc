"""The loss zoo where bert-base-uncased is a small BERT, as on a stand-in for the hub: learning rates times ten.

    harness run benchmarks/small_bert.py --rows 4000 --trials 2 --seeds 3 --no-mteb
    harness run studies/loss_zoo.py --testbed embedded
    harness transfer benchmarks/small_bert.py runs/loss_zoo-small runs/loss_zoo-embedded

asks whether the embedded testbed is a fair proxy: docs/embedded.md has what came out.
"""

from dataclasses import replace
from pathlib import Path

from harness import testbeds
from harness.study_file import load_study_file

zoo = load_study_file(Path(__file__).parent.parent / "studies" / "loss_zoo.py")

ablation = replace(zoo, testbed=replace(testbeds.book, name="small", lr_scale=10.0))
