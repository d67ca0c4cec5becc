"""The report as one HTML file: what it holds, and what a real browser makes of it without a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
import synthetic

from harness.report import write_report
from harness.report.html import html_page
from harness.spec.expectations import beats

COMMAND = 'harness run "studies/<b>.py" --rows 1200'
HOSTILE = [
    "<script>alert(1)<script>",
    '"onload="alert(2)',
    "<img src=x onerror=alert(3)>",
    "&lt;i&gt; **bold** `code` $x$",
    "[link](javascript:alert(4))",
]
PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


def report_of(names: list[str], folder: Path) -> Path:
    ablation = synthetic.make_ablation(names, expect=[beats(names[1], names[0])], seeds=2)
    write_report(synthetic.make(ablation), folder, COMMAND)
    return folder / "report.html"


def test_figures_and_scores_are_in_the_page_and_nothing_else_is_asked_for(tmp_path: Path) -> None:
    page = report_of(["softmax", "mnr"], tmp_path).read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    kinds = sorted(source.split(",")[0] for source in sources)
    assert kinds == ["data:image/svg+xml;base64"] * 6 + ["data:text/csv;base64"]
    assert "<code>records.json</code> (beside this page" in page
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert "<title>synthetic on testbed book</title>" in page
    assert all(alt.strip() for alt in re.findall(r'<img[^>]* alt="([^"]*)"', page))
    assert "<script" not in page
    assert " style=" not in page  # the policy has room for the page's own stylesheet alone


def test_the_page_says_what_the_markdown_says(tmp_path: Path) -> None:
    page = report_of(["softmax", "mnr"], tmp_path).read_text(encoding="utf-8")
    markdown = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert page.count("<table>") == len(re.findall(r"^\| ?:?--", markdown, re.M))
    assert re.findall(r"<h2>(.*?)</h2>", page) == re.findall(r"^## (.*)$", markdown, re.M)


def test_html_that_was_not_escaped_is_shown_as_text() -> None:
    page = html_page("# A & B\n\n<script>alert(1)</script>\n\nx <img src=x onerror=y> <br>\n\n<details open>\n", {})
    assert "<title>A &amp; B</title>" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;img src=x onerror=y&gt; <br>" in page
    assert "&lt;details open&gt;" in page


def test_addresses_stay_links_and_missing_files_become_names() -> None:
    text = "# x\n\n[a](https://example.org/) [b](scores.csv) [c](notes.txt)\n\n![d](f.svg)\n"
    page = html_page(text, {"f.svg": PICTURE, "scores.csv": b"x"})
    assert '<a href="https://example.org/">a</a>' in page
    assert '<a href="data:text/csv;base64,eA==" download="scores.csv">b</a>' in page
    assert "<code>c</code> (beside this page in the report's folder)" in page
    with pytest.raises(KeyError):
        html_page(text, {})


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser.page(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_of(HOSTILE, tmp_path_factory.mktemp("report"))


@pytest.mark.parametrize("width", [1000, 400])
def test_a_browser_shows_all_of_it_without_a_network(width: int, tab: Any, hostile: Path) -> None:
    tab.requests.clear()
    tab.problems.clear()
    tab.open(hostile, width)
    assert tab.problems == []
    assert {address.split(":")[0] for address in tab.requests} == {"file", "data"}
    sizes = tab.evaluate("[...document.images].map(i => [i.naturalWidth, i.naturalHeight, i.clientWidth])")
    assert len(sizes) == 6
    assert all(min(size) > 0 for size in sizes)
    assert tab.evaluate("document.querySelectorAll('table').length") >= 8
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.title") == "synthetic on testbed book"
    assert len(tab.picture()) > 50_000


def test_names_that_look_like_html_are_names(tab: Any, hostile: Path) -> None:
    tab.open(hostile, 1000)
    cells = tab.evaluate("[...document.querySelectorAll('td:first-child')].map(c => c.textContent)")
    assert set(HOSTILE) <= set(cells)
    assert tab.evaluate("document.querySelectorAll('script, [onload], [onerror], a[href^=javascript]').length") == 0
    assert tab.evaluate("document.querySelector('pre').textContent").strip() == COMMAND


def test_the_policy_holds_where_the_page_would_not(tab: Any, hostile: Path) -> None:
    tab.open(hostile, 1000)
    blocked = """new Promise(done => {
        document.addEventListener('securitypolicyviolation', e => done(e.effectiveDirective), {once: true});
        %s })"""
    image = "const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i);"
    script = "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
    style = "document.body.setAttribute('style', 'color: red');"
    assert tab.evaluate(blocked % image) == "img-src"
    assert tab.evaluate(blocked % script) == "script-src-elem"
    assert tab.evaluate(blocked % style) == "style-src-attr"
    assert tab.evaluate("window.ran") is None


def test_on_paper_folded_tables_are_open_and_nothing_is_cut(tab: Any, hostile: Path) -> None:
    tab.open(hostile, 1032)  # A4 landscape within its margins, in pixels of CSS
    inside = "document.querySelector('details table').getBoundingClientRect().height"
    assert tab.evaluate(f"{inside} && document.querySelector('details table').checkVisibility()") in (0, False)
    tab.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert tab.evaluate("document.querySelector('details table').checkVisibility()")
        assert tab.evaluate(inside) > 20
        wide = "[...document.querySelectorAll('table, img')].map(e => e.getBoundingClientRect().right)"
        assert max(tab.evaluate(wide)) <= 1032
    finally:
        tab.call("Emulation.setEmulatedMedia", media="")
    assert tab.pdf().startswith(b"%PDF")
