"""Damaged reports: what is missing, renamed or of another type is said in one line, and is no error of the harness."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_verify import repeated, without_html, written

from harness.cli.main import main
from harness.errors import UsageError
from harness.report.verification.verify import verify


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a plan with several tunings, repeats, a claim and a run that diverged."""
    return without_html(written(repeated(), tmp_path_factory.mktemp("report")))


def answer(folder: Path, name: str, content: str) -> str | None:
    """Return what is said of a report with another content of one file; None if it agrees."""
    file = folder / name
    before = file.read_text(encoding="utf-8")
    assert content != before
    file.write_text(content, encoding="utf-8")
    try:
        return verify(folder).problem
    except UsageError as problem:
        return str(problem)
    finally:
        file.write_text(before, encoding="utf-8")


def tables(page: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield each table's text and its cells."""
    for found in re.finditer(r"^\|.*(?:\n\|.*)*", page, re.M):
        yield found.group(), [re.split(r"(?<!\\)\|", line)[1:-1] for line in found.group().split("\n")]


def joined(rows: list[list[str]]) -> str:
    return "\n".join(f"|{'|'.join(cells)}|" for cells in rows)


NOT_KNOWN = {"STS test Pearson", "mean of 4 tasks", "best of 2 points", "best of 4 points"}
"""Columns that a report of these records need not have."""


def test_no_column_can_be_renamed_removed_or_added(report: Path) -> None:
    page = (report / "README.md").read_text(encoding="utf-8")
    renamed, removed = set(), set()
    for text, rows in tables(page):
        for column, title in enumerate(rows[0]):
            other = [[*rows[0][:column], f" n{title.strip()} ", *rows[0][column + 1 :]], *rows[1:]]
            if answer(report, "README.md", page.replace(text, joined(other))) is None:
                renamed.add(title.strip())
            fewer = [cells[:column] + cells[column + 1 :] for cells in rows]
            if answer(report, "README.md", page.replace(text, joined(fewer))) is None:
                removed.add(title.strip())
        more = [[" other ", *rows[0]], [" --- ", *rows[1]], *([" 1 ", *cells] for cells in rows[2:])]
        assert answer(report, "README.md", page.replace(text, joined(more))) is not None, text
    assert not renamed
    assert removed == NOT_KNOWN


def test_no_section_and_no_table_of_scores_can_be_removed(report: Path) -> None:
    page = (report / "README.md").read_text(encoding="utf-8")
    sections = re.split(r"^(?=## )", page, flags=re.M)
    assert len(sections) > 15
    for section in sections:
        assert answer(report, "README.md", page.replace(section, "")) is not None, section
        heading = section.partition("\n")[0]
        assert answer(report, "README.md", page.replace(heading + "\n", "\n", 1)) is not None, heading
    removed = [rows[0] for text, rows in tables(page) if answer(report, "README.md", page.replace(text, "")) is None]
    assert {cells[1].strip() for cells in removed} == {"pairs", "mteb/STS12"}


def test_no_line_of_a_study_can_be_removed_or_doubled(report: Path) -> None:
    page = (report / "README.md").read_text(encoding="utf-8")
    tried = 0
    for text, rows in tables(page):
        for line, cells in zip(text.split("\n"), rows, strict=True):
            if re.fullmatch(r"\W*(?:softmax|mnr|cosine|untrained)\W*", cells[0]) and "diverged" not in line:
                for lines in ("", f"{line}\n{line}\n"):
                    tried += 1
                    changed = text.replace(f"{line}\n", lines) if f"{line}\n" in text else text.replace(line, lines)
                    assert answer(report, "README.md", page.replace(text, changed.rstrip("\n"))) is not None, line
    assert tried > 60


def test_a_readme_that_is_cut_off_or_empty_is_told(report: Path) -> None:
    page = (report / "README.md").read_text(encoding="utf-8")
    end = page.index("## How to reproduce this")
    for length in range(0, end, 251):
        assert answer(report, "README.md", page[:length]) is not None
        assert length == 0 or answer(report, "README.md", page[length:]) is not None


def test_scores_csv_of_another_form_is_told(report: Path) -> None:
    text = (report / "scores.csv").read_text(encoding="utf-8")
    lines = list(csv.reader(io.StringIO(text)))
    for column in range(len(lines[0])):
        fewer = [cells[:column] + cells[column + 1 :] for cells in lines]
        others = [
            [lines[0], *([*c[:column], value, *c[column + 1 :]] for c in lines[1:])]
            for value in ("x", "nan", "9" * 5000)
        ]
        for changed in (fewer, *others):
            made = io.StringIO()
            csv.writer(made, lineterminator="\n").writerows(changed)
            assert answer(report, "scores.csv", made.getvalue()) is not None, lines[0][column]
    assert "has 2 lines" in str(answer(report, "scores.csv", text + text.splitlines()[-1] + "\n"))


OTHER_TYPES: list[object] = [None, [], {}, "x", -3, True, [None], {"a": {}}]


def test_records_of_another_form_raise_no_other_error(report: Path) -> None:
    document = json.loads((report / "records.json").read_text(encoding="utf-8"))
    for key in document:
        for value in OTHER_TYPES:
            changed = json.dumps({**document, key: value})
            assert answer(report, "records.json", changed) is not None or (key, value) == ("seeds_shared", [])
    for record in (document["records"][0], document["records"][-1]):
        rest = [each for each in document["records"] if each is not record]
        for key in record:
            for value in OTHER_TYPES:
                answer(report, "records.json", json.dumps({**document, "records": [*rest, {**record, key: value}]}))
            fewer = {name: value for name, value in record.items() if name != key}
            assert answer(report, "records.json", json.dumps({**document, "records": [*rest, fewer]})) is not None, key


def test_a_renamed_column_of_the_checks_is_no_error_of_the_harness(
    report: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = report / "README.md"
    page = readme.read_text(encoding="utf-8")
    monkeypatch.chdir(report.parent)
    readme.write_text(page.replace("| margin | seeds |", "| margin | nseeds |"), encoding="utf-8")
    assert main(["verify", report.name]) == 1
    assert capsys.readouterr().out.startswith(f"disagrees: {report.name}: Checks: the table with the columns claim, ")
    readme.write_text(page, encoding="utf-8")
