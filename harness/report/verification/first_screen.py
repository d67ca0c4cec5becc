"""The first screen of a report: the verdict's line, the answer, and the result table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from statistics import fmean

from harness.report.verification import comparing, repetitions
from harness.report.verification.comparing import NUMBER, Compared, Expected, sentence
from harness.report.verification.published import UNTRAINED, PageTable, Published, name_of, plain
from harness.report.verification.runs import minutes
from harness.text import NONE, shown


def check(report: Published) -> Iterator[Compared]:
    """Yield what was compared of the verdict's line and of the answer."""
    blocks = report.page.split("\n\n")
    yield from _verdict_line(report, plain(blocks[1]))
    table = next((each for each in report.tables if each.header[:2] == ("study", "rank")), None)
    if table is None:
        yield Compared(0, "first screen: there is no result table")
        return
    yield from _rows(report, table)
    yield from _answer(report, table, plain(blocks[2]))


def whole(report: Published) -> dict[str, float]:
    """Return the mean of each study of which every planned seed has a score, the highest first."""
    sides = {name: report.seeds(name) for name in report.studies}
    means = {name: repetitions.mean(seeds, report.headline) for name, seeds in sides.items() if not seeds.lost}
    return dict(sorted(((name, mean[0]) for name, mean in means.items() if mean), key=lambda item: -item[1]))


def _verdict_line(report: Published, line: str) -> Iterator[Compared]:
    """Compare the numbers of claims and runs with those of the tables."""
    where = "first screen: verdict"
    words = {"violated": "violated", "incomplete": "incomplete", "inconclusive": "undecided", "holds": "holding"}
    starts = dict(zip(words, ("Not as expected", "Incomplete", "Not enough evidence", "As expected"), strict=True))
    outcomes = [row[1].strip("*") for table in report.tables if "verdict" in table.header for row in table.rows]
    late = sum("chosen in hindsight" in row[0] for t in report.tables if t.header[:2] == CLAIMS for row in t.rows)
    if strange := {*outcomes} - {*words}:
        yield Compared(0, f"Checks: {', '.join(map(shown, sorted(strange)))} is no verdict")
        return
    if outcomes:
        parts = ", ".join(f"{outcomes.count(word)} {text}" for word, text in words.items() if word in outcomes)
        start = next(start for word, start in starts.items() if word in outcomes)
        claims = f"{len(outcomes)} claim{'s' * (len(outcomes) != 1)}"
        hindsight = f" {late} chosen in hindsight." if late else ""
        yield sentence(where, line, f"{start}: of {claims} {parts}.{hindsight}")
    done = re.search(r"(\d[\d,]*) of (\d[\d,]*) planned runs? done", line)
    cells = [row[-1] for table in report.tables if "runs done" in table.header for row in table.rows]
    of_studies = [[int(number) for number in NUMBER.findall(cell)] for cell in cells]
    sums = [float(sum(column)) for column in zip(*of_studies, strict=True)]
    if done is not None:
        yield comparing.numbers(where, " ".join(done.groups()), sums)
    elif sums and sums[0] != sums[1]:
        yield Compared(0, f"{where}: it should say that {sums[0]:g} of {sums[1]:g} runs are done")


CLAIMS = ("claim", "outcome")


def _rows(report: Published, table: PageTable) -> Iterator[Compared]:
    ranked, section = whole(report), "result table"
    printed = {name: round(mean, 2) for name, mean in ranked.items()}
    best = next(iter(ranked), "")
    if missing := {*report.studies} - {name_of(row[0])[0] for row in table.rows}:
        yield Compared(0, f"{section}: {', '.join(sorted(missing))} has no line")
    for row in table.rows:
        name, marked = name_of(row[0])
        seeds, where = report.seeds(name), f"{section}: {name}, "
        rank = 1 + sum(other > printed[name] for other in printed.values()) if name in printed else None
        yield comparing.numbers(where + "rank", row[1], [] if rank is None else [rank])
        if row[0].startswith("**") != (rank == 1) or marked != bool(seeds.values(report.headline) and seeds.lost):
            yield Compared(0, f"{where}mark: {row[0]!r} has rank {rank}, {len(seeds.lost)} seeds have no score")
        mean = repetitions.mean(seeds, report.headline)
        known = mean and not (seeds.constant or seeds.diverged)
        spread = repetitions.interval(seeds.repetitions(report.headline)) if known else []
        yield comparing.numbers(where + "mean", row[2], [*mean, *spread])
        yield from _to_best(report, where + "to the best", row[3], name, best)
        at_default = repetitions.mean(report.seeds(name, default=True), report.headline)
        yield comparing.numbers(where + "at default point", row[4], [] if name == UNTRAINED else at_default)
        yield comparing.text(where + "seeds", row[5], NONE if name == UNTRAINED else _seeds(report, name))
        yield comparing.numbers(where + "minutes", row[6], [minutes(report.records.get(name, []))])


def _seeds(report: Published, name: str) -> str:
    seeds = report.seeds(name)
    scored = len(seeds.values(report.headline))
    text = f"{scored} of {seeds.planned}" if seeds.lost else str(scored)
    return text + (f", {len(seeds.diverged)} diverged" if seeds.diverged else "")


def _to_best(report: Published, where: str, cell: str, name: str, best: str) -> Iterator[Compared]:
    """Compare a distance to the best, and require that its interval contains the one over seeds alone.

    The interval also covers the test items, so its ends need predictions.
    """
    seeds = report.seeds(name)
    paired = report.shares(name, best)
    apart = repetitions.difference(seeds, report.seeds(best), report.headline, paired=paired) if name != best else []
    apart = apart if seeds.values(report.headline) else []
    yield comparing.numbers(where, cell, [*apart[:1], *(None for _ in apart[1:])])
    yield contains(where, cell.partition("(")[2], apart[1:])


def contains(where: str, cell: str, inner: Sequence[float]) -> Compared:
    """Require that an interval contains another, up to rounding."""
    outer = [comparing.value(number) for number in NUMBER.findall(cell)]
    if len(outer) == len(inner) == 2 and (outer[0] > inner[0] + 0.006 or outer[1] < inner[1] - 0.006):
        return Compared(0, f"{where}: {cell!r} does not contain the interval {inner[0]:.2f} to {inner[1]:.2f}")
    return Compared(0)


def _answer(report: Published, table: PageTable, page: str) -> Iterator[Compared]:
    """Rebuild the sentences of the answer."""
    where, ranked = "first screen: answer", whole(report)
    if not ranked:
        yield sentence(where, page, "No study has all of its final runs yet.")
        return
    top = round(max(ranked.values()), 2)
    first = [name for name, mean in ranked.items() if round(mean, 2) == top]
    best = first[0]
    spread = repetitions.interval(report.seeds(best).repetitions(report.headline))
    interval: list[Expected] = [", 95 % [", spread[0], ", ", spread[1], "] over "] if spread else [", with one seed."]
    yield sentence(where, page, f"Highest mean: {' and '.join(first)} with ", ranked[best], *interval)
    if spread:
        seeds = report.seeds(best)
        over: list[Expected] = [None, " tunings"] if seeds.by_tuning else [seeds.planned, " seeds."]
        yield sentence(where, page, "] over ", *over)
    rows = {name_of(row[0])[0]: row for row in table.rows}
    if following := [name for name in ranked if name not in first]:
        yield from _lead(report, page, first, following, {name: rows[name][3] for name in following if name in rows})
    yield from _against(report, page, ranked)


def _lead(
    report: Published, page: str, first: Sequence[str], following: Sequence[str], cells: dict[str, str]
) -> Iterator[Compared]:
    """Compare the lead with the records, and what it shows with the intervals of the result table."""
    where, second, best = "first screen: lead", following[0], first[0]
    paired = report.shares(best, second)
    apart = repetitions.difference(report.seeds(best), report.seeds(second), report.headline, paired=paired)
    ends = {name: [comparing.value(n) for n in NUMBER.findall(cell)][1:] for name, cell in cells.items()}
    low_high = [-end for end in reversed(ends.get(second, []))]
    interval: list[Expected] = [", 95 % [", low_high[0], ", ", low_high[1], "]"] if low_high else []
    start = f"{'Its' if len(first) == 1 else 'Their'} lead over the next, {second}, is "
    yield sentence(where, page, start, apart[0], " points", *interval, ": ", slack=0.006)
    close = [name for name in following if not ends.get(name) or ends[name][1] >= 0]
    unclear = {name for name in following if ends.get(name) and abs(ends[name][1]) < 0.006}  # its sign is not printed
    said = re.search(rf": it is not shown that {re.escape(best)} is better than (.*?)\.(?: |$)", page)
    named = said.group(1) if said is not None else ""
    expected = [name for name in following if (name in named if name in unclear else name in close)]
    if named != ", ".join(expected) or (not named and ": each other study is shown to be lower." not in page):
        others = f"it is not shown that {best} is better than {', '.join(close)}."
        yield Compared(0, f"{where}: there should be {others if close else 'each other study is shown to be lower.'!r}")


def _against(report: Published, page: str, ranked: dict[str, float]) -> Iterator[Compared]:
    """Compare what speaks against the leader: the untrained model, other measures, studies without a rank."""
    where, best = "first screen: answer", next(iter(ranked))
    untrained = repetitions.mean(report.seeds(UNTRAINED), report.headline)
    if untrained and untrained[0] > ranked[best]:
        yield sentence(where, page, "The untrained model scores higher: ", untrained[0], ".")
    yield from _other_measures(report, page, [*ranked])
    unranked = [name for name in report.studies if name not in ranked]
    for name in (name for name in unranked if report.seeds(name).diverged):
        seeds = report.seeds(name)
        lost = f"{len(seeds.diverged)} of its {seeds.planned} final runs diverged."
        yield sentence(where, page, f"{name} has no rank: {lost}")
    for name in (name for name in unranked if not report.seeds(name).diverged):
        without = "".join(re.split(r"Not ranked, because final runs have no score[^:]*: ", page, maxsplit=1)[1:])
        yield sentence(
            where, without, f"{name} ({_seeds(report, name) if report.seeds(name).planned else 'no best point'})"
        )


def _further(report: Published) -> list[str]:
    """Return the scores besides the headline and its Pearson correlation that have a column in the table of scores."""
    titles = next((table.header for table in report.tables if "runs done" in table.header), ())
    scores = [report.score(title) for title in titles[4:]]
    return [score for score in scores if score and score != f"{report.headline.partition('/')[0]}/pearson_cosine"]


def _other_measures(report: Published, page: str, names: Sequence[str]) -> Iterator[Compared]:
    """Compare each sentence on a measure by which another study is highest; the mean over tasks must have one."""
    where, runs = "first screen: answer", [of for name in names for of in report.seeds(name).scores.values()]
    every = [score for score in runs[0] if all(score in scores for scores in runs)]
    tasks = [score for score in every if score.startswith("mteb/")]
    over_tasks = f"the mean of {len(tasks)} tasks" if len(tasks) > 1 else "".join(tasks)
    groups = {score: [score] for score in every} | ({over_tasks: tasks} if tasks else {})
    found = 0
    for words, scores in groups.items():
        means = {name: fmean(repetitions.mean(report.seeds(name), score)[0] for score in scores) for name in names}
        top = max(names, key=lambda name: means[name])
        must = words in (over_tasks, *_further(report)) and means[top] > means[names[0]] + 0.1
        if must or f"By {words} " in page:
            found += 1
            numbers: list[Expected] = [means[top], f", {names[0]} ", means[names[0]], "."]
            yield sentence(where, page, f"By {words} {top} is highest: ", *numbers)
    if page.count(" is highest: ") != found:
        yield Compared(0, f"{where}: {page!r} names a measure that is not in scores.csv")
