"""Threads that talk with receivers."""

from __future__ import annotations

import subprocess
import sys
import time
from threading import Event

from monitor.services.senders import Senders
from tests.processes import wait_until


def test_one_at_a_time_for_each_receiver_and_none_waits_for_another() -> None:
    senders, goes_on, done = Senders(), Event(), list[str]()
    for number in range(20):
        assert senders.start(f"slow {number}", lambda: goes_on.wait(20))
    assert not senders.start("slow 0", lambda: done.append("twice"))
    assert senders.start("quick", lambda: done.append("quick"))
    wait_until(lambda: "quick" not in senders.busy, 10)
    assert done == ["quick"]
    assert len(senders.wait_for_all(0.1)) == 20
    goes_on.set()
    assert senders.wait_for_all(10) == []


def test_what_goes_wrong_on_a_thread_ends_it_alone() -> None:
    senders = Senders()
    senders.start("broken", lambda: 1 / 0)
    assert senders.wait_for_all(10) == []
    assert senders.start("broken", lambda: None)


def test_a_process_ends_while_a_receiver_is_slow() -> None:
    code = "import time; from monitor.services.senders import Senders; Senders().start('slow', lambda: time.sleep(60))"
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    assert time.monotonic() - started < 20
