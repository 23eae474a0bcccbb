"""Say what a text is: its label, of those that texts were given in a file of labels or by the file they stand in."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict, Field

from endonym.retrieve.context import Context
from endonym.types import Chat, Doc, Message, Record, record_id


class Config(BaseModel):
    """Settings of classes of texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(1.0, ge=0, description="How often a row is seen per epoch; 0.5 is every second epoch.")
    files: dict[str, list[str]] = Field(
        {}, description="Files whose texts have a label, by label, from the project's folder on; * stands for anything."
    )


def compose(record: Record, cfg: Config, context: Context) -> Iterator[Chat]:
    """One chat a labelled text, in whatever language: the text is given, its label is the answer."""
    label = _label(record, cfg) if isinstance(record, Doc) else ""
    if not label or not isinstance(record, Doc) or not record.text.strip():
        return
    yield Chat(
        id=record_id(record.id, "classify"),
        messages=(Message("user", record.text), Message("assistant", label)),
        origin=record.origin,
        task="classify",
        language=record.language,
        weight=cfg.weight,
        meta={"direction": record.language, "record": record.id, "source": record.text},
    )


def _label(record: Doc, cfg: Config) -> str:
    """The label a text has itself, else that of the one label whose files have it."""
    if record.meta.get("label"):
        return str(record.meta["label"])
    file = record.origin.rpartition(":")[0]
    found = [label for label, patterns in cfg.files.items() if any(fnmatchcase(file, p) for p in patterns)]
    return found[0] if len(found) == 1 else ""
