"""The report of an ablation: a page with figures, scores as CSV and records as JSON, built only from the store.

    facts      everything the report states, computed once from the plan
    tables     tables as plain data and as markdown
    budgets    the tuning budget that each study received
    checks     verdicts, and the rules by which they are judged
    origin     data, base model, commits, hardware and versions
    figures    the figures; no other module imports matplotlib
    sweeps     test score against a parameter that was swept
    explain    embedding-space diagnostics, and why a study scores lower
    curves     best dev score against the budget, and best points at an edge of the space
    protocol   orders as a whole, repeated looks, and the log of designs
    audit      findings of the data audit
    threats    threats to validity, derived from the facts
    markdown   the page
    result     the first section: the answer, the result table, one line a claim
    comment    the same for a pull request
    html       the same page as a single file
    data       scores.csv and records.json
    transfer   the page of one ablation on several testbeds
    verification  a published report recomputed from its records

The same records give the same bytes: no time stamp, no path of the machine, no order that depends on a hash.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from harness.files import write_atomically
from harness.planning.plan import Plan
from harness.report import data, facts, figures, markdown
from harness.report.html import html_page


def write_report(plan: Plan, folder: Path, command: str) -> Path:
    """Write README.md, report.html, figures/*.svg, scores.csv and records.json into `folder`; return the README's path.

    A partly finished plan is reported as far as it goes. Figures of an earlier report that no longer have data are
    removed; other files are not touched.

    Args:
        plan: the plan with its records.
        folder: where the files are written.
        command: the shell command that reproduces the runs, e.g. "harness run studies/all_losses.py --rows 12000".

    Returns:
        The path of README.md.

    Raises:
        StoreError: the folder cannot be written.
    """
    gathered = facts.gather(plan)
    shown, images = facts.drawable(gathered), dict[str, bytes]()
    for drawing in figures.ALL:
        path = folder / "figures" / f"{drawing.name}.svg"
        content = figures.draw(drawing.figure, shown)
        if content is None:
            with suppress(FileNotFoundError):
                path.unlink()
        else:
            write_atomically(path, content.decode())
            images[drawing.name] = content
    scores = data.scores_csv(gathered)
    write_atomically(folder / "scores.csv", scores)
    write_atomically(folder / "records.json", data.records_json(gathered))
    page = folder / "README.md"
    text = markdown.page(gathered, images, command)
    write_atomically(page, text)
    files = {f"figures/{name}.svg": content for name, content in images.items()} | {"scores.csv": scores.encode()}
    write_atomically(folder / "report.html", html_page(text, files))
    return page
