"""The process aside: nobody is forgotten when it is closed, waiting in line is no work, and what was taken back is not begun."""

from __future__ import annotations

import queue
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from endonym.web.aside import client
from endonym.web.aside.client import Aside

WITH_STAND_INS = """
import sys, time, types
from pathlib import Path
from endonym.web.aside import __main__ as aside

def slow(seconds):
    time.sleep(seconds)
    yield "done", seconds

def note(path):
    Path(path).touch()
    yield "done", path

sys.modules["endonym.web.aside.fake"] = fake = types.ModuleType("fake")
fake.slow, fake.note = slow, note
aside.KNOWN = ("fake.slow", "fake.note")
aside.main()
"""


@pytest.fixture
def aside(monkeypatch) -> Iterator[Aside]:
    """A process aside whose work is to sleep and to leave a file."""
    begin = subprocess.Popen
    monkeypatch.setattr(
        client.subprocess, "Popen", lambda command, **more: begin([sys.executable, "-c", WITH_STAND_INS], **more)
    )
    made = Aside("test")
    yield made
    made.close()


def test_who_asks_after_a_close_is_answered_and_who_waited_is_told(aside: Aside):
    first: queue.Queue = queue.Queue()
    aside.ask("fake.slow", {"seconds": 60}, first.put)
    assert first.get(timeout=30)["event"] == "began"
    aside.close()
    # The process that was closed has not been seen to end yet.
    assert aside.call("fake.slow", {"seconds": 0}, 30) == 0
    told = first.get(timeout=30)
    assert told["event"] == "error" and "ended" in told["data"]["message"]
    assert aside.call("fake.slow", {"seconds": 0}, 30) == 0 and not aside.busy


def test_the_time_of_a_request_counts_from_when_it_begins(aside: Aside):
    before: queue.Queue = queue.Queue()
    aside.ask("fake.slow", {"seconds": 2}, before.put)
    assert before.get(timeout=30)["event"] == "began"
    assert aside.call("fake.slow", {"seconds": 0}, 1.5) == 0
    with pytest.raises(client.AsideError):
        aside.call("fake.slow", {"seconds": 60}, 0.1)


def test_what_was_taken_back_in_line_is_not_begun(aside: Aside, tmp_path: Path):
    told: queue.Queue = queue.Queue()
    aside.ask("fake.slow", {"seconds": 0.5}, told.put)
    aside.ask("fake.note", {"path": str(tmp_path / "taken back")}, told.put)()
    aside.call("fake.note", {"path": str(tmp_path / "done")}, 30)
    assert [path.name for path in tmp_path.iterdir()] == ["done"]
    assert [told.get_nowait()["event"] for _ in range(told.qsize())] == ["began", "done"]
