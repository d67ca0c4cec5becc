"""A report against its store and its own tables: which items decide, what changed at each step, and the budgets."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from test_changed_items import planned
from test_verify import claims_of_every_kind, failing
from test_verify_store import both

from harness.planning.plan import Plan
from harness.report.verification.verify import verify
from harness.store.folder import Store

ITEMS = (
    (r"^\| mnr \| 40 \| 30 \| 5 \| 5 \|$", "| mnr | 40 | 31 | 4 | 5 |"),
    (r"^\| mnr \| 40 \| 30 .*\n", ""),
    (r"^(\| ..q:29.*\| )50\.00( \|.*)", r"\g<1>51.00\2"),
    (r"^\| ..q:29.*\n", ""),
    (r"^(\| ..q:)29(.*)", r"\g<1>2\2"),
    (r"^(\| ..q:29.*\n)", r"\1\1"),
    (r"The 20 queries most improved", "The 25 queries most improved"),
    (r"nDCG@10 mnr changed most", "nDCG@10 all changed most"),
    (r"<details><summary>The 5 queries most impaired(?:.|\n)*?</details>\n", ""),
    (r"^## Which queries decide(?:.|\n)*?(?=^## )", ""),
)
STEPS = (
    (r"^(\| softmax → cosine \|.*\| )[^|]*( \| [^|]*\|)$", r"\1batch 16, lr 0.5\2"),
    (r"^(\| softmax → cosine \|.*)same", r"\1–"),
    (r"^(\| softmax → cosine \| )[^|]*", r"\1same "),
    (r"^- softmax → cosine: .*\n", ""),
    (r"^(- softmax → cosine: the loss)", r"\1 alone"),
    (r"UNDECIDED\*\* \(", "UNDECIDED** (nearly shown: "),
    (r"^(\| untrained \|.*\| )–( \| [\d.]+ \| 1 of 1 \|)$", r"\g<1>batch 32\2"),
    (r"^\| untrained \| – \| –", "| untrained | 1 | 1"),
    (r"the first at batch 32", "the first at batch 16"),
    (r"^(\| mnr \| [^|]*\| [\d,]+ \| )[\d,]+( \|)$", r"\g<1>7\2"),
)
BUDGETS = ((r"^(\| cosine \| 4 \| 4 \| )–", r"\g<1>1"), (r"^(\| mnr \| 4 \| 1 \| )[^|]*", r"\g<1>– "))


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Store]]:
    plans: dict[str, Callable[[], Plan]] = {"items": planned, "steps": claims_of_every_kind, "budgets": failing}
    made = {name: both(plan(), tmp_path_factory.mktemp(name)) for name, plan in plans.items()}
    assert all(verify(*each).problem is None for each in made.values())
    return made


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [(name, *each) for name, of in (("items", ITEMS), ("steps", STEPS), ("budgets", BUDGETS)) for each in of],
)
def test_what_store_and_records_decide_cannot_be_changed(
    name: str, old: str, new: str, reports: dict[str, tuple[Path, Store]], tmp_path: Path
) -> None:
    report, store = reports[name]
    page = (report / "README.md").read_text(encoding="utf-8")
    changed, number = re.subn(old, new, page, count=1, flags=re.M)
    assert number == 1, "the page does not have it"
    folder = shutil.copytree(report, tmp_path / "report")
    (folder / "README.md").write_text(changed, encoding="utf-8")
    assert verify(folder, store).problem is not None


def test_equal_items_may_be_listed_in_any_order(tmp_path: Path) -> None:
    report, store = both(planned(), tmp_path)
    page = (report / "README.md").read_text(encoding="utf-8")
    exchanged, number = re.subn(r"^(\| ..q:3[0-4].*\n)(\| ..q:3[0-4].*\n)", r"\2\1", page, count=1, flags=re.M)
    assert number == 1
    (report / "README.md").write_text(exchanged, encoding="utf-8")
    assert verify(report, store).problem is None
