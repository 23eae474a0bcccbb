"""Train the same adapters on the same rows with Endonym and with its peers, one after the other, and compare speed, memory and loss.

    python benchmarks/train_speed.py --environments FOLDER [--data FILE.jsonl] [--systems ours,trl] [--settings default,best]
        [--rows 600] [--steps 25] [--threads 2] [--repeat 3] [--json]

Each peer runs in a virtual environment of its own under `--environments`, made on first use from the pins in `peers/settings.toml`.
Every run is a process of its own on `--threads` cores. A run whose rows, tokens or steps are not those of the others fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from peers import batches, environments, rendering, rows

from endonym.models.weights import get

HERE = Path(__file__).resolve().parent
OURS = "ours"
MARK = "ENDONYM_TRAIN_SPEED"
"""Environment variable that every process of a run inherits, the detached worker too."""
SHARED: dict[str, Any] = {
    "rank": 16, "alpha": 32, "learning_rate": 1e-3, "beta2": 0.99, "weight_decay": 0.01, "clip": 1.0, "max_length": 1024,
    "seed": 20,
}  # fmt: skip
"""What all systems are told: LoRA on all linear layers, AdamW, a constant learning rate."""
COLUMNS = (
    "system",
    "setting",
    "tokens/s",
    "of ours",
    "MFU",
    "with start",
    "steps",
    "steps s",
    "whole s",
    "peak MB",
    "loss",
)


class DifferentError(Exception):
    """A run did another job than the one it was given."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything and print the table; the exit code is 1 when a run failed or did another job."""
    options = parsed(arguments)
    systems = tomllib.loads((HERE / "peers" / "settings.toml").read_text(encoding="utf-8"))
    chosen = options.systems.split(",") if options.systems else list(systems)
    if unknown := set(chosen) - set(systems):
        sys.exit(f"there is no system {', '.join(sorted(unknown))}; there are {', '.join(systems)}")
    planned = plan(chosen, options, systems)
    if hasattr(os, "sched_setaffinity"):
        # Inherited by every process of every run: one that starts more threads than allowed gains nothing by it.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="train-speed-") as scratch:
        job = prepare(options, Path(scratch))
        say(f"base model: loss {job['judged']['loss']:.4f}; {job['judged']['expected']['tokens']} tokens in all steps")
        for number in range(options.repeat):
            # Rows stay; their order and the adapters' first values differ, which shows how far losses differ by chance.
            own = {**job, "seed": job["seed"] + number}
            for name, setting in planned:
                runs.append(attempt(name, setting, systems[name], own, options))
                say(f"{name} {setting}: {runs[-1].get('failed') or 'done'}")
    table = summarise(runs)
    if options.json:
        print(json.dumps({"job": described(job, options), "table": table, "runs": runs}, indent=1))
    else:
        print(drawn(table))
    return int(any("failed" in run for run in runs))


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--environments", type=Path, required=True, help="folder for the peers' virtual environments")
    parser.add_argument("--data", type=Path, help="conversations as JSONL; default: short Tseltal translations")
    parser.add_argument("--base", default="smollm2-135m", help="base model: catalog alias or folder")
    parser.add_argument("--systems", default="", help="names from peers/settings.toml, with commas; default: all")
    parser.add_argument("--settings", default="default,best", help="names of settings, with commas")
    parser.add_argument("--rows", type=int, default=600, help="different training rows")
    parser.add_argument("--valid-rows", type=int, default=100, help="rows of the final evaluation")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--batch", type=int, default=0, help="rows per step; default: one pass over the rows")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where all systems train")
    parser.add_argument("--threads", type=int, default=2, help="cores and threads of every run")
    parser.add_argument(
        "--repeat",
        type=int,
        default=1,
        help="rounds over all systems, each with a seed of its own; the table shows medians and ranges",
    )
    parser.add_argument("--pip", default="", help="further arguments for pip install, as one text")
    parser.add_argument("--timeout", type=float, default=7200, help="seconds after which a run has failed")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def plan(chosen: Sequence[str], options: argparse.Namespace, systems: dict[str, Any]) -> list[tuple[str, str]]:
    """The (system, setting) of every run; exits where none of the systems has a setting, or one cannot divide the rows of a step."""
    wanted = list(dict.fromkeys(options.settings.split(",")))
    there = list(dict.fromkeys(setting for name in chosen for setting in systems[name]["settings"]))
    if unknown := [setting for setting in wanted if setting not in there]:
        sys.exit(f"none of {', '.join(chosen)} has a setting {', '.join(unknown)}; there are {', '.join(there)}")
    planned = [(name, setting) for name in chosen for setting in wanted if setting in systems[name]["settings"]]
    for name, setting in planned:
        if "requirements" in systems[name]:
            try:
                batches.rows_at_once(systems[name]["settings"][setting], rows_a_step(options))
            except batches.IndivisibleError as error:
                sys.exit(f"{name} {setting}: {error}")
    return planned


def rows_a_step(options: argparse.Namespace) -> int:
    return int(options.batch) or max(1, options.rows // options.steps)


def prepare(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Write the rows and the base folder, and have the judge render them; returns what every run is told."""
    seed = SHARED["seed"]
    if options.data:
        train, valid = rows.from_file(options.data, options.rows, options.valid_rows, seed)
    else:
        train, valid = rows.tseltal(HERE.parent / "examples" / "tseltal", options.rows, options.valid_rows, seed)
    batch = rows_a_step(options)
    base = scratch / "base"
    shutil.copytree(get(options.base), base, ignore=lambda *_: ["endonym-model.json", "chat_template.jinja"])
    (base / "chat_template.jinja").write_text(rendering.TEMPLATE, encoding="utf-8")
    rows.write(scratch / "train.jsonl", rows.repeated(train, batch * options.steps, seed))
    rows.write(scratch / "valid.jsonl", valid)
    job = {
        **SHARED, "base": str(base), "train": str(scratch / "train.jsonl"), "valid": str(scratch / "valid.jsonl"),
        "batch_size": batch, "steps": options.steps, "scratch": str(scratch), "device": options.device,
    }  # fmt: skip
    job["judged"] = judged(job, options)
    # Packs are never filled to the brim, and some systems want their length to be a multiple of eight.
    job["step_tokens"] = -(-job["judged"]["expected"]["tokens"] // options.steps // 64) * 64
    if job["judged"]["longest"] > SHARED["max_length"]:
        sys.exit(
            f"a row has {job['judged']['longest']} tokens, more than {SHARED['max_length']}: some systems would cut it"
        )
    return job


def attempt(
    name: str, setting: str, system: dict[str, Any], job: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    """One run; what went wrong stands in its `failed`, so that no system is left out silently."""
    run: dict[str, Any] = {"system": name, "setting": setting, "asked": system["settings"][setting]}
    try:
        python = Path(sys.executable)
        if "requirements" in system:
            python = environments.ready(
                options.environments.resolve() / name,
                system["requirements"],
                system.get("without", ()),
                options.pip.split(),
            )
        with tempfile.TemporaryDirectory(dir=job["scratch"]) as work:
            told = {
                **job, "work": work, "packages": system["packages"], "result": f"{work}/result.json",
                "setting": system["settings"][setting],
            }  # fmt: skip
            result, seconds, peak = process(python, system["runner"], told, options)
            check(result, job, told["setting"].get("packed", False))
            judgement = judged({**job, "adapter": result["adapter"]}, options)
    except (environments.UnavailableError, subprocess.SubprocessError, DifferentError) as error:
        return {**run, "failed": f"{type(error).__name__}: {error}"}
    tokens, steps = job["judged"]["expected"]["tokens"], result["times"][-1] - result["times"][0]
    return {
        **run, "mfu": tokens / steps * 4 * job["judged"]["multiplied"] / job["judged"]["product_speed"], "steps": len(result["times"]) - 1, "tokens_per_second": tokens / steps, "tokens_per_second_whole": tokens / seconds, "step_seconds": steps,
        "seconds": seconds, "peak_bytes": result["device_peak_bytes"] or peak, "loss": judgement["loss"], "versions": result["versions"],
        "times": result["times"], "seen": result["seen"],
    }  # fmt: skip


def process(
    python: Path, script: str, told: dict[str, Any], options: argparse.Namespace
) -> tuple[dict[str, Any], float, int]:
    """Run one script of `peers/` on one job; returns its result, its wall seconds and the peak memory of all its processes."""
    mark = str(time.time_ns())
    environment = {
        **os.environ, MARK: mark, "OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads),
        "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(HERE.parent),
    }  # fmt: skip
    if options.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    if str(python) != sys.executable:
        del environment["PYTHONPATH"]
    asked = Path(told["result"]).with_name("job.json")
    asked.write_text(json.dumps(told), encoding="utf-8")
    log = asked.with_name("log.txt")
    begun = time.monotonic()
    with log.open("w", encoding="utf-8") as out, Memory(mark) as memory:
        command = [str(python), str(HERE / "peers" / script), str(asked)]
        try:
            done = subprocess.run(
                command, stdout=out, stderr=out, env=environment, timeout=options.timeout, cwd=asked.parent
            )
            seconds = time.monotonic() - begun
        finally:
            stop(mark)
    if done.returncode or not Path(told["result"]).is_file():
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
        say("\n".join(lines[-40:]))
        reason = next((line for line in reversed(lines) if "Error" in line), lines[-1])
        raise subprocess.SubprocessError(f"{script} ended with {done.returncode}: {reason.strip()}")
    result: dict[str, Any] = json.loads(Path(told["result"]).read_text(encoding="utf-8"))
    return result, seconds, memory.peak


def stop(mark: str) -> None:
    """End all processes that carry `mark`: our worker is detached, and after a timeout would disturb the next measurement."""
    while left := [process for process in psutil.process_iter() if carries(process, mark)]:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)


def carries(process: psutil.Process, mark: str) -> bool:
    """Whether a process was given `mark` in its environment; one that has ended or belongs to another user does not."""
    try:
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False


def judged(job: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """What `peers/judge.py` says of a job: its rows rendered, and the validation loss of its adapter or of the bare base."""
    with tempfile.TemporaryDirectory(dir=job["scratch"]) as work:
        told = {**job, "result": f"{work}/result.json"}
        return process(Path(sys.executable), "judge.py", told, options)[0]


def check(result: dict[str, Any], job: dict[str, Any], packed: bool = False) -> None:
    """Raise DifferentError unless the run trained on the given ids and labels, every row once, in the given number of steps."""
    expected = job["judged"]["expected"]
    for name in ("rows", "tokens", "learned", "first", "digest"):
        if result["prepared"][name] != expected[name]:
            raise DifferentError(f"its {name} are {result['prepared'][name]}, not {expected[name]}")
    # Ours counts the tokens of what it took; in the peers' padded batches rows can be seen instead.
    for name in ("rows" if "rows" in result["seen"] else "tokens", "learned"):
        if result["seen"][name] != expected[name]:
            raise DifferentError(f"it computed {result['seen'][name]} {name}, not {expected[name]}")
    steps = len(result["times"]) - 1
    # Packs are filled by length, so a step of one pack has about as many rows as the steps of the others, not just as many.
    if abs(steps - job["steps"]) > (max(1, job["steps"] // 5) if packed else 0):
        raise DifferentError(f"it took {steps} steps, not {job['steps']}")


class Memory:
    """Watches the memory of all processes that carry a mark, until closed; `peak` is the most they held together, in bytes."""

    def __init__(self, mark: str, pause: float = 0.2):
        self.mark = mark
        self.pause = pause
        self.peak = 0
        self._own: dict[int, bool] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(self.pause):
            self.peak = max(self.peak, sum(self._bytes(process) for process in psutil.process_iter()))

    def _bytes(self, process: psutil.Process) -> int:
        try:
            if not self._own.get(process.pid):
                self._own[process.pid] = carries(process, self.mark)
            return int(process.memory_info().rss) if self._own[process.pid] else 0
        except (psutil.Error, OSError):
            return 0


def summarise(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a system and setting, in the order first run: medians over the rounds, speed as a share of our default's."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["system"], run["setting"]), []).append(run)
    table = []
    for (system, setting), group in groups.items():
        good = [run for run in group if "failed" not in run]
        row: dict[str, Any] = {"system": system, "setting": setting, "runs": len(good)}
        if len(good) < len(group):
            row["failed"] = next(run["failed"] for run in group if "failed" in run)
        if good:
            for name in (
                "tokens_per_second",
                "tokens_per_second_whole",
                "mfu",
                "steps",
                "step_seconds",
                "seconds",
                "peak_bytes",
                "loss",
            ):
                row[name] = statistics.median(run[name] for run in good)
            speeds = [run["tokens_per_second"] for run in good]
            losses = [run["loss"] for run in good]
            row |= {"slowest": min(speeds), "fastest": max(speeds), "versions": good[0]["versions"]}
            row |= {"least_loss": min(losses), "most_loss": max(losses)}
        table.append(row)
    ours = next((r for r in table if r["system"] == OURS and r["setting"] == "default" and r["runs"]), None)
    for row in table:
        if ours and row["runs"]:
            row["of_ours"] = row["tokens_per_second"] / ours["tokens_per_second"]
    return table


def times_faster(table: Sequence[dict[str, Any]]) -> list[tuple[str, str, str, float]]:
    """(our setting, peers' setting, fastest peer in it, how many times as fast ours is) for every such combination there is."""
    found = []
    for ours in (r for r in table if r["system"] == OURS and r["runs"]):
        for setting in dict.fromkeys(r["setting"] for r in table):
            peers = [r for r in table if r["system"] != OURS and r["setting"] == setting and r["runs"]]
            if peers:
                fastest = max(peers, key=lambda r: r["tokens_per_second"])
                ratio = ours["tokens_per_second"] / fastest["tokens_per_second"]
                found.append((ours["setting"], setting, fastest["system"], ratio))
    return found


def drawn(table: Sequence[dict[str, Any]]) -> str:
    """The table in Markdown, and below it how many times as fast ours is, versions and failures."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * 2 + " ---: |" * (len(COLUMNS) - 2)]
    notes, versions = [], {}
    for row in table:
        cells = [row["system"], row["setting"]]
        if row["runs"]:
            several = row["runs"] > 1
            spread = f" ({row['slowest']:.0f} to {row['fastest']:.0f})" if several else ""
            losses = f" ({row['least_loss']:.3f} to {row['most_loss']:.3f})" if several else ""
            cells += [
                f"{row['tokens_per_second']:.0f}{spread}", f"{row['of_ours']:.2f}" if "of_ours" in row else "", f"{row['mfu']:.0%}",
                f"{row['tokens_per_second_whole']:.0f}", f"{row['steps']:.0f}", f"{row['step_seconds']:.1f}", f"{row['seconds']:.1f}",
                f"{row['peak_bytes'] / 1e6:.0f}", f"{row['loss']:.4f}{losses}",
            ]  # fmt: skip
            versions[row["system"]] = ", ".join(f"{name} {number}" for name, number in row["versions"].items())
        lines.append("| " + " | ".join(cells + [""] * (len(COLUMNS) - len(cells))) + " |")
        if "failed" in row:
            notes.append(f"{row['system']} {row['setting']} failed: {row['failed']}")
    ratios = [f"ours {a}: {ratio:.2f} times the fastest {b} ({peer})" for a, b, peer, ratio in times_faster(table)]
    found = [f"{system}: {text}" for system, text in versions.items()]
    return "\n".join([*lines, "", *ratios, *(["", *found] if found else []), *(["", *notes] if notes else [])])


def described(job: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, for the JSON report."""
    about = {name: job[name] for name in (*SHARED, "batch_size", "steps")}
    expected = {name: job["judged"]["expected"][name] for name in ("rows", "tokens", "learned", "digest")}
    return {
        **about,
        **expected,
        "device": options.device,
        "threads": options.threads,
        "base": options.base,
        "base_loss": job["judged"]["loss"],
        "product_speed": job["judged"]["product_speed"],
    }


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
