"""The command line: plan | run | report | check | show | compare | fetch | calibrate | transfer."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

from harness import __version__, provenance
from harness.cli import calibrate, check, compare, fetch, plan, report, run, show, transfer
from harness.errors import HarnessError
from harness.executors import streams

UNEXPECTED = 70
"""EX_SOFTWARE of <sysexits.h>; 1, which Python gives for an error that nobody caught, is a violated check here."""

EPILOG = """exit codes, of every command:
  0    all well
  1    violated: an expectation, a comparison with a baseline, a published score (run, check and calibrate alone)
  2    an error of usage, of the study file or of the data, or another driver has the store; nothing was trained
  3    incomplete: runs failed or are missing, a store, model or data set cannot be read or written; or, where --strict
       is given, a verdict is inconclusive
  70   an unexpected error, a defect of the harness: one line says where its traceback is
  130  interrupted"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; as a program (no `arguments`), whatever becomes of its output."""
    if arguments is not None:
        return _code(arguments)
    if sys.getfilesystemencoding() != "utf-8":  # else a study called "größer" could not name a folder
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    out, _ = streams.guard()
    code = _code(sys.argv[1:])
    sys.stdout.flush()
    if out.problem is None or isinstance(out.problem, BrokenPipeError):  # whoever read it has read enough
        return code
    print(f"error: stdout cannot be written ({out.problem.strerror}): what was printed there is lost", file=sys.stderr)
    return code or UNEXPECTED


def _code(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; errors that a user can fix are one paragraph on stderr."""
    try:
        options = _parser().parse_args(arguments)
        code: int = options.command(options)
        return code
    except HarnessError as problem:
        print(f"error: {provenance.without_secrets(str(problem))}", file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        print("interrupted: finished runs are stored; give the same command again to go on", file=sys.stderr)
        return 130
    except Exception as problem:
        print(_unexpected(problem), file=sys.stderr)
        return UNEXPECTED


def _unexpected(problem: Exception) -> str:
    """Say in a line what nobody foresaw and where its traceback is kept; the traceback itself where it cannot be."""
    trace = provenance.without_secrets("".join(traceback.format_exception(problem)))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="harness-error-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(trace)
    except OSError:
        return trace
    first = f"{type(problem).__name__}: {problem}".splitlines()[0]
    return (
        f"error: unexpected {provenance.without_secrets(first)}; this is a defect of the harness: please report it "
        f"with the traceback in {file.name}; finished runs are stored"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harness",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Compare losses and data for training sentence embeddings: equal budgets, fresh seeds, intervals.",
    )
    parser.add_argument("--version", action="version", version=f"harness {__version__}")
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (plan, run, report, check, show, fetch, calibrate, compare, transfer):
        of_command = subcommands.add_parser(
            module.__name__.rpartition(".")[2],
            help=module.HELP,
            description=module.HELP,
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        of_command.set_defaults(command=module.command)
        module.arguments(of_command)
    return parser
