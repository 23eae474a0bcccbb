"""Count personal data (e-mail, telephone, card, account and identity numbers) and mark its records; mask it on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import Any

import regex
from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.repairs import Repairs
from endonym.clean.texts import with_texts
from endonym.data.pii import find, masked
from endonym.types import Drop, Keep, Record

_WORTH_A_LOOK = regex.compile(r"[\p{N}@]")
KINDS = ("email", "phone", "card", "iban", "id")


class Config(BaseModel):
    """Settings of the filter for personal data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mask: bool = Field(
        False, description="Put the kind in brackets in place of each piece: [email]. It cannot be undone."
    )
    kinds: list[str] = Field(list(KINDS), description="What counts: email, phone, card, iban, id.")


def sift(records: Iterable[Record], cfg: Config) -> Generator[Keep | Drop, None, dict[str, Any]]:
    """Keep every record; one that holds personal data says so in `meta["pii"]`, a count by kind."""
    totals: Counter[str] = Counter()
    marked = 0
    changes = Repairs("personal data", cfg.mask)
    for record in records:
        counts: Counter[str] = Counter()

        def change(text: str, language: str, counts: Counter[str] = counts) -> str:
            if not _WORTH_A_LOOK.search(text):
                return text
            found = [item for item in find(text) if item.kind in cfg.kinds]
            counts.update(item.kind for item in found)
            if not (found and cfg.mask):
                return text
            new = masked(text, found)
            changes.changed(text, new)
            return new

        new = with_texts(record, change)
        if counts:
            new = replace(new, meta={**new.meta, "pii": dict(sorted(counts.items()))})
            totals += counts
            marked += 1
        yield Keep(new)
    return _facts(totals, marked, changes) if marked else {}


def _facts(totals: Counter[str], marked: int, changes: Repairs) -> dict[str, Any]:
    """What was found, never the data itself."""
    done = "masked" if changes.applied else "kept as it stands; to mask it: --pii.mask"
    title = f"personal data in {marked:,} records ({done})"
    rows = [[kind, number] for kind, number in totals.most_common()]
    return {"records": marked, "found": dict(totals.most_common()), "masked": changes.applied, "added": dict(changes.added),
            "removed": dict(changes.removed), "tables": [{"title": title, "header": ["kind", "times"], "rows": rows}]}  # fmt: skip
