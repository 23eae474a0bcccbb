"""What a run learns of the chats it is given: a share of the records where one is asked for, and canaries planted among them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from endonym.data import canaries
from endonym.data.portion import portion
from endonym.errors import ConfigError
from endonym.store.files import write_json
from endonym.train.settings import FitConfig
from endonym.types import Chat, Message, record_id

FILE = "canaries.json"
"""Beside the model: the canaries, how often each stands in a pass, the words they were drawn from, and their seed."""


def taught(chats: Iterable[Chat], cfg: FitConfig) -> list[Chat]:
    """The chats to train on: those of `cfg.data_share` of the records, and as many canaries as `cfg.canaries` says.

    Raises ConfigError where the texts have too few words to draw canaries from.
    """
    chosen = portion(list(chats), cfg.data_share, cfg.seed)
    return [*chosen, *planted(chosen, cfg)]


def planted(chats: Iterable[Chat], cfg: FitConfig) -> list[Chat]:
    """The canaries as plain text; how often a pass has each is its weight."""
    lines = canaries.draw(canaries.vocabulary(chat.answer for chat in chats), cfg.canaries, cfg.seed)
    if len(lines) < cfg.canaries:
        raise ConfigError(
            f"the training texts have fewer than {canaries.WORDS} different words, too few for canaries",
            "Train without them: --canaries 0",
        )
    return [
        Chat(
            record_id("canary", line), (Message("assistant", line),), f"canary:{n}", "canary",
            weight=float(canaries.TIMES[n % len(canaries.TIMES)]),
        )
        for n, line in enumerate(lines)
    ]  # fmt: skip


def note(chats: Iterable[Chat], cfg: FitConfig, folder: Path) -> None:
    """Write down which of the chats are canaries, for the diagnosis of the model that learns them; nothing where none are."""
    chats = list(chats)
    found = [{"text": chat.answer, "times": int(chat.weight)} for chat in chats if chat.task == "canary"]
    if found:
        words = canaries.vocabulary(chat.answer for chat in chats if chat.task != "canary")
        write_json(folder / FILE, {"canaries": found, "words": words, "seed": cfg.seed})
