"""Watch several long curves grow in a browser: frames a second, the longest frame, how soon a page stands, and how much is sent.

    python benchmarks/studio.py [--jobs 4] [--points 10000] [--rate 50] [--seconds 10] [--browser /usr/bin/chromium] [--json]

A project in a temporary folder has jobs that have written that many points each. `endonym studio` serves it as it does for anybody, and a
browser (Playwright, no GPU) opens the first page and then the page of all jobs, whose curves follow while this program writes
`--rate` more points a second to each job. Frames are counted by the page itself, first at rest, then while points come.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import endonym.web
from endonym.project import Project
from endonym.store import events, jobs
from endonym.store.db import transaction
from endonym.store.process import identity

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FRAMES = """seconds => new Promise(done => {
  const times = [], begin = performance.now();
  // The time that a frame is given as its own is rounded to the screen's rhythm; the clock tells when it came.
  const frame = () => { times.push(performance.now()); times.at(-1) - begin < seconds * 1000 ? requestAnimationFrame(frame) : done(times); };
  requestAnimationFrame(frame);
})"""
SENT = """() => performance.getEntriesByType("resource").filter(one => new URL(one.name).pathname.endsWith(".js"))
  .reduce((sum, one) => sum + one.encodedBodySize, 0)"""
WEB = Path(endonym.web.__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was measured; the exit code is 1 when a page complained or no new point was drawn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--points", type=int, default=10_000, help="Points of each curve before it grows.")
    parser.add_argument("--rate", type=float, default=50.0, help="New points a second and job.")
    parser.add_argument("--seconds", type=float, default=10.0, help="How long frames are counted.")
    parser.add_argument(
        "--browser", default=shutil.which("chromium") or "", help="A Chromium; empty takes Playwright's own."
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="studio-") as scratch:
        project = prepare(Path(scratch) / "curves", options.jobs, options.points)
        with subprocess.Popen(
            [sys.executable, "-m", "endonym", "studio", scratch, "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            try:
                assert server.stdout is not None
                entrance = json.loads("".join(iter(server.stdout.readline, "}\n")) + "}")["url"]
                report = watch(project, entrance, options)
            finally:
                server.terminate()
    told = json.dumps(report) if options.json else "\n".join(f"{k.replace('_', ' ')}: {v}" for k, v in report.items())
    print(told)
    return int(bool(report["troubles"]) or not report["points_drawn"])


def prepare(folder: Path, num_jobs: int, points: int) -> Project:
    """A project with training jobs at work, by this process, whose losses have so many points each."""
    project, lot = Project.create(folder, language="tzh"), random.Random(1)
    for number in range(num_jobs):
        row = jobs.find_or_create(project.db, "train", "lora", f"curve {number}", {"stage": {}, "plugins": {}}, {})
        jobs.claim(project.db, row.id, identity())
        with transaction(project.db):
            for step in range(1, points + 1):
                value = 2 + 4 * math.exp(-step / 2500) + 0.3 * lot.random() + 0.2 * number
                told = {"name": "loss", "step": step, "value": value}
                events.append(project.db, project.runs / row.folder, row.id, "metric", told)
    return project


def watch(project: Project, entrance: str, options: argparse.Namespace) -> dict[str, Any]:
    """Open the pages and count."""
    from playwright.sync_api import sync_playwright

    base, troubles, load = entrance.partition("/enter")[0], [], os.getloadavg()[0]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.browser or None, args=FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.on("pageerror", lambda error: troubles.append(str(error)))
        _enter(page, entrance)
        first = _stands(page, base, "html[data-ready]")
        curves = _stands(page, f"{base}/p/{project.path.name}/jobs?metric=loss", ".uplot canvas")
        sent = page.evaluate(SENT)
        rest = _counted(page.evaluate(FRAMES, options.seconds))
        before = page.evaluate(DRAWN)
        ended, written = threading.Event(), [0]
        writer = threading.Thread(target=_grow, args=(project.path, options.rate, ended, written))
        writer.start()
        growing = _counted(page.evaluate(FRAMES, options.seconds))
        ended.set()
        writer.join()
        drawn = page.evaluate(DRAWN) != before
        version = browser.version
        browser.close()
    own = [path for part in ("static", "strings", "pages") for path in (WEB / part).rglob("*") if path.is_file()]
    return {
        "jobs": options.jobs, "points": options.points, "points_written": written[0], "points_drawn": drawn,
        "first_page_seconds": first, "curves_seconds": curves, "at_rest": rest, "growing": growing,
        "script_sent_bytes": sent, "script_gzip_bytes": sum(len(gzip.compress(p.read_bytes())) for p in own if p.suffix == ".js"),
        "interface_bytes": sum(path.stat().st_size for path in own), "browser": f"Chromium {version}",
        "load": round(load, 1), "cores": os.cpu_count(), "troubles": troubles,
    }  # fmt: skip


DRAWN = "() => document.querySelector('.uplot canvas').toDataURL().length"


def _enter(page: Any, entrance: str) -> None:
    """Go in by the address that opens once, when the server answers."""
    for _ in range(100):
        try:
            page.goto(entrance)
            return
        except Exception:  # it has not begun to listen
            time.sleep(0.1)
    raise SystemExit("the studio does not answer")


def _stands(page: Any, address: str, mark: str) -> float:
    """Seconds until a page shows `mark`, in a browser that has nothing of it but the cookie."""
    began = time.monotonic()
    page.goto(address)
    page.wait_for_selector(mark)
    return round(time.monotonic() - began, 2)


def _counted(times: list[float]) -> dict[str, float]:
    """Frames a second, and the longest and the 95th-percentile frame in milliseconds."""
    gaps = sorted(b - a for a, b in itertools.pairwise(times))
    return {
        "frames_per_second": round(1000 * len(gaps) / (times[-1] - times[0]), 1),
        "longest_milliseconds": round(gaps[-1], 1), "p95_milliseconds": round(gaps[int(0.95 * (len(gaps) - 1))], 1),
    }  # fmt: skip


def _grow(path: Path, rate: float, ended: threading.Event, written: list[int]) -> None:
    """Write points to every job, as a worker does, until it is over."""
    project = Project(path)
    rows = jobs.listing(project.db)
    step = max(events.curve(project.db, rows[0].id, "loss"))[0]
    while not ended.wait(1 / rate):
        step += 1
        for row in rows:
            told = {"name": "loss", "step": step, "value": 2 + random.random()}
            events.append(project.db, project.runs / row.folder, row.id, "metric", told)
            written[0] += 1
            if step % 50 == 0:
                jobs.renew(project.db, row.id)


if __name__ == "__main__":
    sys.exit(main())
