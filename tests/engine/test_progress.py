"""Progress: what runs tell the driver, and what nobody else may tell it."""

from __future__ import annotations

import io
import os
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from strange import altered
from synthetic import make_ablation

from harness.engine import progress
from harness.engine.progress import Board, Reporter
from harness.planning.plan import Plan
from harness.planning.planner import make_plan

RUN = "0123456789abcdef"

TIMES = int(os.environ.get("HARNESS_FUZZ", "1"))
"""How many times as many altered datagrams are tried."""


@pytest.fixture
def told() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def board(told: io.StringIO) -> Iterator[Board]:
    with Board(Console(file=told, force_terminal=True, width=200)) as opened:
        yield opened


def planned() -> Plan:
    return make_plan(make_ablation(), [])


def shown(board: Board, told: io.StringIO) -> int:
    """Draw the board with one run under way; return how many runs of its study are drawn as done."""
    board._next_drawing = 0.0  # each look is drawn, however soon
    board.show(planned, {RUN: planned().runs[1].study})
    board._progress.refresh()
    return int(re.findall(rf"{planned().runs[1].study} .*?(\d+)/\d+", told.getvalue())[-1])


def send(board: Board, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for datagram in datagrams:
            sender.sendto(datagram, ("127.0.0.1", board.port))


def test_a_runs_share_is_drawn(board: Board, told: io.StringIO) -> None:
    assert shown(board, told) == 0
    Reporter(board.port, RUN, board.token).tell(1.0)
    assert shown(board, told) == 1


HOSTILE: dict[str, Callable[[Board], bytes]] = {
    "nothing": lambda board: b"",
    "deep JSON": lambda board: b"[" * 4000,
    "no token": lambda board: f"{RUN} 1.0".encode(),
    "another token": lambda board: f"{'0' * len(board.token)} {RUN} 1.0".encode(),
    "a token that is no ASCII": lambda board: f"é {RUN} 1.0".encode(),
    "another run": lambda board: f"{board.token} fedcba9876543210 1.0".encode(),
    "a run that is no text": lambda board: board.token.encode() + b" \xff\xfe 1.0",
    "no number": lambda board: f"{board.token} {RUN} much".encode(),
    "NaN": lambda board: f"{board.token} {RUN} nan".encode(),
    "too much": lambda board: f"{board.token} {RUN} 1.0 1.0".encode(),
    "random bytes": lambda board: bytes(range(256)) * 12,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_that_arrives_ends_a_run_and_only_its_own_runs_are_heard(
    case: str, board: Board, told: io.StringIO
) -> None:
    send(board, *[HOSTILE[case](board)] * 3)
    assert shown(board, told) == 0
    Reporter(board.port, RUN, board.token).tell(1.0)
    assert shown(board, told) == 1


@settings(max_examples=100 * TIMES, deadline=None, database=None, derandomize=TIMES == 1)
@given(data=st.data())
def test_no_altered_datagram_ends_a_run_or_is_heard_without_the_token(data: st.DataObject) -> None:
    told = io.StringIO()
    with Board(Console(file=told, force_terminal=True, width=200)) as board:
        datagram = f"{board.token} {RUN} {data.draw(st.floats())}".encode()
        for _ in range(data.draw(st.integers(1, 4))):
            datagram = altered(datagram, data.draw)
        send(board, datagram, data.draw(st.binary(max_size=200)))
        assert 0 <= shown(board, told) <= (board.token.encode() in datagram)
        Reporter(board.port, RUN, board.token).tell(1.0)
        assert shown(board, told) == 1


def test_a_flood_does_not_keep_the_driver_from_its_work(
    board: Board, told: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "AT_ONCE", 5)
    send(board, *[b"flood"] * 7)
    Reporter(board.port, RUN, board.token).tell(1.0)
    assert shown(board, told) == 0  # five were read, three are left
    assert shown(board, told) == 1


class Gone(io.StringIO):
    """A terminal that was hung up."""

    problem: type[OSError] = OSError

    def write(self, text: str, /) -> int:
        raise self.problem(5, "Input/output error")

    def flush(self) -> None:
        raise self.problem(5, "Input/output error")


@pytest.mark.parametrize("problem", [OSError, BrokenPipeError])
def test_progress_that_cannot_be_written_ends_nothing(problem: Any) -> None:
    file = Gone()
    file.problem = problem
    with Board(Console(file=file, force_terminal=True)) as board:
        board.line("a run has ended")
        board.show(planned, {RUN: planned().runs[1].study})
        board.show(planned, {})
