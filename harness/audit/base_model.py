"""Load a base model as the studies do, to find problems before anything is trained; executed in a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.data.findings import Finding
from harness.errors import RunFailed
from harness.spec.ablation import Ablation
from harness.testbeds import Pooling, fetching
from harness.testbeds.refs import EMBEDDED, Ref


@dataclass(frozen=True)
class Loading:
    """How a study loads the base model."""

    study: str
    pooling: Pooling | None
    adapters: Any
    frozen: Sequence[str]

    @property
    def changed(self) -> bool:
        """Whether the study adds to the model or trains only a part of it."""
        return self.adapters is not None or bool(self.frozen)


def loadings(ablation: Ablation) -> tuple[Loading, ...]:
    """Return how the studies load the base model, with one study for each pooling, and each study that changes it.

    The embedded testbed's model is part of the harness, and is loaded only for studies that change it.
    """
    every = [
        Loading(study.name, ablation.testbed_of(study.name).pooling, study.adapters, study.frozen)
        for study in ablation.studies
    ]
    if ablation.testbed.base.repo == EMBEDDED and not any(each.changed for each in every):
        return ()
    first = {each.pooling: each for each in reversed(every)}
    return tuple(each for each in every if each.changed or first[each.pooling] is each)


def of_base_model(testbed: str, base: Ref, loadings: Sequence[Loading]) -> list[Finding]:
    """Load a base model with each pooling, adapters and frozen parameters of the studies.

    Args:
        testbed: the testbed's name.
        base: the base model, which is on this machine.
        loadings: how the studies load it.

    Returns:
        An error for each study that cannot load it, and for each pooling a note that says how it was loaded.
    """
    from harness.executors.library_output import be_quiet
    from harness.model.loading import described, load_plain
    from harness.model.variants import prepare

    be_quiet()
    errors, notes = [], {}
    folder = str(fetching.locate(base, is_model=True))
    for each in loadings:
        try:
            model = load_plain(folder, each.pooling)
            notes[each.pooling] = f"It was loaded as: {described(model)}."
            prepare(model, each.adapters, each.frozen)
        except RunFailed as problem:
            errors.append(Finding("error", f"study {each.study}", "base model", 1, 1, f"{problem}."))
    return [*errors, *(Finding("note", f"testbed {testbed}", "base model", 1, 1, note) for note in notes.values())]
