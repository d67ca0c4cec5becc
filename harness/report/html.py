"""The report as one self-contained HTML file: the README's content with figures and scores embedded.

The page loads no other file and runs no script: figures and scores are data URLs, the style sheet is its own, and a
Content-Security-Policy forbids everything else, so that browsers enforce this even if this module had a bug.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token

TYPES = {".svg": "image/svg+xml", ".csv": "text/csv"}
"""Media types of the files that can be embedded, by file extension."""

_OWN = re.compile(r"(?:<br>|</?details>|<summary>[^<>]*</summary>|\s)+")
"""The only HTML that the report's markdown uses on purpose; anything else is text that was not escaped."""

_STYLE = """
:root { color-scheme: light; }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; background: #fff; color: #1b1b1b;
  font: 1rem/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.25; }
h2 { font-size: 1.3rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #d0d0d0; padding-bottom: .2rem; }
img { display: block; max-width: 100%; height: auto; }
.scroll { overflow-x: auto; margin: 1rem 0; /* a shadow at each side where more can be scrolled to */
  background: linear-gradient(to right, #fff 30%, #fff0), linear-gradient(to left, #fff 30%, #fff0) right,
    linear-gradient(to right, #0004, #0000), linear-gradient(to left, #0004, #0000) right;
  background-repeat: no-repeat; background-size: 2rem 100%, 2rem 100%, .6rem 100%, .6rem 100%;
  background-attachment: local, local, scroll, scroll; }
table { border-collapse: collapse; font-size: .8rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid #d0d0d0; padding: .3rem .5rem; text-align: left; vertical-align: top; }
th { background: #f2f2f2; }
td:first-child { min-width: 6rem; }
th:first-child, td:first-child { position: sticky; left: 0; background-clip: padding-box; }
td:first-child { background-color: #fff; }
.right { text-align: right; }
td.right { white-space: nowrap; }
td.prose { min-width: 14rem; }
blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: 4px solid #b25b00; background: #fff6ec; }
code { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .9em; }
pre { background: #f5f5f5; padding: .7rem; overflow-x: auto; }
summary { cursor: pointer; font-weight: 600; }
a { color: #0b57a4; }
@media (max-width: 46rem) {
  img { max-width: 46rem; }
  body { margin-top: 1rem; }
  th:first-child, td:first-child { min-width: 6.5rem; max-width: 7.5rem; } /* a score fits beside the name */
}
@media print {
  @page { size: A4 landscape; margin: 12mm; }
  body { margin: 0; max-width: none; padding: 0; font-size: 9pt; }
  img { width: auto; max-width: 100%; max-height: 165mm; break-inside: avoid; }
  .scroll, pre { overflow: visible; background: none; }
  th:first-child, td:first-child { position: static; max-width: none; }
  table { width: 100%; font-size: 6.5pt; }
  th, td, td:first-child, td.prose { min-width: 0; padding: 1pt 3pt; overflow-wrap: break-word; }
  td.right { white-space: normal; }
  pre { white-space: pre-wrap; }
  tr { break-inside: avoid; }
  thead { display: table-header-group; }
  h2, summary { break-after: avoid; }
  details::details-content { display: block; content-visibility: visible; block-size: auto; }
}
"""

_PROSE = 40
"""A left-aligned cell with more characters is treated as prose, and its column gets a minimum width."""


def html_page(markdown: str, files: Mapping[str, bytes]) -> str:
    """Return a page that needs no other file and no network.

    Args:
        markdown: the report's README.
        files: contents by the path used in the README: the figures that it shows, and other files to embed for
            download. A linked file that is not given becomes plain text instead of a link.

    Raises:
        KeyError: a figure in the README is not among the files, or a file's extension is not in `TYPES`.
    """
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = parser.parse(markdown)
    title = next(_plain(tokens[i + 1]) for i, token in enumerate(tokens) if token.type == "heading_open")
    body = parser.renderer.render(list(_laid_out(tokens, files)), parser.options, {})
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n"
        "</body>\n</html>\n"
    )


def _plain(inline: Token) -> str:
    return "".join(child.content for child in inline.children or ())


def _laid_out(tokens: Sequence[Token], files: Mapping[str, bytes]) -> Iterable[Token]:
    """Yield the tokens with tables and figures in scrollable boxes, and with classes instead of inline styles."""
    for place, token in enumerate(tokens):
        is_figure = token.type == "inline" and [child.type for child in token.children or ()] == ["image"]
        if token.children:
            token.children = list(_carried(token.children, files))
        if token.type == "html_block":
            token.content = _own_html(token.content)
        if token.type in ("th_open", "td_open") and token.attrs.pop("style", None) == "text-align:right":
            token.attrSet("class", "right")
        elif token.type == "td_open" and len(_plain(tokens[place + 1])) > _PROSE:
            token.attrSet("class", "prose")
        if is_figure:
            tokens[place - 1].attrSet("class", "scroll")
        if token.type == "table_open":
            yield _raw('<div class="scroll" tabindex="0">\n')
        yield token
        if token.type == "table_close":
            yield _raw("</div>\n")


def _carried(children: Sequence[Token], files: Mapping[str, bytes]) -> Iterable[Token]:
    """Yield a line's tokens with figures as data URLs, linked files as data URLs or names, and other HTML as text."""
    named = False
    for child in children:
        if child.type == "image":
            child.attrSet("src", _as_data(str(child.attrs["src"]), files))
        elif child.type == "html_inline":
            child.content = _own_html(child.content)
        elif child.type == "link_open":
            target = str(child.attrs["href"])
            named = target not in files and not target.startswith(("https://", "http://", "#"))
            if target in files:
                child.attrSet("href", _as_data(target, files))
                child.attrSet("download", target.rsplit("/", 1)[-1])
            elif named:
                child = _raw("<code>")
        elif child.type == "link_close" and named:
            child, named = _raw("</code> (beside this page in the report's folder)"), False
        yield child


def _own_html(text: str) -> str:
    return text if _OWN.fullmatch(text) else escape(text)


def _raw(text: str) -> Token:
    return Token("html_block", "", 0, content=text)


def _as_data(path: str, files: Mapping[str, bytes]) -> str:
    kind = TYPES[path[path.rindex(".") :]]
    return f"data:{kind};base64,{base64.b64encode(files[path]).decode()}"
