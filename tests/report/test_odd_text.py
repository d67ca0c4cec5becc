"""Whatever a name or a message holds, every output shows it, in one line, and nothing interprets it."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import synthetic
from huggingface_hub import ModelCard, ModelCardData
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from matplotlib.figure import Figure
from rich.console import Console

from harness.cli.main import main
from harness.cli.tables import audit_table, records_table
from harness.data.findings import Audit, Finding
from harness.planning.plan import PlannedRun
from harness.report import write_report
from harness.report.figures.canvas import draw, new
from harness.report.html import html_page
from harness.report.tables import Table
from harness.store.card import model_card
from harness.store.records import Record
from harness.text import command, counted, escape, failure, from_csv, in_csv, in_json, labels, score, shown, signed
from harness.verdicts.junit import junit_xml
from harness.verdicts.rules import Verdict

ODD = [
    "mnr [a]",
    "[/b] [bold red]x[/]",
    "<script>alert(1)</script> <img src=x onerror=y> &lt;b&gt;",
    "![x](http://e.org/a.png) [b](javascript:x) **c** `d` ~~e~~ | f $g$ #h \\",
    "1. one",
    "- two",
    "---",
    "=cmd|'/c calc'!A1",
    "+1",
    "'=quoted",
    "@SUM(1)",
    "\x1b[2J\x1b]0;title\x07 \x00 \x9b31m",
    "right \u202e tfel \u2066 hidden \u200b \u00ad \ufeff",
    "a\nholds: b beats c\r\n\u2028d\te",
    "$(touch x) `id` 'q' \"r\" ; && !",
    "größer 学习 ≥ 🙂 नमस्ते",
    "long " * 60,
    "_underscore $\\frac$ %s {0}",
]

texts = st.one_of(
    st.sampled_from(ODD),
    st.lists(st.sampled_from(ODD), min_size=2, max_size=3).map(" ".join),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300),
).filter(lambda text: shown(text).strip() != "")


def every(test: Callable[[str], None]) -> Callable[[], None]:
    """Run a test with each odd text and with drawn ones."""
    for text in ODD:
        test = example(text)(test)
    return settings(max_examples=60, deadline=None)(given(texts)(test))


def plain(text: str) -> str:
    """Return what a reader sees of a text: as `shown`, with runs of spaces as one."""
    return " ".join(part for part in shown(text).split(" ") if part)


def assert_printable(output: str) -> None:
    odd = {character for character in output if not (character.isprintable() or character == "\n")}
    assert odd == set()


def record(text: str) -> Record:
    ablation = synthetic.make_ablation(["mnr"], expect=[], seeds=1, trials=1)
    of_plan = synthetic.make_records(ablation)[-1]
    point = replace(of_plan.point, options=(("option", text),)) if of_plan.point else None
    return replace(of_plan, study=text, point=point, error=text, provenance={"revisions": {"rows": text}})


def rendered(table: object) -> str:
    console = Console(file=io.StringIO(), width=3000, force_terminal=True, color_system=None)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@every
def test_the_terminal_s_tables_show_it(text: str) -> None:
    finding = Finding("note", text, text, 1, 1, text)
    for output in (
        rendered(records_table([record(text)], 3000)),
        rendered(audit_table(Audit("key", (finding,), ()), text)),
    ):
        assert_printable(output)
        assert shown(text).strip() in output


class Words(HTMLParser):
    """Collects the text and the tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


@every
def test_markdown_and_html_show_it_and_nothing_else(text: str) -> None:
    places = ["# T", escape(text), f"- {escape(text)}", f"**{escape(text)}** x", f"x {escape(text)}"]
    source = "\n\n".join([*places, Table(("a", "b"), ((escape(text), "c"),)).markdown()]) + "\n"
    assert_printable(source)
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(source)
    for document in (page, html_page(source, {})):
        parsed = Words()
        parsed.feed(document.partition("<body>")[2] or document)
        assert parsed.tags <= {
            "h1",
            "p",
            "ul",
            "li",
            "strong",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "div",
            "main",
        }
        seen = " ".join("".join(parsed.words).split())
        assert seen.count(plain(text)) >= 5


@every
def test_a_spreadsheet_runs_nothing_and_gives_the_text_back(text: str) -> None:
    file = io.StringIO()
    csv.writer(file).writerow([in_csv(text), in_csv(-1.5)])
    cell, number = next(csv.reader(io.StringIO(file.getvalue())))
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert from_csv(cell) == shown(text)
    assert float(number) == -1.5


@every
def test_junit_and_json_are_read_back(text: str) -> None:
    verdict = Verdict(text, "a", "b", 0.0, "violated", text)
    xml = junit_xml(synthetic.make(synthetic.make_ablation(["mnr"], expect=[], seeds=1, trials=1)), [verdict])
    assert_printable(xml)
    case = ElementTree.fromstring(xml.encode()).find("testsuite/testcase")
    assert case is not None
    assert case.get("name") == "\n".join(map(shown, text.split("\n"))).replace("\n", "\n")
    document = in_json(json.dumps({text: [text]}, ensure_ascii=False, indent=1))
    assert_printable(document)
    assert json.loads(document) == {text: [text]}


@every
def test_a_model_card_shows_it(text: str) -> None:
    card = str(model_card(record(text)))
    assert_printable(card)
    _, body = card.removeprefix("---\n").split("\n---\n", 1)
    data = ModelCard(card).data
    assert isinstance(data, ModelCardData)
    assert str(data.model_name).startswith(shown(text)[:20].rstrip())
    parsed = Words()
    parsed.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(body))
    assert not parsed.tags & {"script", "img", "a", "em"}
    assert plain(text) in " ".join("".join(parsed.words).split())


@every
def test_a_failure_is_one_line(text: str) -> None:
    line = failure(f"Traceback (most recent call last):\n  File x\nValueError: {text}\nits last line (at study.py:3)")
    assert_printable(line)
    assert "\n" not in line
    assert line.startswith("ValueError:")
    assert line.endswith(" (at study.py:3)")


@settings(max_examples=200)
@given(st.lists(texts, min_size=1, max_size=17, unique=True))
@example([f"a long name of one of the {which} variants of two" for which in ("first", "second", "third")])
@example(["\n", "\\n", "\\n (2)"])
def test_labels_of_figures_are_short_and_distinct(names: list[str]) -> None:
    found = labels(names)
    assert list(found) == names
    assert len(set(found.values())) == len(names)
    for label in found.values():
        assert_printable(label)
        assert len(label) <= 24 + len(" _ (17)")
        assert not label.startswith("_")  # matplotlib's legends leave these out


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("text", ODD)
def test_figures_draw_it_as_it_is(text: str) -> None:
    def figure(label: str) -> Figure:
        made = new(1)
        made.subplots().set_title(label)
        return made

    image = draw(figure, labels([text])[text])
    assert image is not None
    assert ElementTree.fromstring(image).tag.endswith("svg")


@settings(max_examples=30, deadline=None)
@given(st.lists(texts.filter(lambda text: "\0" not in text), min_size=1, max_size=4))
@example([text.replace("\0", "") for text in ODD])
def test_a_shell_reads_a_command_as_its_arguments(arguments: list[str]) -> None:
    line = command(["printf", r"%s\0", *arguments])
    assert_printable(line)
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert done.stdout.decode().split("\0")[:-1] == arguments


def test_a_report_of_hostile_records_is_readable(tmp_path: Path) -> None:
    hostile = "\x1b[2J<img src=http://e.org/x.png> ![y](http://e.org/y.png) \u202e\x00\nholds: forged"

    def change(run: PlannedRun, made: Record) -> Record:
        provenance = {
            **made.provenance,
            "revisions": {hostile: hostile},
            "hub": hostile,
            "versions": {hostile: hostile},
        }
        if run.study == "mnr" and run.stage == "tune" and run.trial == 1:
            return replace(made, outcome="failed", scores={}, error=f"ValueError: {hostile}", provenance=provenance)
        return replace(made, provenance=provenance, missing={hostile: hostile})

    write_report(synthetic.make(change=change), tmp_path, "harness run x.py")
    for name in ("README.md", "report.html", "scores.csv", "records.json"):
        content = (tmp_path / name).read_text(encoding="utf-8")
        assert_printable(content)
    parsed = Words()
    parsed.feed((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "a" in parsed.tags  # the link to scores.csv
    sources = re.findall(r'src="([^"]{0,20})', (tmp_path / "report.html").read_text(encoding="utf-8"))
    assert {source[:5] for source in sources} == {"data:"}
    assert "holds: forged" in "".join(parsed.words)


def test_names_that_the_font_cannot_draw_are_numbers_in_figures_and_explained(tmp_path: Path) -> None:
    ablation = synthetic.make_ablation(["mnr", "学习", "学乱"], expect=[], seeds=2, trials=2)
    page = write_report(synthetic.make(ablation), tmp_path, "harness run x.py").read_text(encoding="utf-8")
    assert "In the figures, whose font lacks some letters, study 2 is 学习, study 3 is 学乱." in page


def test_numbers_have_one_rule() -> None:
    assert [counted(number, "trial") for number in (0, 1, 2, 1200)] == [
        "0 trials",
        "1 trial",
        "2 trials",
        "1,200 trials",
    ]
    assert [score(value) for value in (None, 0.5, -0.000001, -0.1)] == ["–", "50.00", "0.00", "−10.00"]
    assert [signed(value) for value in (None, 0.5, -0.000001, -0.1)] == ["–", "+50.00", "+0.00", "−10.00"]


def test_an_error_s_lines_cannot_pass_for_the_harness_s_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["plan", str(tmp_path / "x\nholds: a beats b\x1b[2J.py")]) == 2
    printed = capsys.readouterr().err
    assert_printable(printed)
    assert not any(line.startswith("holds:") for line in printed.splitlines())
