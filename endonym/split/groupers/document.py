"""Keep all paragraphs and sentence pairs of one document together: sentences of one text are far more alike than two texts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from endonym.types import Record


class Config(BaseModel):
    """Settings of grouping by document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    block: int = Field(0, ge=0, description="Paragraphs of a document that stay together; 0 keeps the whole document.")


def group(record: Record, cfg: Config) -> str | None:
    """Name of the document, the same for its translations; with its block when documents are cut."""
    name = record.meta.get("parallel") or record.meta.get("document")
    if not name:
        return None
    return f"{name}\0{int(record.meta.get('part', 0)) // cfg.block}" if cfg.block else str(name)
