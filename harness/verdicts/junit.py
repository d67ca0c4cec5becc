"""Verdicts as JUnit XML for CI systems: each claim is one test.

violated -> failure; incomplete -> error; inconclusive, or chosen in hindsight -> skipped, or failure under `strict`.
A claim that holds with a caveat passes, and has the caveat in <system-out>. One more test is an error while planned
runs are missing, and another is skipped if data have other content than at the last run. There is no time stamp: the
same records give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from harness.planning.plan import Plan
from harness.text import shown
from harness.verdicts import words
from harness.verdicts.judge import unfinished
from harness.verdicts.remaining import remaining
from harness.verdicts.rules import Verdict

_ELEMENTS = {"violated": "failure", "incomplete": "error", "inconclusive": "skipped"}


def junit_xml(plan: Plan, verdicts: Sequence[Verdict], strict: bool = False) -> str:
    """Return the XML document for the verdicts on a plan."""
    ablation = plan.ablation
    suite = ElementTree.Element("testsuite", name=_clean(f"{ablation.name} on {ablation.testbed.name}"))
    for verdict in verdicts:
        case = _case(suite, verdict.expectation, f"{ablation.name}.{verdict.kind}")
        element = _ELEMENTS.get(verdict.verdict)
        if verdict.late and element is None:
            element = "skipped"
        if element == "skipped" and strict:
            element = "failure"
        _outcome(
            case,
            element,
            verdict.verdict,
            " ".join((verdict.full_reason, *verdict.late)),
            f"{words.line(verdict)}\n{verdict}" if element or verdict.caveat else "",
        )
    lacking = unfinished(plan)
    case = _case(suite, "every planned run is done", f"{ablation.name}.plan")
    if lacking:
        _outcome(case, "error", "incomplete", f"{len(lacking)} not done or without scores", "\n".join(remaining(plan)))
    if plan.changed_data:
        case = _case(suite, "the data are those of the last run", f"{ablation.name}.data")
        said = f"{len(plan.changed_data)} with other content than at the last run, whose scores these are"
        _outcome(case, "skipped", "changed", said, "\n".join(plan.changed_data))
    counts = {"tests": len(suite), "time": 0} | {
        name: sum(child.find(tag) is not None for child in suite)
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    }
    for name, count in counts.items():
        suite.set(name, str(count))
    root = ElementTree.Element("testsuites", {"name": "harness check", **{k: str(v) for k, v in counts.items()}})
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, name: str, classname: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", name=_clean(name), classname=_clean(classname), time="0")


def _outcome(case: ElementTree.Element, element: str | None, kind: str, message: str, text: str) -> None:
    """Add an element that says why a test did not pass, or what limits one that did."""
    if element is None:
        if text:
            ElementTree.SubElement(case, "system-out").text = _clean(text)
        return
    attributes = {"message": _clean(message)} | ({} if element == "skipped" else {"type": kind})
    ElementTree.SubElement(case, element, attributes).text = _clean(text)


def _clean(text: str) -> str:
    """Return lines of text with the characters that XML cannot hold, and others that hide text, as escapes."""
    return "\n".join(map(shown, text.split("\n")))
