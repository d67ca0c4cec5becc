"""What a study declares of its training, as digests for the ids of its runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import StudyFileError
from harness.identity import Unstable, digest
from harness.spec.parts import Part
from harness.spec.study import Study
from harness.spec.views import View, named
from harness.testbeds import Testbed


def decisions(study: Study, testbed: Testbed, files: Mapping[str, str]) -> dict[str, Any]:
    """Return the digests of a study's losses and views, and what else it declares of its training.

    Parts are numbered, because their order decides the order of the batches; their names decide nothing.

    Args:
        study: the study.
        testbed: the testbed, with the contents of the sources that were read.
        files: hashes of the files and models that losses and views name.

    Raises:
        StudyFileError: a loss or a view has no content that other processes can find again.
    """
    by_title = study.by_title
    try:
        other = study.varies()
    except Unstable as problem:
        raise _refused(study.name, "adapters", problem) from problem
    if not study.parts:
        return {**_of_part(study.name, by_title[study.name], files), **other}
    parts = {
        str(number): {**_of_part(title, part, files), **_rows_of(part, testbed)}
        for number, (title, part) in enumerate(by_title.items(), start=1)
    }
    return {"parts": parts, "mixing": study.mixing, **other}


def of_view(title: str, view: View, files: Mapping[str, str] | None = None) -> str:
    """Return the digest of a view.

    Args:
        title: its study, for the message.
        view: the view.
        files: as for `digest`.

    Raises:
        StudyFileError: it has no content that other processes can find again.
    """
    try:
        return view.decides(files)
    except Unstable as problem:
        raise _refused(title, "view", problem) from problem


def _of_part(title: str, part: Part, files: Mapping[str, str]) -> dict[str, str]:
    try:
        loss = digest(part.loss, files)
    except Unstable as problem:
        raise _refused(title, "loss", problem) from problem
    return {"loss": loss, "view": of_view(title, named(part.view), files)}


def _rows_of(part: Part, testbed: Testbed) -> dict[str, str]:
    """Return the content of a part's source if it was read, else what is declared of it, and the part's prompts."""
    source = repr(part.source or testbed.source)
    prompts = {"prompts": repr(dict(sorted(part.prompts.items())))} if part.prompts else {}
    return {"rows": dict(testbed.contents).get(source, source), **prompts}


def _refused(title: str, what: str, problem: Unstable) -> StudyFileError:
    words = str(problem).removeprefix("it, ")
    return StudyFileError(
        f"study {title!r}: its {what} contains an object that another process cannot recreate: {words}. Create "
        f"the object inside the function of the {what}, or pass the plain values that it is made from."
    )
