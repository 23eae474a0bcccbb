"""Kill servers and workers at random moments over many short jobs, and count what was lost, done twice, told twice, or stuck.

    python benchmarks/chaos.py [--kills 200] [--seed 1] [--studio] [--json]

A project in a temporary folder has an action of its own that counts to a number and saves how far it came at every fifth step. A server
puts jobs into the queue and looks after them (`jobs/tend.py`); it, a worker, its guard, all of a job's processes, or server and worker
together get SIGKILL, in the queue, while they start, and while they work. The machine is told to be small, so that jobs wait for each
other. With `--studio` the server is `endonym studio`, and the jobs are put in by this program. A job that is given up after
`MOST_LOST` kills in a row is resumed, as a user would.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from endonym.data.dataset import DatasetWriter
from endonym.jobs.submit import resume, submit
from endonym.jobs.tend import tend
from endonym.project import Project
from endonym.store import events, jobs
from endonym.store.files import hash_folder
from endonym.store.process import identity, is_alive
from endonym.types import Pair

ACTION = '''"""Count to a number."""

import json
import time

from pydantic import BaseModel, ConfigDict, Field

from endonym.store.files import write_json


class Config(BaseModel):
    """What to count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(0, description="Which job this is.")
    steps: int = Field(40, description="How far to count.")
    seconds: float = Field(0.04, description="How long a step takes.")


def run(cfg, data, job):
    """Count from where it was saved; what is written in the end does not depend on interruptions."""
    saved = job.folder / "checkpoints" / "state.json"
    saved.parent.mkdir(exist_ok=True)
    step = json.loads(saved.read_text())["step"] if saved.exists() else 0
    while step < cfg.steps and not job.cancelled():
        time.sleep(cfg.seconds)
        step += 1
        job.metric("count", cfg.number + step, step)
        if step % 5 == 0:
            write_json(saved, {"step": step})
    write_json(job.output / "counted.json", {"number": cfg.number, "steps": step})
'''
STEPS = 60
LIVELY = 4
"""Jobs that are in work at any moment while kills go on."""
PACE = 2
"""Most time between two kills, in startups of a worker: some come while it starts, some while it works."""
AT_WORK = 0.7
"""Share of the kills that meet a worker that works, or a server that has brought something on its way; the others meet any, also in
the queue and while it starts."""
KINDS = ("server", "worker", "guard", "job", "both")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was counted; the exit code is 1 when anything but 0 should be 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="Kill no more after this long, however many there were."
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--studio", action="store_true", help="Kill `endonym studio` where this kills a server.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(options.serve)
    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
        # Jobs need 0.5 GB each: three at once.
        os.environ |= {"ENDONYM_CACHE": str(Path(scratch) / "cache"), "ENDONYM_MEMORY_GB": "1.6"}
        report = chaos(prepare(Path(scratch) / "home" / "project"), options)
    print(
        json.dumps(report)
        if options.json
        else "\n".join(f"{name.replace('_', ' ')}: {v}" for name, v in report.items())
    )
    return int(any(report[name] for name in ("lost", "done_twice", "file_differs", "wrong_steps", "stuck")))


def prepare(folder: Path) -> Project:
    """A project with the action and a split for it to read."""
    project = Project.create(folder, language="tzh")
    (folder / "plugins" / "action").mkdir(parents=True)
    (folder / "plugins" / "action" / "count.py").write_text(ACTION, encoding="utf-8")
    row = jobs.find_or_create(project.db, "split", "", "split", {"stage": {}, "plugins": {}}, {})
    output = project.runs / row.folder / "output"
    with DatasetWriter(output) as out:
        out.keep(Pair("a", "one", "jun", "eng", "tzh", "a:1"), "train")
    jobs.claim(project.db, row.id, identity())
    jobs.register_artifact(project.db, row.id, "split", hash_folder(output), [])
    jobs.finish(project.db, row.id, "succeeded", {}, {})
    (folder / "wanted").write_text("0")
    return project


def serve(folder: Path) -> None:
    """Put what is wanted into the queue and look after all jobs, for ever."""
    project, known = Project(folder), 0
    while True:
        wanted = int((folder / "wanted").read_text() or 0)
        while known < wanted:
            want(project, known)
            known += 1
        tend(project)
        time.sleep(0.1)


def want(project: Project, number: int) -> None:
    submit(project, "tokenizer", "count", {"number": number, "steps": STEPS})


class Server:
    """The process that looks after the jobs, started again whenever it is gone."""

    def __init__(self, project: Project, studio: bool):
        self.command = [sys.executable, __file__, "--serve", str(project.path)]
        if studio:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            home = str(project.path.parent)
            self.command = [sys.executable, "-m", "endonym", "studio", home, "--port", str(port), "--no-browser"]
        self.process: subprocess.Popen[bytes] | None = None
        self.spared = True
        """Whether it is left alone until a job has a worker."""

    def ensure(self, dice: random.Random) -> None:
        if self.process is None or self.process.poll() is not None:
            self.spared = dice.random() < AT_WORK
            self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)

    def kill(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            return False
        self.process.kill()
        self.process.wait()
        return True


def chaos(project: Project, options: argparse.Namespace) -> dict[str, Any]:
    """Let jobs run and kill; then let everything come to its end, and count."""
    dice, server, begun = random.Random(options.seed), Server(project, options.studio), time.monotonic()
    killed: Counter[str] = Counter()
    wanted, by_hand, watch, pace = 0, 0, Watch(), PACE * startup()

    def going_on() -> bool:
        return sum(killed.values()) < options.kills and time.monotonic() - begun < 60 * options.minutes

    try:
        while (more := going_on()) or unfinished(project, wanted):
            server.ensure(dice)
            if more:
                while unfinished(project, wanted) < LIVELY:
                    wanted += 1
                    (project.path / "wanted.new").write_text(str(wanted))
                    (project.path / "wanted.new").replace(project.path / "wanted")
                    if options.studio:
                        want(project, wanted - 1)
                if kind := kill(project, server, dice):
                    killed[kind] += 1
                    if sum(killed.values()) % 10 == 0:
                        pace = PACE * startup()
                        print(f"{sum(killed.values())} kills, {wanted} jobs", file=sys.stderr)
                    time.sleep(dice.random() * pace)
            time.sleep(0.2 * dice.random())
            watch.look(project)
            for row in jobs.listing(project.db):
                if row.state == "needs_recovery" and row.lost > jobs.MOST_LOST:
                    resume(project, row.id)
                    by_hand += 1
            if watch.longest > 10 * jobs.LEASE_SECONDS:
                break
    finally:
        server.kill()
    found = counted(project, wanted)
    return {
        "kills": sum(killed.values()), **{f"killed_{kind}": killed[kind] for kind in KINDS}, "jobs": wanted, **found,
        "stuck": watch.stuck, "longest_silence_seconds": round(watch.longest, 1), "resumed_by_hand": by_hand,
        "seconds": round(time.monotonic() - begun, 1),
    }  # fmt: skip


def startup() -> float:
    """Seconds a worker takes to start on this machine now."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", "import endonym.worker, endonym.jobs.tend"], check=True)
    return time.monotonic() - begun


def unfinished(project: Project, wanted: int) -> int:
    done = project.db.execute("SELECT COUNT(*) FROM jobs WHERE verb='tokenizer' AND state='succeeded'").fetchone()[0]
    return wanted - int(done)


def kill(project: Project, server: Server, dice: random.Random) -> str:
    """SIGKILL something; returns what kind, `""` when there was nothing of that kind to kill."""
    kind = dice.choice(KINDS)
    listed = jobs.listing(project.db)
    idle = not any(row.state in jobs.ACTIVE and row.worker and is_alive(row.worker) for row in listed)
    if idle and server.spared and kind in ("server", "both"):
        return ""  # It would never come to starting anything.
    if kind == "server":
        return kind if server.kill() else ""
    ours = str(server.process.pid if server.process else 0)
    states = ("running",) if dice.random() < AT_WORK else jobs.ACTIVE
    found = [row.worker for row in listed if row.state in states and row.worker]
    workers = [w.split("|")[2::2] for w in found if is_alive(w)]
    workers = [pids for pids in workers if ours not in pids and str(os.getpid()) not in pids]
    if not workers:
        return ""
    pids = dice.choice(workers)
    chosen = {"worker": pids[:1], "guard": pids[-1:]}.get(kind, pids)
    if kind == "both" and not server.kill():
        return ""
    for pid in chosen:
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            continue
    return kind


class Watch:
    """How long jobs that are not done say nothing."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._stuck: set[int] = set()

    @property
    def stuck(self) -> int:
        """Jobs that were silent for longer than two leases."""
        return len(self._stuck)

    def look(self, project: Project) -> None:
        query = (
            "SELECT jobs.id, MAX(events.time) FROM jobs JOIN events ON events.job = jobs.id"
            " WHERE jobs.state NOT IN ('succeeded') GROUP BY jobs.id"
        )
        waiting = {row[0] for row in project.db.execute("SELECT job FROM events WHERE kind = 'waiting'")}
        for job, last in project.db.execute(query).fetchall():
            row = jobs.get(project.db, job)
            if row.state == "queued" and job in waiting and is_alive(row.worker):
                continue  # It waits for its turn, and has said so.
            self.longest = max(self.longest, time.time() - last)
            if time.time() - last > 2 * jobs.LEASE_SECONDS:
                self._stuck.add(job)


def counted(project: Project, wanted: int) -> dict[str, Any]:
    """What should be 0, and how often jobs were started anew."""
    rows = [row for row in jobs.listing(project.db) if row.verb == "tokenizer"]
    done = Counter(row.settings["plugins"]["count"]["number"] for row in rows if row.state == "succeeded")
    found: Counter[str] = Counter(
        lost=sum(not done[n] for n in range(wanted)), done_twice=sum(n > 1 for n in done.values())
    )
    for row in rows:
        told = list(events.since(project.db, row.id))
        folder = project.runs / row.folder
        lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
        as_lines = [json.dumps({"time": e.time, "kind": e.kind, "data": e.data}, ensure_ascii=False) for e in told]
        found["events"] += len(told)
        found["file_differs"] += sum(
            ((Counter(lines) - Counter(as_lines)) + (Counter(as_lines) - Counter(lines))).values()
        )
        found["done_twice"] += sum(e.kind == "state" and e.data["state"] == "succeeded" for e in told) > 1
        found["wrong_steps"] += wrong_steps(told)
        found["wrong_steps"] += [step for step, _ in events.curve(project.db, row.id, "count")] != list(
            range(1, STEPS + 1)
        )
        if row.state != "succeeded":
            print(f"job {row.id}: {row.state}, attempt {row.attempt}, {row.error or told[-1]}", file=sys.stderr)
            continue
        made = json.loads((folder / "output" / "counted.json").read_text(encoding="utf-8"))
        found["lost"] += made["steps"] != STEPS or hash_folder(folder / "output") != jobs.artifact_hash(
            project.db, row.id
        )
        found["attempts"] += row.attempt
    return {name: found[name] for name in ("lost", "done_twice", "file_differs", "wrong_steps", "events", "attempts")}


def wrong_steps(told: list[events.Event]) -> int:
    """Points that are missing or there twice: each attempt counts by one, from no later than where the last one ended."""
    wrong, last, begins = 0, 0, True
    for event in told:
        if event.kind == "state" and event.data["state"] == "running":
            begins = True
        elif event.kind == "metric":
            step = event.data["step"]
            wrong += not (last - 5 <= step <= last + 1) if begins else step != last + 1
            last, begins = step, False
    return wrong


if __name__ == "__main__":
    sys.exit(main())
