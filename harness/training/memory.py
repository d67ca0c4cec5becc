"""Recognise the exceptions by which torch reports that memory ran out."""

from __future__ import annotations

NO_MEMORY = ("out of memory", "can't allocate memory", "status_alloc_failed")
"""Parts of torch's messages when memory ran out, on a GPU, on a CPU, and in NVIDIA's libraries."""


def ran_out_of_memory(problem: BaseException) -> bool:
    """Return whether an exception means that memory ran out."""
    message = str(problem).lower()
    return isinstance(problem, MemoryError) or (
        isinstance(problem, RuntimeError) and any(words in message for words in NO_MEMORY)
    )
