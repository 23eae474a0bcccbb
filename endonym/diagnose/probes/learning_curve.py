"""Learning curve: what twice the text brought, from runs on a quarter, half and all of it, and how much more would still help.

Takes the finished runs of the project that differ from this one in `--data-share` alone; with `train` those that are missing are trained
first, as jobs of their own. Loss falls as a power of the amount of text towards a floor (Hestness and others, Deep Learning Scaling is
Predictable, Empirically, 2017; Rosenfeld and others, ICLR 2020): L(n) = floor + a n^-b, so that each doubling gains a fixed share of the one
before. The intervals are over held-out texts (paired bootstrap); another seed of training may tell another story.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.statistics import Floats, interval, paired, ratio
from endonym.diagnose.finding import Finding, Sign, measured
from endonym.diagnose.subject import HELD
from endonym.errors import JobError
from endonym.jobs.submit import submit, wait_for
from endonym.store import jobs as rows

if TYPE_CHECKING:
    from endonym.diagnose.subject import Subject

SHARES = (1.0, 0.5, 0.25)
"""Parts of this run's text, itself first."""


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    texts: int = Field(256, ge=2, description="Held-out texts that the runs are measured on.")
    train: bool = Field(False, description="Train the runs on a quarter and half of the text where they are missing.")
    worth: float = Field(
        0.02, gt=0, lt=1, description="Share of the bits per byte that a doubling must gain to be worth asking for."
    )


def before(subject: Subject, cfg: Config) -> None:
    """Train the missing runs as jobs of this one, if that is asked for. Raises Stopped when the user asked to stop."""
    for share in SHARES[1:] if cfg.train else ():
        if _like(subject, share) is not None:
            continue
        project = subject.job.project
        own = rows.get(project.db, project.job(subject.folder.parent.name))
        settings = {**subject.settings, "data_share": share * _share_of(subject.settings)}
        subject.job.log(f"training on {share:.0%} of the text")
        child = submit(project, "train", own.plugin, settings, inputs=own.inputs, parent=subject.job.id)
        try:
            wait_for(project, child.id) if child.state != "succeeded" else None
        except JobError:
            if subject.job.cancelled() or rows.get(project.db, child.id).state == "paused":
                subject.job.stop()
            subject.go_on()
            raise


def probe(subject: Subject, cfg: Config) -> Finding:
    """Measure this run and its like on less text, on the same held-out texts."""
    runs = {share: run for share in SHARES if (run := _like(subject, share)) is not None}
    if len(runs) < len(SHARES):
        missing = " and ".join(f"{share * _share_of(subject.settings):g}" for share in SHARES if share not in runs)
        told = "not measured: no run with the same settings and --data-share"
        return Finding(f"{told} {missing}; train them with --learning-curve.train")
    held = subject.rows(cfg.texts)[HELD]
    whole, half, quarter = (_bits(subject, runs[share], held) for share in SHARES)
    signature = "bits_per_byte|bytes:utf-8|agg:micro|bs:1000|v:1"
    points = [
        measured(f"bits/byte, held out, {share:.0%} of the text", interval(table, ratio), len(held), signature)
        for share, table in zip(SHARES, (whole, half, quarter), strict=True)
    ]
    first, last = paired(quarter, half, ratio), paired(half, whole, ratio)
    gains = [
        measured(name, (gain.value, gain.low, gain.high), len(held), f"{signature}|paired")
        for name, gain in (("gain from 25 % to 50 %", first), ("gain from 50 % to 100 %", last))
    ]
    more = asked(first.value, last.value, points[0].value, cfg.worth)
    text = f"twice the text brought {first.value:.3f}, then {last.value:.3f} bits per byte ({last.low:.3f} to {last.high:.3f})"
    if last.low <= cfg.worth * points[0].value:
        told = "another doubling is not sure to be worth it"
    elif more is None:
        told = "the gain does not become smaller, so no end can be foretold: at least 4 times as much text would help"
    else:
        told = f"the curve asks for {more:.0f} times as much text until a doubling gains less than {cfg.worth:.0%}"
    if subject.about.get("best_step") and subject.about["best_step"] == subject.about.get("steps"):
        told += "; the run ended while it was still learning, and may not have used the text it has"
    signs = [Sign("too little", f"{text}; {told}")] if last.low > cfg.worth * points[0].value else []
    return Finding(f"{text}; {told}", [*points, *gains], signs, {"times_as_much": more})


def asked(first: float, last: float, now: float, worth: float) -> float | None:
    """How many times as much text it takes until a doubling gains less than `worth` of the bits per byte; None where no end is in sight.

    Gains are those of two doublings in a row. Each further one gains `last / first` of the one before.
    """
    if last <= 0:
        return 1.0
    shrinks = last / first if first > 0 else 1.0
    if shrinks >= 1:
        return None
    doublings, gain = 0, last * shrinks
    while gain >= worth * now:
        doublings, now, gain = doublings + 1, now - gain, gain * shrinks
    return float(2**doublings)


def _share_of(settings: dict[str, Any]) -> float:
    return float(settings.get("data_share", 1))


def _like(subject: Subject, share: float) -> Path | None:
    """The newest model of this run's settings, base and chats on `share` of its text; itself for all of it."""
    if share == 1:
        return subject.folder
    wanted = {**subject.settings, "data_share": share * _share_of(subject.settings)}
    own = subject.job.project.ancestry(subject.folder)["chats"]
    for path in sorted(subject.job.project.runs.glob("*/output/model.json"), reverse=True):
        about = json.loads(path.read_text(encoding="utf-8"))
        settings = about.get("settings", {})
        same = all(about.get(name) == subject.about[name] for name in ("recipe", "base_hash"))
        same = same and math.isclose(_share_of(settings), wanted["data_share"])
        # A setting that one of them does not name came with a later version, in which it was left as it was.
        same = same and all(settings.get(k, v) == v for k, v in wanted.items() if k != "data_share")
        if same and subject.job.project.ancestry(path.parent).get("chats") == own:
            return path.parent
    return None


def _bits(subject: Subject, run: Path, held: list[Any]) -> Floats:
    from endonym.models.load import load_artifact

    return subject.bits(held, None if run == subject.folder else load_artifact(run))
