"""One ablation on several testbeds: agreement of orders, and the page of `harness transfer`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic

from harness import testbeds
from harness.cli import exits
from harness.cli.main import main
from harness.planning.plan import Plan
from harness.planning.planner import make_plan
from harness.spec.ablation import Ablation
from harness.spec.expectations import in_order
from harness.store.folder import create
from harness.store.records import Record
from harness.verdicts.transfer import agreements, rho_over_seeds, rho_over_studies, side

NAMES = ("softmax", "cosine", "mnr", "mnr+hard")


def on(testbed: str, order: tuple[str, ...] = NAMES) -> tuple[Ablation, list[Record]]:
    """Return an ablation on a testbed and records whose scores rise in the given order of studies."""
    made = synthetic.make_ablation(NAMES, seeds=3, trials=2, tasks=(), expect=[in_order("softmax", "mnr")])
    ablation = replace(made, testbed=replace(testbeds.by_name(testbed), max_rows=1200, also=()))
    return ablation, synthetic.make_records(ablation, dict(zip(order, (0.5, 0.6, 0.7, 0.8), strict=True)))


def planned(testbed: str, order: tuple[str, ...] = NAMES) -> Plan:
    ablation, records = on(testbed, order)
    return make_plan(ablation, records)


def test_equal_orders_agree_and_reversed_ones_do_not() -> None:
    same, turned = (
        agreements([side(planned("book")), side(planned("nli", order))])[0] for order in (NAMES, NAMES[::-1])
    )

    assert (same.rho, same.tau, same.in_reverse) == (1.0, 1.0, ())
    assert same.studies == NAMES, "the untrained model is no study"
    assert same.significant == same.same_order == 6
    assert turned.rho == pytest.approx(-1)
    assert (turned.significant, turned.same_order) == (6, 0)
    assert ("mnr+hard", "softmax") in turned.in_reverse, "the better on the left stands first"


def test_the_interval_over_seeds_widens_with_their_spread_and_ends_at_certainty() -> None:
    means = [0.50, 0.52, 0.54, 0.56]

    def spread(by: float) -> list[list[float]]:
        return [[mean - by, mean, mean + by] for mean in means]

    sure, unsure = rho_over_seeds(spread(0.0001), spread(0.0001)), rho_over_seeds(spread(0.05), spread(0.05))
    assert sure is not None
    assert unsure is not None
    assert (sure.low, sure.high) == (1.0, 1.0)
    assert unsure.low < 0.5
    assert rho_over_seeds([[m] for m in means], spread(0.1)) is None, "one seed has no spread"


def test_the_interval_over_studies_needs_five() -> None:
    assert rho_over_studies(np.arange(4.0), np.arange(4.0)) is None
    found = rho_over_studies(np.arange(9.0), np.array([0, 1, 2, 3, 8, 7, 6, 5, 4.0]))
    assert found is not None
    assert -1 <= found.low < 0.4 < found.high <= 1


def test_the_command_writes_a_page_with_the_verdicts_of_each_testbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.py").write_text(
        "from dataclasses import replace\nfrom harness import *\n"
        "ablation = Ablation(name='synthetic', testbed=replace(testbeds.book, max_rows=1200, also=()), studies=[\n"
        "    Study('softmax', losses.softmax, 'pair-class'), Study('cosine', losses.CosineSimilarityLoss, 'pair-score'),\n"
        "    Study('mnr', losses.MultipleNegativesRankingLoss, 'pair'),\n"
        "    Study('mnr+hard', losses.MultipleNegativesRankingLoss, 'triplet')],\n"
        "    space=Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(1e-6, 2e-4)),\n"
        "    budget=Budget(trials=2, epochs=1, seeds=3), expect=[in_order('softmax', 'mnr')])\n",
        encoding="utf-8",
    )
    for testbed, order in (("book", NAMES), ("nli", NAMES[::-1])):
        ablation, records = on(testbed, order)
        store = create(Path(testbed), ablation.name, testbed)
        for record in records:
            store.write(record)
        (Path(testbed) / "last_run.json").write_text('{"rows": 1200, "tasks": "", "trials": 2, "seeds": 3}')

    assert main(["transfer", "study.py", "book", "nli"]) == 0

    printed, page = capsys.readouterr().out, Path("reports/synthetic-transfer/README.md").read_text(encoding="utf-8")
    assert "rho -1.00" in printed
    row = next(line for line in page.splitlines() if line.startswith("| softmax \\< mnr |"))
    assert "| holds (+" in row
    assert "| violated (−" in row
    assert "On nli their order is reversed." in page
    assert (Path("reports/synthetic-transfer/figures/ranks.svg")).is_file()
    assert main(["transfer", "study.py", "book"]) == 2
    assert main(["transfer", "study.py", "book", "book"]) == 2
    assert "harness compare" in capsys.readouterr().err
    next((Path("nli") / "records").rglob("*.json*")).write_text("{", encoding="utf-8")
    assert main(["transfer", "study.py", "book", "nli"]) == 3
    assert {0, 2, 3, 70, 130} == {*exits.codes("transfer")}
