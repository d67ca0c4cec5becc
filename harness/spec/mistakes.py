"""Checks of an ablation's lists of studies and expectations: frequent mistakes, and how to fix them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from harness.errors import StudyFileError
from harness.spec.expectations import Expectation
from harness.spec.study import Study


def listed_studies(where: str, studies: object) -> tuple[Study, ...]:
    """Return an ablation's `studies` as a tuple; raise StudyFileError if they are no list of studies.

    Args:
        where: the ablation, for the message.
        studies: the value given.
    """
    if not isinstance(studies, Iterable):
        fix = "write studies=[...]" if isinstance(studies, Study) else "give a list of Study(...)"
        raise StudyFileError(f"{where}: studies={_short(studies)} is not a list; {fix}")
    several = tuple(studies)
    for study in several:
        if isinstance(study, list | tuple):
            raise StudyFileError(
                f"{where}: studies contains the list {_short(study)}; sweep(...) returns a list, which a star adds to "
                "the others: studies=[a, *b.sweep(...)]"
            )
        if not isinstance(study, Study):
            raise StudyFileError(f"{where}: studies contains {_short(study)}; declare each as Study(name, loss, view)")
    return several


def listed_expectations(where: str, expect: object) -> tuple[Expectation, ...]:
    """Return an ablation's `expect` as a tuple; raise StudyFileError if it is no list of expectations.

    Args:
        where: the ablation, for the message.
        expect: the value given.
    """
    kinds = get_args(Expectation)
    how = "beats(...), in_order(...), within(...) or at_least(...)"
    if not isinstance(expect, Iterable):
        fix = "put it in brackets: expect=[...]" if isinstance(expect, kinds) else f"give a list of {how}"
        raise StudyFileError(f"{where}: expect={_short(expect)} is not a list; {fix}")
    several = tuple(expect)
    for expectation in several:
        if not isinstance(expectation, kinds):
            raise StudyFileError(f"{where}: expect contains {_short(expectation)}; declare each claim with {how}")
    return several


def _short(value: object) -> str:
    """Return a value's text, cut to a length that a message bears; a list of studies by their names."""
    if isinstance(value, list | tuple) and value and all(isinstance(each, Study) for each in value):
        return f"of the studies {', '.join(repr(each.name) for each in value)}"
    text = str(value) if isinstance(value, get_args(Expectation)) else repr(value)
    if isinstance(value, Study):
        text = f"Study({value.name!r}, ...)"
    return text if len(text) <= 100 else f"{text[:100]}..."
