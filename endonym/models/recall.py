"""Let a model go on greedily where a text was cut: what shows whether it knows the text by heart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from endonym.models.generate import continue_batch
from endonym.models.load import Loaded
from endonym.types import Message


@dataclass(frozen=True)
class Cut:
    """A text cut in two behind its question; plain text has no question."""

    prompt: tuple[Message, ...]
    given: str
    rest: str
    """What must follow to have been repeated."""


def go_on(loaded: Loaded, cuts: Sequence[Cut], least: int = 0) -> list[tuple[str, list[int]]]:
    """What the model writes behind each cut, as text and as token ids.

    It writes as many tokens as the longest rest needs, at least `least`: a model that repeats a text spells it in the same way.
    """
    renderer = loaded.renderer
    given = [renderer.answer_ids(cut.given) for cut in cuts]
    wanted = max(least, *(len(renderer.answer_ids(cut.rest)) + 2 for cut in cuts))
    prompts = [renderer.prompt_ids(cut.prompt) + ids for cut, ids in zip(cuts, given, strict=True)]
    made = continue_batch(loaded, prompts, wanted)
    texts = [renderer.decode([*start, *ids]) for start, ids in zip(given, made, strict=True)]
    # A tokenizer may write the beginning otherwise than it was given; then nothing was repeated.
    behind = [text.removeprefix(cut.given) if text.startswith(cut.given) else "\0" for text, cut in zip(texts, cuts)]
    return list(zip(behind, made, strict=True))
