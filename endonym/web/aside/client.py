"""A process aside that does what is heavy or opens foreign files, so that the server stays small and cannot be brought down by it.

Requests and replies are lines of JSON. The process is started when it is first asked, ends with the server, and is started anew after
it died; who waited for it then gets an error.
"""

from __future__ import annotations

import itertools
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from endonym.errors import EndonymError

Reply = Mapping[str, Any]
"""`{"event", "data"}`; `began` is the first of a request, `done` or `error` the last."""
Sink = Callable[[Reply], None]
LAST = ("done", "error")
ENDED = {"message": "the process that worked on this ended", "hint": "Try again; when it happens again, the memory may be too small.",
         "type": "JobError"}  # fmt: skip


class AsideError(EndonymError):
    """An error of the process aside; `kind` is the name it had there."""

    def __init__(self, data: Mapping[str, Any]):
        super().__init__(str(data["message"]), str(data.get("hint", "")))
        self.kind = str(data.get("type", "EndonymError"))


class Aside:
    """One such process, working on one request after the other."""

    def __init__(self, name: str):
        self.name = name
        self.used = time.monotonic()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[str] | None = None
        self._sinks: dict[int, Sink] = {}

    @property
    def busy(self) -> bool:
        """Whether somebody waits for a reply."""
        return bool(self._sinks)

    def ask(self, what: str, given: Mapping[str, Any], sink: Sink) -> Callable[[], None]:
        """Ask for `what` (`module.function` of this package); replies go to `sink`. Returns what takes the request back."""
        with self._lock:
            process = self._running()
            number = next(self._numbers)
            sinks = self._sinks
            sinks[number] = sink
            self.used = time.monotonic()
        self._write(process, {"id": number, "do": what, "given": given})

        def cancel() -> None:
            if sinks.pop(number, None) is not None:
                self._write(process, {"id": number, "cancel": True})

        return cancel

    def call(self, what: str, given: Mapping[str, Any], seconds: float) -> Any:
        """Ask, wait, and return the data of `done`. Raises AsideError; `seconds` after it began the process is ended."""
        replies: queue.Queue[Reply] = queue.Queue()
        self.ask(what, given, replies.put)
        until: float | None = None
        while True:
            try:
                reply = replies.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except queue.Empty:
                self.close()
                said = {
                    "message": f"this took longer than {seconds:.0f} s",
                    "hint": "Try less at once.",
                    "type": "JobError",
                }
                raise AsideError(said) from None
            if reply["event"] == "began":  # not before: those ahead of it have limits of their own
                until = time.monotonic() + seconds
            if reply["event"] == "error":
                raise AsideError(reply["data"])
            if reply["event"] == "done":
                return reply["data"]

    def close(self) -> None:
        """End the process; those who wait get an error."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "endonym.web.aside"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                encoding="utf-8",
            )  # fmt: skip
            self._sinks = {}
            threading.Thread(target=self._read, args=(self._process, self._sinks), name=self.name, daemon=True).start()
        return self._process

    def _write(self, process: subprocess.Popen[str], message: Mapping[str, Any]) -> None:
        assert process.stdin is not None
        try:
            with self._lock:
                process.stdin.write(json.dumps(message) + "\n")
                process.stdin.flush()
        except (OSError, ValueError):
            pass  # it is gone: the thread that reads from it tells those who wait

    def _read(self, process: subprocess.Popen[str], sinks: dict[int, Sink]) -> None:
        """Pass the replies of a process on to those who asked it; when it ends, tell the rest."""
        assert process.stdout is not None
        for line in process.stdout:
            message = json.loads(line)
            number, last = message.pop("id"), message["event"] in LAST
            sink = sinks.pop(number, None) if last else sinks.get(number)
            self.used = time.monotonic()
            if sink is not None:
                sink(message)
        process.wait()
        with self._lock:
            left = list(sinks.values())
            sinks.clear()
            if self._process is process:  # who asks now starts another
                self._process = None
        for sink in left:
            sink({"event": "error", "data": ENDED})
