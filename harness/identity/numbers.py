"""Content of arrays, tensors and tables, without importing their libraries."""

from __future__ import annotations

import hashlib
import sys
from typing import Any


def numbers(thing: Any) -> list[Any] | None:
    """Return type, shape and a hash of the bytes of a numpy array or torch tensor; None for other objects.

    Arrays of objects and subclasses of numpy's array also give None.
    """
    modules = sys.modules
    if (np := modules.get("numpy")) is not None and type(thing) is np.ndarray and not thing.dtype.hasobject:
        content = np.ascontiguousarray(thing).tobytes()
        return [str(thing.dtype), list(thing.shape), hashlib.sha256(content).hexdigest()]
    if (torch := modules.get("torch")) is not None and isinstance(thing, torch.Tensor):
        flat = thing.detach().cpu().contiguous().resolve_conj().resolve_neg().flatten()
        content = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
        description = [type(thing).__name__, str(thing.dtype), list(thing.shape), thing.requires_grad]
        return [*description, hashlib.sha256(content).hexdigest()]
    return None


def table(thing: Any) -> list[Any] | None:
    """Return the content of a pandas object as plain values; None for other objects."""
    pd = sys.modules.get("pandas")
    if pd is None or not isinstance(thing, pd.DataFrame | pd.Series):
        return None
    frame = pd.DataFrame(thing)
    names = [list(frame.columns), list(frame.index.names), frame.index.tolist(), dict(thing.attrs)]
    columns = [(repr(frame.dtypes.iloc[n]), frame.iloc[:, n].tolist()) for n in range(frame.shape[1])]
    return [type(thing).__name__, *names, *columns]
