"""JSON as every reader can read it: numbers that JSON does not have are null."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastapi.responses import JSONResponse

STREAMED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Headers of an answer that comes bit by bit."""


def finite(value: Any) -> Any:
    """The value with null for numbers that JSON does not have."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    return [finite(part) for part in value] if isinstance(value, list | tuple) else value


class Json(JSONResponse):
    """An answer of the API."""

    def render(self, content: Any) -> bytes:
        """The content as UTF-8; a text that is no Unicode, from a file, loses what cannot be written."""
        try:
            text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except ValueError:
            text = json.dumps(finite(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def read_json(path: Path) -> Any:
    """What stands in a JSON file; None where it is not there or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is none, or something else."""
    found = read_json(path)
    return found if isinstance(found, dict) else {}
