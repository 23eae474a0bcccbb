"""The answers given so far, kept line by line so that an interrupted evaluation asks no question twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from endonym.evaluate.items import Item
from endonym.store.files import whole_lines


class Outputs:
    """`outputs.jsonl`: one line per system and item; opened again, it knows what is done."""

    def __init__(self, path: Path):
        self.path = path
        self._known: dict[tuple[str, str, str], dict[str, Any]] = {}
        for line in whole_lines(self.path):
            row = json.loads(line)
            self._known[(row["system"], row["task"], row["id"])] = row

    def get(self, system: str, item: Item) -> dict[str, Any] | None:
        """What `system` answered to `item`, or None."""
        row = self._known.get((system, item.task, item.id))
        # A changed reference or question is another item: its old answer must not be reused.
        return row if row and row["source"] == item.source and row["reference"] == item.references[0] else None

    def missing(self, system: str, items: list[Item]) -> list[Item]:
        """Items `system` has not answered."""
        return [item for item in items if self.get(system, item) is None]

    def add(self, system: str, items: list[Item], answers: list[dict[str, Any]]) -> None:
        """Append what `system` answered (`text`, `nats`, `counts`) and make sure it is on disk."""
        with self.path.open("a", encoding="utf-8") as file:
            for item, answer in zip(items, answers, strict=True):
                row = {
                    "system": system, "task": item.task, "direction": item.direction, "id": item.id, "source": item.source,
                    "reference": item.references[0], "references": list(item.references), "text": answer.get("text"),
                    "nats": answer.get("nats"), "bytes": len(item.references[0].encode()), "prompt": answer.get("prompt"),
                    "counts": answer.get("counts"),
                }  # fmt: skip
                file.write(json.dumps({k: v for k, v in row.items() if v is not None}, ensure_ascii=False) + "\n")
                self._known[(system, item.task, item.id)] = row
            file.flush()
