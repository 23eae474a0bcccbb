"""Gap: bits per byte on texts it learned from against held-out ones, and where in the run the held-out ones were foreseen best.

A network that has learned the language foresees both about as well; one that has learned its texts foresees those much better. Bits
are summed over answers and divided by their UTF-8 bytes, so that subword and byte models compare. The yardstick is what the held-out
texts cost a coder that knows nothing but how often each byte stands in the training texts (with one added to every count).
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.statistics import Floats, interval, ratio, unpaired
from endonym.diagnose.finding import Finding, Measure, Sign, measured
from endonym.diagnose.subject import HELD, TRAIN

if TYPE_CHECKING:
    from endonym.diagnose.subject import Subject


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    texts: int = Field(128, ge=2, description="Texts from each side, of the same tasks and directions.")
    wide: float = Field(
        0.15,
        gt=0,
        lt=1,
        description="Share by which training texts may be foreseen better before data counts as too little.",
    )
    memorised: float = Field(0.5, gt=0, lt=1, description="Share from which on it counts as learning by heart.")


def probe(subject: Subject, cfg: Config) -> Finding:
    """Measure both sides; the gap is told as a share of the held-out bits."""
    rows = subject.rows(cfg.texts)
    if min(map(len, rows.values())) < 2:
        return Finding("not measured: no two held-out texts are of a sort that was trained on")
    bits = {side: subject.bits(chats) for side, chats in rows.items()}
    signature = "bits_per_byte|bytes:utf-8|agg:micro|bs:1000|v:1"
    measures = [
        measured(f"bits/byte, {side}", interval(bits[side], ratio), len(bits[side]), signature) for side in bits
    ]
    size = len(bits[TRAIN]) + len(bits[HELD])
    gap = unpaired(bits[HELD], bits[TRAIN], ratio)
    share = unpaired(bits[HELD], bits[TRAIN], ratio, _share)
    blind = _by_counting(subject, [chat.answer for chat in rows[HELD]])
    measures += [
        measured("bits/byte, gap", gap, size, signature),
        measured("gap as a share of the held-out bits", share, size, signature),
        Measure("bits/byte, held out, by counting bytes", blind, None, None, len(bits[HELD]), "order-0|add:1|v:1"),
    ]
    known, held = measures[0].value, measures[1]
    text = (
        f"{known:.3f} bits per byte on training texts, {held.value:.3f} on held-out ones: a gap of {gap[0]:.3f} "
        f"({gap[1]:.3f} to {gap[2]:.3f}), {share[0]:.0%} of them"
    )
    path = _path(subject)
    about = {"path": path, "by_counting_bytes": blind}
    return Finding(f"{text}{_told(path)}", measures, _signs(share, held, blind, cfg), about)


def _share(held: Floats, known: Floats) -> Floats:
    return 1 - known / held


def _signs(share: tuple[float, float, float], held: Measure, blind: float, cfg: Config) -> list[Sign]:
    why = f"texts it learned from cost {share[0]:.0%} ({share[1]:.0%} to {share[2]:.0%}) fewer bits than held-out ones"
    assert held.high is not None
    if share[1] > cfg.memorised:
        return [Sign("memorising", why)]
    if held.high >= blind:
        return [
            Sign(
                "too little",
                f"it foresees held-out text no better than counting bytes does ({blind:.2f} bits per byte)",
            )
        ]
    if share[1] > cfg.wide:
        return [Sign("too little", why)]
    return [
        Sign(
            "learning", f"{why}, and those cost {held.value:.2f} bits per byte instead of {blind:.2f} by counting bytes"
        )
    ]


def _by_counting(subject: Subject, texts: list[str]) -> float:
    """Bits per byte of texts by how often each byte stands in the training texts."""
    counts = np.ones(256)
    for chat in subject.texts[TRAIN]:
        counts += np.bincount(np.frombuffer(chat.answer.encode(), np.uint8), minlength=256)
    held = np.bincount(np.frombuffer("".join(texts).encode(), np.uint8), minlength=256)
    return float(-(held * np.log2(counts / counts.sum())).sum() / held.sum())


def _path(subject: Subject) -> dict[str, float]:
    """The validation loss of the run, in bits per byte: where it was lowest and where it ended; empty where it was not kept."""
    file = subject.folder / "curve.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    points = [(int(row["step"]), float(row["value"])) for row in map(json.loads, lines) if row["name"] == "valid_loss"]
    per_token = subject.bytes_per_token("valid_loss")
    if not points or not per_token:
        return {}
    scale = 1 / math.log(2) / per_token
    best, last = min(points, key=lambda point: point[1]), points[-1]
    return {"best_step": best[0], "best": best[1] * scale, "last_step": last[0], "last": last[1] * scale}


def _told(path: dict[str, float]) -> str:
    if not path or path["best_step"] == path["last_step"]:
        return ""
    return (
        f"; in training, held-out text was foreseen best at step {path['best_step']:.0f} of {path['last_step']:.0f} "
        f"({path['best']:.3f}, at the end {path['last']:.3f}), and those weights are kept"
    )
