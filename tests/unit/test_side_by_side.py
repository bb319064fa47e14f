"""Work for many monitors at once, some of it slow."""

from __future__ import annotations

from threading import Event, Thread

import pytest

from monitor.services import side_by_side
from monitor.services.side_by_side import SideBySide


def test_what_takes_long_lets_the_others_have_their_turn_and_is_not_begun_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(side_by_side, "_SLOW_S", 0.05)
    release, begun, done = Event(), [], []

    def slow() -> None:
        begun.append("slow")
        release.wait(30)

    together = SideBySide(1, 2)
    work = {"slow": slow} | {number: lambda number=number: done.append(number) for number in range(20)}  # type: ignore[misc]
    for _ in range(2):
        together.run(work, Event(), patient=False)
    assert (begun, sorted(done)) == (["slow"], sorted([*range(20), *range(20)]))
    release.set()


def test_as_many_slow_ones_as_there_may_be_hold_up_the_rest_and_not_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "_SLOW_S", 0.05)
    release, done = Event(), []
    together = SideBySide(2, 2)
    together.run({number: lambda: release.wait(30) for number in range(2)}, Event(), patient=False)
    together.run({"other": lambda: done.append(1)}, Event(), patient=False)
    assert not done
    release.set()
    together.run({"other": lambda: done.append(1)}, Event(), patient=False)
    assert done == [1]


def test_the_patient_wait_for_all_and_are_told_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "_SLOW_S", 0.01)
    done: list[int] = []
    together = SideBySide(2, 4)
    together.run({number: lambda: (Event().wait(0.1), done.append(1))[1] for number in range(4)}, Event(), patient=True)
    assert len(done) == 4

    def fail() -> None:
        raise ValueError("so it is")

    with pytest.raises(ValueError, match="so it is"):
        together.run({"one": fail}, Event(), patient=True)


def test_a_daemon_that_stops_waits_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    release, stopping = Event(), Event()
    together = SideBySide(1, 1)
    runs = Thread(target=together.run, args=({"slow": lambda: release.wait(30)}, stopping), kwargs={"patient": True})
    runs.start()
    stopping.set()
    runs.join(5)
    assert not runs.is_alive()
    release.set()
