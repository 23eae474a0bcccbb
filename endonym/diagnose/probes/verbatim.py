"""Verbatim: the longest spans that the model's own writing shares with its training texts, byte for byte, against held-out texts.

Spans are found with a suffix automaton (`data/verbatim.py`), in all training answers. Any two texts of a language share some;
how much is ordinary is told by held-out texts of the same number and length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.statistics import interval, paired, ratio
from endonym.data.verbatim import Spans
from endonym.diagnose.finding import Finding, Measure, Sign, measured
from endonym.diagnose.subject import TRAIN

if TYPE_CHECKING:
    from endonym.diagnose.subject import Subject


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    span: int = Field(50, ge=8, description="Bytes from which on a shared span counts as copied.")
    copied: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of bytes in copied spans, beyond that of held-out texts, that counts as learning by heart.",
    )


def probe(subject: Subject, cfg: Config) -> Finding:
    """Read all training answers past the samples and as many held-out texts."""
    if len(subject.samples) < 2:
        return Finding("not measured: the model wrote nothing")
    written, held = (list(side) for side in zip(*subject.samples, strict=True))
    spans = Spans([*written, *held])
    for number, chat in enumerate(subject.texts[TRAIN]):
        spans.read([chat.answer])
        if not number % 1000:
            subject.go_on()
    longest, covered = spans.longest(), spans.covered(cfg.span)
    sizes = [len(text.encode()) for text in [*written, *held]]
    tables = np.split(np.column_stack([covered, sizes]).astype(np.float64), 2)
    half = len(written)
    measures = []
    for name, table, own in (("samples", tables[0], longest[:half]), ("held-out texts", tables[1], longest[half:])):
        signature = f"verbatim|bytes:utf-8|span:{cfg.span}|v:1"
        measures.append(measured(f"copied, {name}", interval(table, ratio), half, signature))
        measures.append(
            Measure(f"longest copied span of {name}, bytes", float(max(map(len, own))), None, None, half, signature)
        )
    more = paired(tables[0], tables[1], ratio)
    best = max(longest[:half], key=len)
    text = (
        f"the longest span the samples share with training texts has {len(best)} bytes, that of held-out texts "
        f"{max(map(len, longest[half:]))}; {measures[0].value:.1%} of what the model writes lies in such spans of {cfg.span} bytes "
        f"and more, of held-out texts {measures[2].value:.1%}"
    )
    signs = [Sign("memorising", text)] if more.low > cfg.copied else []
    return Finding(text, measures, signs, {"longest": best.decode(errors="ignore")})
