"""Measure published models with the evaluator of all runs, in separate processes (`harness calibrate`).

One process uses the network and fetches models and data; another, offline, embeds and scores. Both import torch; this
module does not.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from harness.evaluation.published import Row, Subject
from harness.scores import HEADLINE
from harness.testbeds import Testbed
from harness.testbeds.measure_kinds import Measure
from harness.testbeds.refs import EMBEDDED, Ref
from harness.text import shown

if TYPE_CHECKING:
    from harness.evaluation.scoring import Encoder

_OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}


def calibrate(models: Sequence[Subject], rows: Sequence[Row], testbed: Testbed, console: Console) -> list[Row]:
    """Measure each row that has a published score.

    Args:
        models: the models to measure.
        rows: the figures to measure.
        testbed: the testbed with the test set.
        console: receives progress: a bar on a terminal, otherwise one line per score.

    Returns:
        The rows with scores, or with the reason why there is none. A model or task that is not available affects only
        its own rows.
    """
    from harness.executors import WorkerDied
    from harness.executors.processes import ProcessExecutor, in_fresh_process

    to_measure = [row for row in rows if row.published is not None]
    if not to_measure:
        return list(rows)
    tasks = [row.figure.removeprefix("mteb/") for row in to_measure if row.figure != HEADLINE]
    test = testbed.test if any(row.figure == HEADLINE for row in to_measure) else None
    folders, absent = in_fresh_process(fetch, list(models), tuple(dict.fromkeys(tasks)), test)
    executor = ProcessExecutor([_OFFLINE])
    measured = []
    try:
        with _bar(console) as bar:
            task = bar.add_task("", total=len(to_measure))
            for row in rows:
                reason = row.reason or absent.get(row.model) or absent.get(row.figure)
                if row.published is None or reason:
                    measured.append(row.without(reason or ""))
                else:
                    bar.update(task, description=f"{row.model} {row.figure}")
                    try:
                        score = executor.submit(measure, folders[row.model], row.figure, test).result()
                    except WorkerDied as problem:
                        score = str(problem)
                    measured.append(row.without(score) if isinstance(score, str) else row.with_score(score))
                if row.published is not None:
                    bar.advance(task)
                    if not console.is_terminal:
                        line = shown(f"{row.model} {row.figure}: {measured[-1].outcome}")
                        console.print(line, highlight=False, markup=False, soft_wrap=True)
    finally:
        executor.stop()
    return measured


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def fetch(
    models: Sequence[Subject], tasks: Sequence[str], test: Measure | None
) -> tuple[dict[str, Path], dict[str, str]]:
    """Fetch models and data.

    Args:
        models: the models.
        tasks: names of mteb tasks.
        test: the test set of the testbed, if it is scored.

    Returns:
        The folder of each model, and by model or figure the reason why it is not available.
    """
    from harness.evaluation import scoring
    from harness.testbeds import hub, origins

    online = hub.reachable()
    if not online:
        print("The hub is not reachable, so only cached models and data are used.", file=sys.stderr, flush=True)
    folders: dict[str, Path] = {}
    absent: dict[str, str] = {}
    for subject in models:
        try:
            folders[subject.name] = subject.folder or hub.snapshot(
                subject.published.model, is_model=True, online=online
            )
        except hub.CannotHave as problem:
            absent[subject.name] = f"{subject.name}: {problem}"
    if not folders:
        return folders, absent
    sets: Mapping[str, Sequence[Ref]] = {
        **({HEADLINE: origins.refs_of(test)} if test else {}),
        **{f"mteb/{task}": refs for task, refs in scoring.task_refs(tasks).items()},
    }
    for figure, refs in sets.items():
        try:
            for ref in refs:
                if ref.repo != EMBEDDED:
                    hub.snapshot(ref, is_model=False, online=online)
        except hub.CannotHave as problem:
            absent[figure] = f"{refs[0].repo}: {problem}"
    return folders, absent


def measure(folder: Path, figure: str, test: Measure | None) -> float | str:
    """Return one score of a model.

    Args:
        folder: the model's folder.
        figure: name of the score.
        test: the test set, for the score on STSB test.

    Returns:
        The score on a 0 to 1 scale, or the reason why it could not be measured.
    """
    from harness.errors import HarnessError
    from harness.evaluation import scoring
    from harness.reading import materials
    from harness.testbeds.measure_kinds import Sts

    try:
        encoder = _encoder(folder)
        if figure == HEADLINE:
            assert isinstance(test, Sts)
            return scoring.score_sts(encoder, materials.load_sts(test))[1]["spearman_cosine"]
    except (HarnessError, OSError, ValueError) as problem:
        return f"{type(problem).__name__}: {problem}".splitlines()[0][:300]
    task = figure.removeprefix("mteb/")
    with tempfile.TemporaryDirectory() as results:
        scores, missing = scoring.score_tasks(
            encoder, [task], name="harness/calibration", run_id=folder.name, folder=Path(results)
        )
    return scores.get(task, missing.get(task, "mteb returned no score"))


@lru_cache(maxsize=1)
def _encoder(folder: Path) -> Encoder:
    """Load a model as it is, in float32; weights that could run code are not loaded."""
    import torch

    from harness.evaluation.scoring import Encoder
    from harness.executors.library_output import be_quiet
    from harness.model.fast import FastSentenceTransformer

    be_quiet()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = FastSentenceTransformer(
        str(folder), device=device, model_kwargs={"dtype": "float32", "use_safetensors": True}
    )
    return Encoder(model.eval())
