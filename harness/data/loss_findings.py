"""Findings of the audit on a study's own loss, which was tried on a few rows.

`docs/audit.md` explains every rule.
"""

from __future__ import annotations

from harness.data.findings import Finding, Severity
from harness.spec.losses import inputs_of
from harness.spec.parts import Part
from harness.spec.views import View, named

PROBED = 32
"""Number of rows on which it is tested whether a loss reads its labels."""

RAISES, UNFIT = "loss raises an error", "loss cannot be trained"
"""Kinds of the errors that depend on a loss's code. It may need a package or a file, so it is tried again each time."""

FAULTS = {
    "no module": "returned {value} and not a torch.nn.Module. Return a module whose forward(features, labels) is the "
    "loss.",
    "no number": "gave {value} on {batch}. Return a tensor with a single number, e.g. the mean over the rows, or a "
    "dictionary of such tensors, whose sum is trained.",
    "not finite": "is {value} on {batch}, before anything is trained. Its value must be finite; look for a division by "
    "zero, the logarithm or root of zero, or an overflow.",
    "no gradient": "gave the model no gradient on {batch}, so training would not change the model. Compute the loss "
    'from the output of the model, e.g. model(column)["sentence_embedding"], without detach(), torch.no_grad() and '
    "conversions to numbers or arrays.",
}
"""What a loss did, and how to fix it, by the kind of fault (`harness.training.loss_trial.Fault`)."""


def raising_loss(title: str, part: Part, rows: int, raised: str) -> Finding:
    """Return the finding that a loss raised an exception.

    Args:
        title: its study, with the part of it if it has parts.
        part: loss and view.
        rows: number of rows of the batch.
        raised: type, message and place of the exception.
    """
    view = named(part.view)
    advice = "Fix the loss"
    of_inputs = raised.partition(":")[0] in ("IndexError", "RuntimeError", "TypeError", "ValueError")
    if of_inputs and inputs_of(part.loss) is None:  # otherwise the view fits what the loss declares
        other = "triplet" if (view.label, view.texts) == ("none", 2) else "pair"
        advice += f', or give the study a view that it can read, e.g. view="{other}"'
    what = f"The loss of study {title!r} raised {raised} on {batch(view, rows)}. {advice}."
    return Finding("error", f"study {title}", RAISES, rows, rows, what)


def unfit_loss(title: str, part: Part, rows: int, fault: str, value: str) -> Finding:
    """Return the finding that a loss raises nothing, but cannot train the model.

    Args:
        title: its study, with the part of it if it has parts.
        part: loss and view.
        rows: number of rows of the batch.
        fault: kind of fault, one of `FAULTS`.
        value: what the loss is, or what it returned.
    """
    what = FAULTS[fault].format(value=value, batch=batch(named(part.view), rows))
    return Finding("error", f"study {title}", UNFIT, rows, rows, f"The loss of study {title!r} {what}")


def untried_loss(severity: Severity, title: str, part: Part, why: str) -> Finding:
    """Return the finding that it is not known whether a study's runs can use its loss.

    Args:
        severity: a warning if the runs may end in the same way, otherwise a note.
        title: its study, with the part of it if it has parts.
        part: loss and view.
        why: the reason.
    """
    what = f"The loss of study {title!r} could not be tried on a batch of view {named(part.view).name!r}: {why}."
    if severity == "warning":
        what += " Its runs may end in the same way."
    return Finding(severity, f"study {title}", "loss not tried", 0, 0, what)


def batch(view: View, rows: int) -> str:
    """Describe a batch by its view and the columns that the loss receives."""
    label = "no label" if view.label == "none" else f"label {view.columns[-1]!r}"
    of = "1 row" if rows == 1 else f"{rows} rows"
    return f"a batch of {of} of view {view.name!r} ({view.texts} texts, {label})"


def ignored_label(study: str, view: View, rows: int) -> Finding:
    """Return the finding that a loss gives the same value for all labels.

    Args:
        study: name of the study.
        view: its view.
        rows: number of rows of the view.
    """
    return Finding(
        "error",
        f"study {study}",
        "ignored label",
        rows,
        rows,
        f"The loss of study {study!r} does not depend on the {view.columns[-1]!r} of view {view.name!r}: every pair is "
        "trained on as if it had the same label. Use a loss that reads the label, or a view without labels, "
        'e.g. view="pair".',
    )


def unprobed_label(study: str, view: View, why: str) -> Finding:
    """Return the finding that it could not be tested whether a loss reads its labels.

    Args:
        study: name of the study.
        view: its view.
        why: the reason.
    """
    return Finding(
        "note",
        f"study {study}",
        "label not probed",
        0,
        PROBED,
        f"It could not be tested whether the loss of study {study!r} reads the {view.columns[-1]!r} of view "
        f"{view.name!r} ({why}).",
    )
