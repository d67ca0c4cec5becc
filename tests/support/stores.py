"""A store in memory, which runs and judges made-up ablations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import synthetic

from harness.planning import unlocking
from harness.planning.plan import Plan
from harness.planning.planner import make_plan
from harness.spec.ablation import Ablation
from harness.spec.expectations import in_order
from harness.store.designs import Design
from harness.store.records import Record

NAMES = ("softmax", "cosine", "mnr")


def declared(**changes: Any) -> Ablation:
    plain = synthetic.make_ablation(NAMES, trials=4, seeds=3, tasks=(), expect=[in_order("softmax", "cosine", "mnr")])
    return replace(plain, **changes)


class Store:
    """The records and the log of a store, as drivers leave them."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.designs: tuple[Design, ...] = ()

    def run(self, ablation: Ablation) -> Plan:
        entry = unlocking.design(ablation, self.records.values())
        if unlocking.is_news(entry, self.designs):
            self.designs = (*self.designs, entry)
        self.records |= {record.id: record for record in synthetic.make_records(ablation)}
        return self.plan(ablation)

    def plan(self, ablation: Ablation) -> Plan:
        return make_plan(ablation, self.records.values(), pruning=True, designs=self.designs)


def budget(ablation: Ablation, **changes: Any) -> Ablation:
    return replace(ablation, budget=replace(ablation.budget, **changes))
