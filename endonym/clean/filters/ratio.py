"""Drop pairs whose sides differ in length far more than the pairs of these languages usually do."""

from __future__ import annotations

import math
import re
import statistics
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator
from itertools import chain
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.types import Drop, Keep, Pair, Record

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation to standard deviation of a normal distribution (Rousseeuw and Croux 1993)."""

_REMARK = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|（[^（）]*）")


class Config(BaseModel):
    """Settings of the length ratio filter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sigmas: float = Field(
        5.0, gt=0, description="Robust standard deviations from the usual ratio at which a pair goes."
    )
    factor: float = Field(4.0, gt=1, description="A pair nearer to the usual ratio than this factor always stays.")
    smoothing: float = Field(
        10.0, ge=0, description="Characters added to both sides, so that short pairs may vary more."
    )
    sample: int = Field(20_000, ge=100, description="Records looked at to find the usual ratio.")


def sift(records: Iterable[Record], cfg: Config) -> Generator[Keep | Drop, None, dict[str, Any]]:
    """Keep what is no pair, and pairs with a usual ratio; usual is learned from the median of the data, per language pair."""
    stream = iter(records)
    head = _take(stream, cfg.sample)
    usual = fit(head, cfg)
    for record in chain(head, stream):
        limits = usual.get((record.source_language, record.target_language)) if isinstance(record, Pair) else None
        if limits is None:
            yield Keep(record)
            continue
        assert isinstance(record, Pair)
        middle, most = limits
        away = log_ratio(record, cfg) - middle
        if abs(away) <= most:
            yield Keep(record)
        else:
            longer = record.target_language if away > 0 else record.source_language
            detail = f"{len(record.source)} and {len(record.target)} characters; {longer} is {math.exp(abs(away)):.1f} times longer than usual"
            yield Drop(record, "ratio.unusual", detail)
    return {
        f"{a}>{b}": {"usual_ratio": round(math.exp(m), 3), "most_times_longer": round(math.exp(w), 2)}
        for (a, b), (m, w) in usual.items()
    }


def fit(records: Iterable[Record], cfg: Config) -> dict[tuple[str, str], tuple[float, float]]:
    """(median log ratio, largest distance from it that stays) per language pair with at least twenty pairs."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for record in records:
        if isinstance(record, Pair):
            values[record.source_language, record.target_language].append(log_ratio(record, cfg))
    usual = {}
    for key, ratios in values.items():
        if len(ratios) >= 20:
            middle = statistics.median(ratios)
            spread = statistics.median(abs(ratio - middle) for ratio in ratios) * MAD_TO_SIGMA
            usual[key] = (middle, max(cfg.sigmas * spread, math.log(cfg.factor)))
    return usual


def log_ratio(pair: Pair, cfg: Config) -> float:
    """Logarithm of target over source length in characters, remarks in brackets left out.

    A dictionary explains a short phrase in brackets at any length; that is no sign of a wrong translation.
    """
    source, target = (_length(text) + cfg.smoothing + 1e-9 for text in (pair.source, pair.target))
    return math.log(target / source)


def _length(text: str) -> int:
    plain = _REMARK.sub("", text)
    # A text that is nothing but a remark is what has to be translated.
    return len(plain) if sum(map(str.isalpha, plain)) > 2 else len(text)


def _take(stream: Iterator[Record], number: int) -> list[Record]:
    return [record for _, record in zip(range(number), stream)]
