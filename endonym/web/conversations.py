"""Conversations with models: a file of lines each in the project, so that a page shows the same again after a reload."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endonym.errors import UsageError
from endonym.project import STATE_FOLDER
from endonym.web.errors import NotFoundError, TooLargeError

FOLDER = "conversations"
"""In the state folder."""
MOST_BYTES = 4 << 20
"""Of one conversation from which it takes no more questions."""
MOST_KEPT = 1000
"""Conversations of a project; beyond that, the one that was silent longest makes room."""
STATES = ".safetensors"
MOST_STATES = 32
"""Files of a project with what models over bytes have read of conversations; beyond that, the oldest makes room, and is read again."""
PATTERN = "^[0-9a-f]{32}$"
"""Of an id."""


@dataclass(frozen=True)
class Conversation:
    """Lines of what was asked (`asked`) and of what each system answered to it (`answered`), as they came."""

    path: Path

    @classmethod
    def begin(cls, project: Path) -> Conversation:
        """A new one, with an id that cannot be guessed."""
        folder = project / STATE_FOLDER / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        there = sorted(_own(folder).glob("*.jsonl"), key=lambda path: path.lstat().st_mtime)
        for path in there[: max(0, len(there) + 1 - MOST_KEPT)]:
            for one in (path, *folder.glob(f"{path.stem}.*{STATES}")):
                one.unlink(missing_ok=True)
        found = cls(folder / f"{secrets.token_hex(16)}.jsonl")
        found._write("", os.O_CREAT | os.O_EXCL)
        return found

    @classmethod
    def of(cls, project: Path, ident: str) -> Conversation:
        """The one of this id (of PATTERN). Raises NotFoundError."""
        path = _own(project / STATE_FOLDER / FOLDER) / f"{ident}.jsonl"
        if path.is_symlink() or not path.is_file():
            raise NotFoundError(
                "there is no conversation of this id", "Begin one: POST /api/v1/projects/ID/conversations"
            )
        return cls(path)

    @property
    def id(self) -> str:
        return self.path.stem

    def ask(self, asked: Mapping[str, Any]) -> str:
        """Write down what is asked and give back the turn's id. Raises TooLargeError for a conversation that is full."""
        if self.path.stat().st_size > MOST_BYTES:
            raise TooLargeError("this conversation is as long as one can be", "Begin a new one.")
        states = sorted(_own(self.path.parent).glob(f"*{STATES}"), key=lambda path: path.lstat().st_mtime)
        for one in states[: max(0, len(states) - MOST_STATES)]:
            one.unlink(missing_ok=True)
        turn = secrets.token_hex(8)
        self._line({"event": "asked", "turn": turn, **asked, "time": time.time()})
        return turn

    def answer(self, turn: str, system: str, said: Mapping[str, Any]) -> None:
        """Write down what a system answered."""
        self._line({"event": "answered", "turn": turn, "system": system, "said": said})

    def turns(self) -> list[dict[str, Any]]:
        """What was asked, in order, each with `answers` by system; lines that are broken are passed over."""
        found: dict[str, dict[str, Any]] = {}
        for line in self.path.read_text(encoding="utf-8").split("\n"):
            try:
                one = json.loads(line)
                if one["event"] == "asked":
                    found[one["turn"]] = {name: one[name] for name in one if name != "event"} | {"answers": {}}
                else:
                    found[one["turn"]]["answers"][one["system"]] = one["said"]
            except (ValueError, KeyError, TypeError):
                continue
        return list(found.values())

    def _line(self, data: Mapping[str, Any]) -> None:
        self._write(json.dumps(data, ensure_ascii=False) + "\n")

    def _write(self, text: str, more: int = 0) -> None:
        # Without O_CREAT, so that a conversation that was deleted meanwhile stays so; never through a link.
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | more, 0o600), "ab") as file:
            file.write(text.encode())


def _own(folder: Path) -> Path:
    """The folder. Raises UsageError where it leads elsewhere."""
    if folder.is_symlink():
        raise UsageError(f"'{folder.name}' is no folder of its own here", "Remove the link.")
    return folder
