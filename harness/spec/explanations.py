"""Explain errors that Python raises for frequent mistakes in study files, in the terms of study files."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from harness.spec.ablation import Ablation
from harness.spec.budget import Budget
from harness.spec.expectations import at_least, beats, in_order, within
from harness.spec.space import Point, Space, choice, log_uniform
from harness.spec.study import Study
from harness.testbeds import Testbed
from harness.testbeds.refs import Ref

_KEYWORD = re.compile(r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'")

_CALLED: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        *(Ablation, Budget, Point, Ref, Space, Study, Testbed),
        *(at_least, beats, choice, in_order, log_uniform, within),
    )
}
"""What study files call, by name."""


def explanation(problem: BaseException) -> str | None:
    """Return how to fix an unexpected keyword argument of what study files call; None for any other error."""
    match = _KEYWORD.match(str(problem)) if isinstance(problem, TypeError) else None
    if match is None or match[1] not in _CALLED:
        return None
    name, keyword = match.groups()
    allowed = list(inspect.signature(_CALLED[name]).parameters)
    near = get_close_matches(keyword, allowed, 1, 0.7)
    if near:
        fix = f"did you mean {near[0]!r}?"
    elif name == "Study":
        fix = (
            f"an argument of the loss is given with loss=partial(loss, {keyword}=...), from functools, or "
            f".sweep({keyword}=[...]); a study has {', '.join(allowed)}"
        )
    elif keyword in ("figure", "source"):
        fix = f"only within(...) and at_least(...) take {keyword}="
    else:
        fix = f"it has {', '.join(allowed)}"
    return f"{name}(...) has no argument {keyword!r}: {fix}"
