"""The report of an ablation: a page with figures, its scores as CSV and its records as JSON, from the store alone.

    facts      what is stated, computed once from the plan
    tables     as plain data and as markdown
    figures    the only home of matplotlib
    sweeps     how the score goes with a number that studies differ in
    explain    what the embeddings look like, and why a study trails
    curves     the best dev score against the budget, and points at an edge
    evidence   orders as a whole, repeated looks, and what was declared when
    audited    what the audit of the data found
    threats    reasons to doubt the result, read off the facts
    markdown   the page
    html       the same page as one file that can be mailed
    data       scores.csv and records.json

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

    A plan that is done only in part is reported as far as it goes. Figures of an earlier report that have nothing to
    show any more are removed; other files are left alone.

    Args:
        command: what reproduces the runs, as one would type it, e.g. "harness run studies/all_losses.py --rows 12000".

    Raises:
        StoreError: the folder cannot be written.
    """
    found = facts.gather(plan)
    few, drawn = facts.drawable(found), dict[str, bytes]()
    for drawing in figures.ALL:
        path = folder / "figures" / f"{drawing.name}.svg"
        content = figures.draw(drawing.figure, few)
        if content is None:
            with suppress(FileNotFoundError):
                path.unlink()
        else:
            write_atomically(path, content.decode())
            drawn[drawing.name] = content
    scores = data.scores_csv(found)
    write_atomically(folder / "scores.csv", scores)
    write_atomically(folder / "records.json", data.records_json(found))
    page = folder / "README.md"
    text = markdown.page(found, drawn, command)
    write_atomically(page, text)
    files = {f"figures/{name}.svg": content for name, content in drawn.items()} | {"scores.csv": scores.encode()}
    write_atomically(folder / "report.html", html_page(text, files))
    return page
