"""Turns of threads are brief while anybody wants that, and then as they were before."""

from __future__ import annotations

import sys
import threading

from configbuild.tuning import brief_turns


def test_turns_are_brief_until_the_last_who_wanted_it_is_done() -> None:
    before = sys.getswitchinterval()
    leave = threading.Event()
    entered = threading.Event()

    def other() -> None:
        with brief_turns():
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=other)
    with brief_turns():
        brief = sys.getswitchinterval()
        thread.start()
        assert entered.wait(30)
    assert brief < before
    assert sys.getswitchinterval() == brief
    leave.set()
    thread.join()
    assert sys.getswitchinterval() == before
