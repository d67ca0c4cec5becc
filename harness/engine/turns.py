"""Scheduling: which planned runs can start, and which starts next."""

from __future__ import annotations

from collections.abc import Collection

from harness.planning.plan import Plan, PlannedRun
from harness.planning.planner import Planner


class Turns:
    """Returns the runs that can start one after another: the untrained model first, then the studies in turn.

    A trial whose point the sampler has to choose can start once all trials before it have ended. Only the next run of
    each study is stored, so that a step of the driver costs the runs of one study and not those of all.
    """

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._position = {study: position for position, study in enumerate(planner.studies)}
        self._next: dict[str, tuple[int, int, PlannedRun]] = {}
        self._taken: set[str | tuple[str, int, int]] = set()
        self.refresh(*planner.studies)

    def refresh(self, *studies: str) -> None:
        """Update the next run of these studies after records were added or runs were taken; others have no turn."""
        for study in self._position.keys() & studies:
            ready = _first_ready(self._planner.part(study), self._taken)
            self._next.pop(study, None)
            if ready is not None:
                index, run = ready
                self._next[study] = index, self._position[study], run

    def take(self) -> PlannedRun | None:
        """Return the next run, which is never returned again; None if none can start. Its point may be undecided."""
        if not self._next:
            return None
        _, _, run = min(self._next.values(), key=lambda turn: turn[:2])
        self._taken.add(_key(run))
        self.refresh(run.study)
        return run


def _first_ready(part: Plan, taken: Collection[str | tuple[str, int, int]]) -> tuple[int, PlannedRun] | None:
    """Return a study's first run that can start, and its index among the study's runs."""
    waiting: set[int] = set()  # tunings of which an earlier trial has not ended
    for index, run in enumerate(part.runs):
        waits = run.state == "waiting" and (run.trial is None or run.point is not None or run.tuning in waiting)
        if run.state in ("to do", "waiting") and not waits and _key(run) not in taken:
            return index, run
        if run.stage == "tune" and run.state not in ("done", "failed"):
            waiting.add(run.tuning)
    return None


def _key(run: PlannedRun) -> str | tuple[str, int, int]:
    """Return a run's id or, if the sampler has not chosen its point yet, its study, tuning and trial."""
    return run.id or (run.study, run.tuning, run.trial or 0)
