"""What turns a record into a prompt: tasks with their settings, prompt texts, language names, hints.

Saved beside the chats as `compose.json` and `index/`, and opened from there by evaluation, chat and serving, so that all of
them ask exactly as training did.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from endonym import plugins
from endonym.config import read_toml
from endonym.data import languages
from endonym.errors import MissingError, UsageError, did_you_mean
from endonym.retrieve.hints import Hinter, Hints, Kind
from endonym.retrieve.indexes.memory import groups_of
from endonym.store.files import write_json
from endonym.types import Chat, Pair, Record, record_id


@dataclass
class Context:
    """Handed to a task's `compose(record, cfg, context)`."""

    folder: Path
    language: str
    pivot: str
    tasks: Mapping[str, tuple[ModuleType, Any]]
    prompts: Mapping[str, Mapping[str, str]]
    """Prompt texts by task, as in the task's TOML file."""
    training: bool = False
    """True only while training rows are made: then a share of them goes without hints."""
    without_hints: bool = False
    """True to ask the same questions without any hint."""

    @classmethod
    def load(cls, folder: Path, project: Path | None = None) -> Context:
        """Open the context saved in a `chats` artifact. Raises MissingError when there is none."""
        path = folder / "compose.json"
        if not path.is_file():
            raise MissingError(f"{folder} holds no compose.json", "Make it with: endonym compose")
        data = json.loads(path.read_text(encoding="utf-8"))
        tasks, prompts = {}, {}
        for name, settings in data["tasks"].items():
            module = plugins.load("task", name, project)
            tasks[name] = (module, module.Config(**settings))
            # A text that was not there when the chats were made is taken as it is shipped now.
            prompts[name] = {**shipped_prompts(module), **data["prompts"].get(name, {})}
        return cls(folder, data["language"], data["pivot"], tasks, prompts)

    def save(self) -> None:
        """Write `compose.json`."""
        tasks = {name: cfg.model_dump(mode="json") for name, (_, cfg) in self.tasks.items()}
        data = {"language": self.language, "pivot": self.pivot, "tasks": tasks, "prompts": self.prompts}
        write_json(self.folder / "compose.json", data)

    @cached_property
    def hinter(self) -> Hinter:
        return Hinter(self.folder / "index")

    def compose(self, record: Record, task: str) -> Iterator[Chat]:
        """The chats `task` makes of `record`."""
        module, cfg = self._task(task)
        yield from module.compose(record, cfg, self)

    def chat_for(self, task: str, text: str, direction: str) -> Chat:
        """A prompt without an answer: `text` put to `task` in `direction` (`spa>tzh`)."""
        source, _, target = direction.partition(">")
        if {source, target} != {self.language, self.pivot}:
            known = f"{self.pivot}>{self.language} and {self.language}>{self.pivot}"
            raise UsageError(f"this model does not go from '{source}' to '{target}'", f"It knows {known}.")
        record = Pair(record_id(task, direction, text), text, "", source, target, "asked")
        for chat in self.compose(record, task):
            if chat.meta.get("direction") == direction:
                return chat
        raise UsageError(f"the task '{task}' cannot ask about a text", "Use: translate")

    def prompt(self, task: str, name: str, **values: str) -> str:
        """One prompt text of `task` with its `{names}` filled in; values are inserted as they are."""
        text = self.prompts[task][name]
        for key, value in values.items():
            text = text.replace("{" + key + "}", value)
        return text

    def name(self, code: str) -> str:
        """Name of a language in English, the language of the shipped prompts."""
        return languages.name(code, "eng")

    def hints(
        self, record: Pair, source_language: str, target_language: str, kind: Kind, share_without: float, **numbers: Any
    ) -> Hints:
        """Hints for a pair in one direction; none of them comes from the pair itself or its headwords."""
        if kind == "none" or self.without_hints:
            return Hints()
        if self.training:
            draw = zlib.crc32(f"{record.id}:{source_language}".encode()) / 2**32
            if draw < share_without:
                return Hints()
        text = record.text(source_language)
        return self.hinter.hints(text, source_language, target_language, kind, exclude=groups_of(record), **numbers)

    def _task(self, name: str) -> tuple[ModuleType, Any]:
        if name not in self.tasks:
            raise UsageError(f"these chats were made without the task '{name}'", did_you_mean(name, self.tasks))
        return self.tasks[name]


def draft_of(chat: Chat) -> list[str]:
    """The draft that a chat's prompt shows, alone in a list; an empty list when it shows none."""
    return [str(chat.meta["draft"])] if chat.meta.get("draft") else []


def read_prompts(task: str, module: ModuleType, project: Path) -> dict[str, str]:
    """Prompt texts of a task: the project's `prompts/<task>.toml` when there is one, else the file beside the plugin."""
    own = project / "prompts" / f"{task}.toml"
    texts = shipped_prompts(module)
    if own.is_file():
        for name, text in read_toml(own).items():
            if texts and name not in texts:
                raise UsageError(f"{own} has an unknown prompt '{name}'", did_you_mean(name, texts))
            texts[name] = str(text)
    return texts


def shipped_prompts(module: ModuleType) -> dict[str, str]:
    """Prompt texts in the TOML file beside a task's module; empty when it has none."""
    file = Path(str(module.__file__)).with_suffix(".toml")
    return {name: str(text) for name, text in read_toml(file).items()} if file.is_file() else {}
