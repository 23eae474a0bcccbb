"""Watch a job from the terminal: one redrawn line on a terminal, a line every few seconds elsewhere, and Ctrl-C that saves."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from endonym.cli.console import Console, columns, number, seconds, width

if TYPE_CHECKING:
    from endonym.project import Project
    from endonym.store.events import Event
    from endonym.store.jobs import JobRow

LINE_SECONDS = 5.0
BAR_CELLS = 20


class Watcher:
    """Shows the events of jobs as they come; call `close` before printing anything else."""

    def __init__(self, console: Console):
        self.console = console
        self.name = ""
        self.job = 0
        self.parent = 0
        """The job whose steps are shown, while it waits for others that it has started; 0 for a job without any."""
        self._drawn = False
        self._last_line = 0.0
        self._first: tuple[float, float] | None = None
        self._counted = ("", 0.0)
        """What was counted last, and how far."""
        self._curve: dict[str, float] = {}

    def begin(self, name: str) -> None:
        """A job called `name` starts."""
        self.close()
        self.name, self._first, self._curve = name, None, {}
        self._last_line = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "step":
            self.parent = event.job
            self._step(event.data)
        # What the jobs of a step say in words is told by the step; what is left of them is how far they are.
        if self.parent and event.kind not in (("warning",) if event.job == self.parent else ("tick", "metric")):
            return
        self.job = self.parent or event.job
        if event.kind == "tick":
            self._tick(event)
        elif event.kind == "metric" and event.data["name"] == "loss":
            self._curve["loss"] = event.data["value"]
        elif event.kind == "metric" and event.data["name"] == "valid_loss":
            self._line(f"step {event.data['step']}: validation loss {number(event.data['value'])}")
        elif event.kind == "sample":
            self._sample(event.data)
        elif event.kind == "log":
            self._line(str(event.data.get("text", "")))
        elif event.kind == "warning":
            self._line("warning: " + str(event.data.get("text") or event.data.get("message") or event.data))

    def close(self) -> None:
        """Wipe the redrawn line."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False

    def _step(self, data: dict[str, Any]) -> None:
        """A step of a job that has some: when it begins, when it tells of an accident, and how it ends."""
        title = f"{data['n']} {data['name']}"
        if data["state"] in ("completed", "skipped", "failed"):
            self._line(f"{title}: {data['state']} after {seconds(data['seconds'])}. {data['sentence']}")
        elif data["state"] == "active" and data["sentence"]:
            self._line(f"{title}: {data['sentence']}")
        elif data["state"] == "active" and self.name != title:
            self._line(f"{title} ...")
        if data["state"] == "active":
            self.name, self._first, self._curve = title, None, {}

    def _sample(self, data: dict[str, Any]) -> None:
        """A question of the validation split with its true answer and the model's."""
        source, expected, answer = (" ".join(str(data.get(k, "")).split()) for k in ("source", "reference", "answer"))
        self._line(f"{data.get('task', '')} {data.get('direction', '')}: {source}")
        self._line(f"    expected  {expected}")
        self._line(f"    model     {answer}")

    def _line(self, text: str) -> None:
        self.close()
        self.console.say(f"  {text}")

    def _tick(self, event: Event) -> None:
        done, total = float(event.data["done"]), float(event.data["total"])
        what = _counted(event.data)
        if self._first is None or what != self._counted[0] or done < self._counted[1]:
            self._first = (event.time, done)
        self._counted = what, done
        now = time.monotonic()
        if not self.console.live and now - self._last_line < LINE_SECONDS:
            return
        self._last_line = now
        begun, at = self._first
        rate = (done - at) / (event.time - begun) if event.time > begun and done > at else 0.0
        self._show(event.data, done, total, rate)

    def _show(self, data: dict[str, Any], done: float, total: float, rate: float) -> None:
        unit = data.get("unit") or ""
        # A total of 0 means that nobody knows it yet.
        goal = f"/{number(_whole(total))}" if total else ""
        parts = [f"{number(_whole(done))}{goal} {unit}".strip()]
        values = {**self._curve, **{k: v for k, v in data.items() if k not in ("done", "total", "unit")}}
        if rate:
            parts.append(
                f"{number(_whole(round(rate)) if rate >= 10 else round(rate, 2))} {_counted(data) or 'items'}/s"
            )
            if total:
                parts.append(f"{seconds(max(total - done, 0) / rate)} left")
        parts += [
            f"{name.replace('_', ' ')} {number(v)}" for name, v in values.items() if isinstance(v, str | int | float)
        ]
        text = ", ".join(parts)
        if not self.console.live:
            self.console.say(f"  {text}")
            return
        bar = _bar(done / total if total else 0.0)
        line = f"  {self.name}  {bar}  {text}"
        while width(line) > columns() - 1 and ", " in line:
            line = line.rpartition(", ")[0]
        if not os.environ.get("NO_COLOR"):
            line = line.replace(bar, f"\x1b[32m{bar}\x1b[0m")
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()
        self._drawn = True


def _counted(data: dict[str, Any]) -> str:
    """What is counted: `steps` of `steps, without`."""
    return str(data.get("unit") or "").partition(",")[0]


def follow_job(project: Project, job: int, console: Console, after: int = 0) -> JobRow:
    """Show a job until it has ended and return its row; raises its error when it did not succeed."""
    from endonym.jobs.submit import wait_for
    from endonym.store import jobs as rows

    watcher = Watcher(console)
    watcher.begin(rows.get(project.db, job).name)
    watcher.job = job
    return guarded(project, console, watcher, lambda: wait_for(project, job, watcher, after, family=True))


def guarded(project: Project, console: Console, watcher: Watcher, work: Callable[[], Any]) -> Any:
    """Run `work`, which waits for jobs; the first Ctrl-C pauses the current job, the second leaves it alone."""
    from endonym.jobs.submit import wait_for
    from endonym.store import jobs as rows

    try:
        return work()
    except KeyboardInterrupt:
        watcher.close()
        job = _current(project, watcher.job)
        if not job or rows.request_pause(project.db, job) not in ("running", "paused"):
            raise
        console.say(
            "pausing: it stops at the next safe point and saves; press Ctrl-C again to leave it to do so in the background"
        )
        after = last_event(project)
        try:
            return wait_for(project, job, watcher, after, family=True)
        except KeyboardInterrupt:
            watcher.close()
            console.say(f"job {job} goes on pausing in the background; see: endonym jobs show {job}")
            raise
    finally:
        watcher.close()


def _current(project: Project, seen: int) -> int:
    """The job being waited for: the one last heard of, or one started after it that has not said anything yet; 0 for none."""
    from endonym.store import jobs as rows

    active = [row.id for row in rows.listing(project.db) if row.state in rows.ACTIVE and row.id >= seen]
    return seen if seen in active else max(active, default=0)


def last_event(project: Project) -> int:
    """Id of the newest event in the project: what comes after it is news."""
    return int(project.db.execute("SELECT COALESCE(MAX(id), 0) FROM events").fetchone()[0])


def _bar(share: float) -> str:
    full = round(min(max(share, 0.0), 1.0) * BAR_CELLS)
    return "━" * full + "─" * (BAR_CELLS - full)


def _whole(value: float) -> float | int:
    return int(value) if value == int(value) else value
