"""Command line: argument parser, exit codes and error output of the `harness` program."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

from harness import __version__, provenance
from harness.cli import (
    bisect,
    calibrate,
    check,
    compare,
    doctor,
    exits,
    fetch,
    new,
    plan,
    report,
    run,
    show,
    transfer,
    upgrade,
    verify,
)
from harness.cli.exits import UNEXPECTED
from harness.errors import HarnessError
from harness.executors import streams
from harness.text import shown, shown_lines

REMEMBERING = ("plan", "report", "check", "show")
REMEMBERED = (
    "Options that choose which runs are meant (--testbed, --tasks, --rows, --epochs, --trials, --seeds, --precision) "
    "are by default those of the store's last `harness run`, from its last_run.json; what is taken over is printed."
)
"""Said in the help of commands that read what `harness run` left."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; without `arguments`, use those of the program and guard its output."""
    if arguments is not None:
        return _code(arguments)
    if sys.getfilesystemencoding() != "utf-8":  # otherwise a study named "größer" could not name a folder
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    out, _ = streams.guard()
    code = _code(sys.argv[1:])
    sys.stdout.flush()
    if out.problem is None or isinstance(out.problem, BrokenPipeError):  # the reader closed the pipe on purpose
        return code
    print(f"error: stdout cannot be written ({out.problem.strerror}): output is lost", file=sys.stderr)
    return code or UNEXPECTED


def _code(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; print errors that the user can fix to stderr, without traceback."""
    try:
        options, unknown = _parser().parse_known_args(arguments)
        if unknown:  # the command's own parser shows the options that the command has
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        code: int = options.command(options)
        return code
    except HarnessError as problem:
        print(f"error: {shown_lines(provenance.without_secrets(str(problem)))}", file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        print("interrupted: finished runs are stored; repeat the command to resume", file=sys.stderr)
        return 130
    except Exception as problem:
        print(_unexpected(problem), file=sys.stderr)
        return UNEXPECTED


def _unexpected(problem: Exception) -> str:
    """Return one line with the error and the file of its traceback; the traceback itself if no file can be written."""
    trace = provenance.without_secrets("".join(traceback.format_exception(problem)))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="harness-error-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(trace)
    except OSError:
        return trace
    first = shown(f"{type(problem).__name__}: {problem}".splitlines()[0])
    return (
        f"error: unexpected {provenance.without_secrets(first)}; this is a bug in the harness: please report it "
        f"with the traceback in {file.name}; finished runs are stored"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harness",
        epilog=exits.epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Compare losses and data for training sentence embeddings, with equal budgets and new seeds.",
    )
    parser.add_argument("--version", action="version", version=f"harness {__version__}")
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    of_stores = (new, plan, run, report, check, show, fetch)
    for module in (*of_stores, doctor, calibrate, compare, upgrade, bisect, transfer, verify):
        name = module.__name__.rpartition(".")[2]
        of_command = subcommands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP + ("" if name not in REMEMBERING else f". {REMEMBERED}"),
            epilog=exits.epilog(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        of_command.set_defaults(command=module.command, parser=of_command)
        module.arguments(of_command)
    return parser
