"""harness new: write a study file for a file of rows."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from harness.cli import output
from harness.errors import StudyFileError, UsageError
from harness.text import command as in_shell

HELP = "write a study file for your own rows: columns recognised, losses that they feed, a leak-free division"

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
"""The base model of a draft, unless another is given: small, and trained on many kinds of text."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("file", metavar="FILE", type=Path, help="the study file to write, e.g. mine.py")
    rows = parser.add_mutually_exclusive_group(required=True)
    rows.add_argument("--source", metavar="PATH", type=Path, help="file of rows: csv, tsv, json, jsonl or parquet")
    rows.add_argument("--from-hub", metavar="ID", help="data set of the hub instead of a file")
    parser.add_argument("--config", metavar="NAME", help="with --from-hub: configuration of the data set")
    parser.add_argument("--split", metavar="NAME", default="train", help="with --from-hub: split (default train)")
    parser.add_argument("--model", metavar="ID", default=MODEL, help=f"base model: id of the hub or a folder ({MODEL})")
    parser.add_argument("--dev", metavar="FOLDER", type=Path, help="retrieval set to choose points by; needs --test")
    parser.add_argument("--test", metavar="FOLDER", type=Path, help="retrieval set for the final scores")


def command(options: argparse.Namespace) -> int:
    """Run the command: write the file, print what was recognised, and return the exit code."""
    from harness.drafting.doubts import doubts, why_not_used
    from harness.drafting.draft import Wanted, fed, relative
    from harness.drafting.python import literal
    from harness.drafting.recognise import recognise
    from harness.drafting.writing import write
    from harness.reading.rows import read
    from harness.testbeds import hub, origins, sources

    _refuse(options)
    folder = options.file.parent
    if options.source is not None:
        path = relative(options.source, folder)
        source: sources.Source = sources.file(str(options.source.resolve()))
        expression = f"sources.file({literal(path)})"
    else:
        config = "" if options.config is None else f", {literal(options.config)}"
        split = "" if options.split == "train" else f", split={literal(options.split)}"
        source = sources.hub(options.from_hub, options.config, split=options.split)
        expression = f"sources.hub({literal(options.from_hub)}{config}{split})"
        try:
            for ref in origins.refs_of(source):
                hub.snapshot(ref, is_model=False, online=hub.reachable())
        except hub.CannotHave as problem:
            raise UsageError(f"--from-hub {options.from_hub}: {problem}") from problem
    rows = read(source).rows
    recognised = recognise(rows, str(options.source or options.from_hub))
    if recognised.form == "nli":
        expression = f"sources.nli({expression})"
    wanted = Wanted(
        _name(options.file),
        expression,
        relative(Path(options.model), folder) if Path(options.model).is_dir() else options.model,
        recognised,
        len(rows),
        doubts=tuple(doubts(rows, recognised)),
        dev=None if options.dev is None else relative(options.dev, folder),
        test=None if options.test is None else relative(options.test, folder),
    )
    made = write(options.file, wanted, rows, source)
    for column in recognised.columns:
        output.say(f"column {column.name}: {column.why}{why_not_used(column, recognised)}")
    output.say(f"The rows are {recognised.form}.")
    for line in (*fed(recognised), *made.notes):
        output.say(line)
    output.say(f"wrote {options.file}; next: {in_shell(('harness', 'run', options.file))}")
    return 0


def _refuse(options: argparse.Namespace) -> None:
    """Raise an error for options that do not fit together."""
    if options.file.suffix != ".py":
        raise UsageError(f"{options.file}: a study file ends in .py")
    if options.file.exists():
        raise UsageError(f"{options.file}: exists already and is not overwritten; give another name, or delete it")
    if (options.dev is None) != (options.test is None):
        raise UsageError("--dev and --test belong together: points are chosen by one and scored by the other")
    for name in ("dev", "test"):
        given = getattr(options, name)
        if given is not None and not (given / "corpus.jsonl").is_file():
            raise UsageError(
                f"--{name} {given}: has no corpus.jsonl; give a folder with corpus.jsonl, queries.jsonl, qrels/"
            )
    if options.source is not None and not options.source.is_file():
        raise UsageError(f"--source {options.source}: no such file")


def _name(file: Path) -> str:
    """Return the ablation's name: that of the file."""
    name = re.sub(r"\s+", "-", file.stem.strip())
    if not name or name.startswith("."):
        raise StudyFileError(f"{file}: give the file a name")
    return name
