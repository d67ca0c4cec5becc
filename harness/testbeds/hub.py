"""Download pinned snapshots from the hub into its cache. No other module uses the network."""

from __future__ import annotations

import fnmatch
import logging
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils import logging as library

from harness.provenance import without_secrets
from harness.testbeds.refs import Ref

PATIENCE = 4.0
"""Seconds to wait for the hub's first answer before using only the cache."""

WEIGHTS = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")
"""What a base model is made of, in its folders, too, as "*" includes "/": 1_Pooling/config.json and its like.

Other formats of the same weights, pickles and code stay where they are.
"""


class CannotHave(Exception):
    """A snapshot is neither in the cache nor available from the hub."""


def _keep_secrets(line: logging.LogRecord) -> bool:
    """Take passwords out of what the library logs: it names the addresses that it retries."""
    line.msg, line.args = without_secrets(line.getMessage()), ()
    return True


library.get_logger("huggingface_hub")  # makes the library's handler
for _handler in logging.getLogger("huggingface_hub").handlers:
    _handler.addFilter(_keep_secrets)


def endpoint() -> str:
    """Return the hub's address: HF_ENDPOINT or the public one."""
    return constants.ENDPOINT


def reachable() -> bool:
    """Return whether the hub answers within PATIENCE seconds (False if HF_HUB_OFFLINE is set)."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        huggingface_hub.get_session().head(endpoint(), timeout=PATIENCE)
        return True
    except Exception:  # whatever the client in use raises: no answer is no answer
        return False


def snapshot(ref: Ref, *, is_model: bool, online: bool) -> Path:
    """Return the folder of a pinned snapshot, downloading what it lacks if `online`; raise CannotHave if it cannot."""
    patterns = ref.patterns or (WEIGHTS if is_model else ())
    try:
        folder = huggingface_hub.snapshot_download(
            ref.repo,
            repo_type="model" if is_model else "dataset",
            revision=ref.revision,
            allow_patterns=list(patterns) or None,
            local_files_only=not online,
        )
    except RepositoryNotFoundError as problem:
        raise CannotHave(f"{endpoint()} has no such repository") from problem
    except LocalEntryNotFoundError as problem:
        lacks = str(problem).partition("is incomplete: ")[2].partition(". ")[0]  # huggingface_hub 1.24 and newer
        if lacks:
            raise CannotHave(f"its snapshot in the cache is incomplete: {lacks}") from problem
        if isinstance(problem.__cause__, HfHubHTTPError):  # huggingface_hub before 1.0 then looks into the cache
            raise CannotHave(_answered(problem.__cause__)) from problem
        raise CannotHave(
            "it is not in the cache" + ("" if online else f", and {endpoint()} cannot be asked")
        ) from problem
    except HfHubHTTPError as problem:
        raise CannotHave(_answered(problem)) from problem
    except OSError as problem:
        raise CannotHave(f"the download stopped: {problem}") from problem
    except Exception as problem:  # the HTTP library's own errors, which huggingface_hub does not wrap
        raise CannotHave(f"the download stopped: {type(problem).__name__}: {problem}") from problem
    names = [str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()]
    for pattern in ref.patterns:
        if not fnmatch.filter(names, pattern):
            raise CannotHave(f"its snapshot in the cache lacks {pattern}")
    if not names:
        raise CannotHave("its snapshot in the cache is empty")
    if is_model and not fnmatch.filter(names, "*.safetensors"):
        raise CannotHave("it has no *.safetensors, and weights in other formats are not loaded: they can run code")
    return Path(folder)


def _answered(problem: HfHubHTTPError) -> str:
    return f"{endpoint()} answered: {str(problem).splitlines()[0]}"


def cached_model(repo: str) -> Path | None:
    """Return the folder of a model in the cache as loaded by name, without asking the hub; None if missing."""
    try:
        return Path(huggingface_hub.snapshot_download(repo, local_files_only=True))
    except Exception:  # no valid name, or nothing in the cache: the library says so in several ways
        return None
