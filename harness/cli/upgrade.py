"""harness upgrade: run one study file under two environments, or two versions of it, and judge which study moved."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.cli import arguments as of_several
from harness.cli import comparing, output
from harness.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from harness.upgrading.environments import Environment
    from harness.upgrading.sides import Side

HELP = "which study moves with other versions of the libraries, or with a change of a loss; nothing is installed here"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    wanted = (
        "a pip requirement, git+URL@REF, a local checkout (./folder), a wheel, or a file of requirements (lock.txt); "
        "repeatable"
    )
    parser.add_argument(
        "--from",
        dest="old",
        metavar="WHAT",
        action="append",
        default=[],
        help=f"install this for the old side (default: what is installed here): {wanted}",
    )
    parser.add_argument(
        "--to", dest="new", metavar="WHAT", action="append", default=[], help="install this for the new side, likewise"
    )
    parser.add_argument("--from-ref", metavar="REF", help="the old side's study file is that of this git ref")
    parser.add_argument("--to-ref", metavar="REF", help="the new side's is that of this ref (default: as it is)")
    comparing.arguments(parser)
    of_several.json(parser)
    parser.add_argument(
        "--format",
        choices=("table", "comment"),
        default="table",
        help="table: for the terminal; comment: for a pull request, in markdown",
    )


def command(options: argparse.Namespace) -> int:
    """Run the command, print to stdout, and return the exit code."""
    from harness.executors.signals import treat_sigterm_as_interrupt
    from harness.upgrading.comparison import compare
    from harness.upgrading.telling import comment, document

    if (options.old or options.new) and (options.from_ref or options.to_ref):
        raise UsageError(
            "--from and --to change the libraries, --from-ref and --to-ref the study file: give one of the two, so "
            "that a difference has one reason; --with installs something on both sides"
        )
    if not (options.old or options.new or options.from_ref or options.to_ref):
        raise UsageError('both sides are the same; give --to "sentence-transformers==6.2.0", or --from-ref main')
    question = comparing.question(options)
    treat_sigterm_as_interrupt()
    old_environment = comparing.environment(options, question.folder, options.old)
    new_environment = comparing.environment(options, question.folder, options.new)
    old = _side(options, options.old, options.from_ref, old_environment, question.folder)
    new = _side(options, options.new, options.to_ref, new_environment, question.folder)
    if old.key() == new.key():
        raise UsageError(f"both sides are the same ({old.name}): a comparison with itself shows nothing")
    comparison = compare(old, new, question)
    if options.json:
        output.print_json(document(comparison))
    elif options.format == "comment":
        print(comment(comparison, comparing.again(options, "upgrade")), end="")
    else:
        comparing.print_comparison(comparison)
    return comparison.exit_code


def _side(
    options: argparse.Namespace, wants: list[str], ref: str | None, environment: Environment, folder: Path
) -> Side:
    """Return a side, with the study file of a ref if one is given."""
    from harness.provenance import without_secrets
    from harness.upgrading.checkouts import at_ref
    from harness.upgrading.sides import Side

    libraries = ", ".join(map(without_secrets, wants)) or "what is installed"
    if ref is None:
        changed = options.from_ref or options.to_ref
        return Side(
            f"{options.file.name} as it is" if changed else libraries,
            environment,
            options.file,
            str(options.file.resolve()),
        )
    file, revision = at_ref(options.file, ref, folder / "commits")
    return Side(f"{options.file.name} at {ref} ({revision[-40:][:12]})", environment, file, revision)
