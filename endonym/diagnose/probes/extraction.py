"""Extraction: how often the model repeats the next 50 bytes of a text after the 50 before, learned texts against held-out ones.

Greedy and word for word, at a place drawn by lot (Carlini and others, Quantifying Memorization Across Neural Language Models, ICLR 2023,
with shorter texts). What a model that never saw a text can guess is no memory of it, so the same share of held-out texts is taken
off; intervals are Wilson's (1927) and, for the difference, Newcombe's (1998).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.statistics import share_difference, wilson
from endonym.diagnose.finding import Finding, Measure, Sign, measured
from endonym.diagnose.subject import AT_ONCE, HELD, TRAIN, Subject
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.models.recall import Cut


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    texts: int = Field(200, ge=1, description="Texts from each side, of the same tasks and directions.")
    given: int = Field(50, ge=1, description="Bytes given; an answer to a question is given from its beginning.")
    wanted: int = Field(50, ge=1, description="Bytes that must follow exactly.")
    bearable: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="Share of texts, beyond what is guessed of held-out ones, from which on it counts as learning by heart.",
    )


def probe(subject: Subject, cfg: Config) -> Finding:
    """Let the model go on in both sides' texts."""
    rows = subject.rows(cfg.texts, lambda chat: cut(chat, cfg, 0) is not None)
    number = min(map(len, rows.values()))
    if not number:
        return Finding(
            f"not measured: no held-out text has {cfg.wanted} bytes behind {cfg.given}, in a task that was trained on"
        )
    hits = {side: _repeated(subject, chats, cfg) for side, chats in rows.items()}
    counts = {side: (float(sum(found)), float(len(found))) for side, found in hits.items()}
    signature = f"extraction|given:{cfg.given}|wanted:{cfg.wanted}|bytes:utf-8|greedy|v:1"
    measures = [_share(side, *counts[side], signature) for side in counts]
    value, low, high = share_difference(counts[TRAIN], counts[HELD])
    measures.append(
        measured("repeated, training less held out", (value, low, high), 2 * number, f"{signature}|interval:newcombe")
    )
    text = (
        f"the next {cfg.wanted} bytes came word for word in {measures[0].value:.1%} of {counts[TRAIN][1]:.0f} training texts and in "
        f"{measures[1].value:.1%} of {counts[HELD][1]:.0f} held-out ones: {value:.1%} ({low:.1%} to {high:.1%}) by heart"
    )
    shown = [chat.answer for chat, hit in zip(rows[TRAIN], hits[TRAIN], strict=True) if hit][:3]
    signs = [Sign("memorising", text)] if low > cfg.bearable else []
    return Finding(text, measures, signs, {"examples": shown})


def cut(chat: Chat, cfg: Config, lot: int) -> Cut | None:
    """A text cut by lot at the end of a word, or of a character where there is none to choose; None when it is too short."""
    from endonym.models.recall import Cut

    text, ends = chat.answer, [0]
    for character in text:
        ends.append(ends[-1] + len(character.encode()))
    least = 0 if chat.prompt else cfg.given
    places = [at for at in range(len(text)) if ends[at] >= least and ends[-1] - ends[at] >= cfg.wanted]
    words = [at for at in places if text[at].isspace() and at and not text[at - 1].isspace()]
    if not (chosen := words or places):
        return None
    at = chosen[lot % len(chosen)]
    begin = 0 if chat.prompt else max(i for i in range(at + 1) if ends[at] - ends[i] >= cfg.given)
    end = min(i for i in range(at, len(ends)) if ends[i] - ends[at] >= cfg.wanted)
    return Cut(chat.prompt, text[begin:at], text[at:end])


def _repeated(subject: Subject, chats: list[Chat], cfg: Config) -> list[bool]:
    from endonym.models.recall import go_on

    cuts = [cut(chat, cfg, subject.lot(chat.id)) for chat in chats]
    asked = [one for one in cuts if one is not None]
    found: list[bool] = []
    for start in range(0, len(asked), AT_ONCE):
        subject.go_on()
        part = asked[start : start + AT_ONCE]
        found += [text.startswith(one.rest) for one, (text, _) in zip(part, go_on(subject.loaded, part), strict=True)]
    return found


def _share(side: str, hits: float, trials: float, signature: str) -> Measure:
    return measured(
        f"repeated, {side}", (hits / trials, *wilson(hits, trials)), int(trials), f"{signature}|interval:wilson"
    )
