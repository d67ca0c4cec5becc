"""Which rows a function keeps that a study file gives to `where`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import AuditFailed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame


def kept(keep: Callable[[DataFrame], Any], rows: DataFrame, where: str) -> NDArray[np.bool_]:
    """Return for each row whether a function keeps it; null is False.

    Args:
        keep: the function, which gets a copy of the rows.
        rows: all rows.
        where: the source, for messages.

    Raises:
        AuditFailed: the function raises, or does not return one boolean for each row in their order.
    """
    from pandas import DataFrame, Series

    step = f"{where}: {named(keep)}"
    try:
        found = keep(rows.copy())
    except Exception as problem:
        raise AuditFailed(
            f"{step} raised {type(problem).__name__}: {problem}. The columns are {', '.join(map(str, rows))}"
        ) from problem
    if isinstance(found, DataFrame):
        raise AuditFailed(f'{step} returned a DataFrame. Return a boolean for each row, e.g. rows["votes"] > 2')
    if isinstance(found, Series) and not found.index.equals(rows.index):
        raise AuditFailed(
            f"{step} returned a Series with another index than its rows. Return a boolean for each row, in their order"
        )
    return _booleans(found, len(rows), step)


def _booleans(found: Any, number: int, step: str) -> NDArray[np.bool_]:
    import numpy as np
    from pandas import Series, isna

    if isinstance(found, str | bytes | dict | set) or not hasattr(found, "__len__"):
        raise AuditFailed(f"{step} returned {type(found).__name__}. Return a boolean for each row")
    if len(found) != number:
        raise AuditFailed(f"{step} returned {len(found):,} values for {number:,} rows. Return a boolean for each row")
    values = Series(found, dtype=object) if isinstance(found, list | tuple) else Series(found)
    if values.dtype == bool:
        return np.asarray(values, dtype=np.bool_)
    other = next((value for value in values if not isinstance(value, bool | np.bool_) and not isna(value)), None)
    if other is not None:
        raise AuditFailed(f"{step} returned {other!r} ({type(other).__name__}). Return True or False for each row")
    return np.array([value is not None and not isna(value) and bool(value) for value in values], dtype=np.bool_)


def named(function: Callable[..., Any]) -> str:
    """Return how a message names a function of `where`: with its line if it has no name."""
    name = getattr(function, "__name__", type(function).__name__)
    code = getattr(function, "__code__", None)
    if name != "<lambda>" or code is None:
        return f"where({name})"
    return f"where(lambda of {Path(code.co_filename).name}, line {code.co_firstlineno})"
