"""Kill a training run at random moments, resume it, and compare its weights with those of a run that was never interrupted.

    python benchmarks/resume.py PROJECT [--kills 50] [--set steps=40 --set save_every=2] [--recipe lora] [--json]

PROJECT is a project whose chats are composed; it is copied and not changed. Every second kill waits until a checkpoint is being
written; the others come at a random moment of the training, or (one in five) of the start of the process before it. Weights are
equal when the SHA-256 of all their files is.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from endonym.jobs.submit import resume, submit, wait_for
from endonym.project import Project
from endonym.store import events, jobs
from endonym.store.files import hash_folder

POLL = 0.002


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line a kill and the sum; the exit code is 1 when any weights differ, or when no kill came while training ran."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--recipe", default="lora")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    settings = {name: json.loads(value) for name, _, value in (text.partition("=") for text in options.settings)}
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="resume-") as scratch:
        begun = time.monotonic()
        whole = Project(copy(options.project, Path(scratch) / "whole"))
        row = submit(whole, "train", options.recipe, settings, wait=True)
        times = [e.time for e in events.since(whole.db, row.id) if e.kind == "metric" and e.data["name"] == "loss"]
        expected, seconds = weights(whole, row.id), max(times[-1] - times[0], 0.1)
        say(f"unbroken: {len(times)} steps in {seconds:.1f} s, {expected[:16]}", options.json)
        trials = []
        for number in range(options.kills):
            folder = Path(scratch) / "broken"
            trial = kill_once(Project(copy(options.project, folder)), options.recipe, settings, number, seconds, dice)
            trial["equal"] = trial.pop("hash") == expected
            trials.append(trial)
            say(f"{number + 1}/{options.kills}: " + ", ".join(f"{k} {v}" for k, v in trial.items()), options.json)
            shutil.rmtree(folder)
    report = {**summed(trials), "seconds": round(time.monotonic() - begun, 1), "trials": trials}
    told = "{different} of {kills} differ; {killed_alive} were killed while they ran, {while_saving} of these in a save"
    print(json.dumps(report, indent=1) if options.json else told.format_map(report))
    return int(report["different"] > 0 or not report["killed_alive"])


def summed(trials: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many runs there were, how many a kill really met, in a save or not, and how many ended with other weights."""
    return {
        "kills": len(trials),
        "killed_alive": sum(trial["killed"] for trial in trials),
        "while_saving": sum(trial["killed"] and trial["saving"] for trial in trials),
        "different": sum(not trial["equal"] for trial in trials),
    }


def kill_once(
    project: Project, recipe: str, settings: dict[str, Any], number: int, seconds: float, dice: random.Random
) -> dict[str, Any]:
    """Start, kill, resume; returns what was hit and the hash of the final weights."""
    row = submit(project, "train", recipe, settings)
    checkpoints = project.runs / row.folder / "checkpoints"
    if number % 2:
        skip = dice.randrange(4)
        wait_until(lambda: saves(checkpoints) >= skip and any(checkpoints.glob(".tmp-*")), project, row.id)
    elif number % 10 == 0:
        wait_until(lambda: bool(jobs.get(project.db, row.id).worker), project, row.id)
        time.sleep(dice.uniform(0, 4))
    else:
        wait_until(lambda: bool(events.curve(project.db, row.id, "loss")), project, row.id)
        time.sleep(dice.uniform(0, seconds))
    saving = any(checkpoints.glob(".tmp-*"))
    killed = False
    if (worker := jobs.get(project.db, row.id)).state == "running":
        os.kill(int(worker.worker.split("|")[2]), signal.SIGKILL)
        killed = True
        wait_until(lambda: jobs.get(project.db, row.id).state != "running", project, row.id, notice=True)
    steps = len(events.curve(project.db, row.id, "loss"))
    if jobs.get(project.db, row.id).state != "succeeded":
        resume(project, row.id)
        ended = wait_for(project, row.id)
        if ended.state != "succeeded":
            raise SystemExit(f"the resumed run ended as {ended.state}: {ended.error}")
    return {"killed": killed, "step": steps, "saving": saving, "hash": weights(project, row.id)}


def wait_until(condition: Any, project: Project, job: int, notice: bool = False) -> None:
    """Wait until `condition()` or the job has ended."""
    while not condition():
        if notice:
            jobs.notice_dead(project.db)
        elif jobs.get(project.db, job).state not in ("queued", "running"):
            return
        time.sleep(POLL)


def saves(checkpoints: Path) -> int:
    return max((int(path.name[5:]) for path in checkpoints.glob("step-*")), default=0)


def weights(project: Project, job: int) -> str:
    output = project.output(job)
    return hash_folder(output / "adapter" if (output / "adapter").is_dir() else output / "weights")


def copy(project: Path, target: Path) -> Path:
    """A copy without trained models and database; the database is made anew from the run folders."""
    models = {p.parent.name for p in project.glob("runs/*/job.json") if json.loads(p.read_text())["verb"] == "train"}
    after = {"evaluate", "export", "compare"}
    for path in project.glob("runs/*/job.json"):
        if json.loads(path.read_text())["verb"] in after:
            models.add(path.parent.name)
    shutil.copytree(project, target, ignore=lambda _, names: [n for n in names if n in models or n == ".endonym"])
    return target


def say(text: str, quiet: bool) -> None:
    print(text, file=sys.stderr if quiet else sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main())
