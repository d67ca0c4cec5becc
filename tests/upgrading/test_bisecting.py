"""The search for a release, and the list of releases."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from wheels import wheel

from harness.errors import EnvironmentFailed, UsageError
from harness.upgrading.bisecting import Found, looks, releases, search
from harness.upgrading.judging import Verdict


class Judge:
    """Judges releases by number: those from `moved` on have moved; some cannot run, or stay undecided."""

    def __init__(
        self, moved: int, broken: frozenset[int] = frozenset(), undecided: frozenset[int] = frozenset()
    ) -> None:
        self.moved, self.broken, self.undecided = moved, broken, undecided
        self.asked: list[str] = []

    def __call__(self, release: str) -> Verdict | None:
        self.asked.append(release)
        number = int(release)
        if number in self.broken:
            return None
        return "UNDECIDED" if number in self.undecided else "MOVED" if number >= self.moved else "SAME"


@pytest.mark.parametrize("count", range(2, 18))
def test_every_release_is_found_in_the_fewest_steps(count: int) -> None:
    names = [str(number) for number in range(count)]
    for moved in range(1, count):
        judge = Judge(moved)
        assert search(names, judge) == Found(str(moved - 1), str(moved))
        assert len(judge.asked) <= math.ceil(math.log2(count - 1))


def test_a_release_that_cannot_run_is_passed_over_and_named_if_it_may_be_the_one() -> None:
    names = [str(number) for number in range(9)]
    assert search(names, Judge(7, broken=frozenset({4}))) == Found("6", "7")
    assert search(names, Judge(4, broken=frozenset({4, 5}))) == Found("3", "6", ("4", "5"))
    assert search(names, Judge(3, broken=frozenset(range(1, 8)))) == Found("0", "8", tuple("1234567"))


def test_an_undecided_release_ends_the_search_with_the_narrowest_interval() -> None:
    judge = Judge(6, undecided=frozenset({5}))
    found = search([str(number) for number in range(9)], judge)
    assert found == Found("4", "6", ("5",))
    assert judge.asked[-1] == "5"


def test_seeds_are_doubled_up_to_the_maximum() -> None:
    assert looks(3, 12) == [3, 6, 12]
    assert looks(5, 12) == [5, 10, 12]
    assert looks(5, 5) == [5]


def test_releases_are_those_from_the_good_to_the_bad_one_in_either_direction() -> None:
    listed = "1.0, 1.1,2.0,2.1,3.0"
    assert releases("tiny", "1.1", "2.1", listed=listed) == ["1.1", "2.0", "2.1"]
    assert releases("tiny", "2.1", "1.1", listed=listed) == ["2.1", "2.0", "1.1"]
    for good, bad, told in (("1.2", "3.0", "1.2 is not among"), ("1.0", "1.0", "two releases")):
        with pytest.raises(UsageError, match=told):
            releases("tiny", good, bad, listed=listed)


def test_pip_lists_the_releases_of_a_wheel_folder_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for version in ("0.9", "0.10", "1.0rc1", "1.0"):
        wheel(tmp_path, "tiny-of-tests", version, {"tiny_of_tests.py": ""})
    assert releases("tiny-of-tests", "0.9", "1.0", [str(tmp_path)]) == ["0.9", "0.10", "1.0"]
    with pytest.raises(EnvironmentFailed, match="--releases"):
        releases("nothing-of-tests", "0.9", "1.0", [str(tmp_path)])
