"""Standard Format, in which Toolbox, Shoebox and FLEx write: a field a line, each after a marker that begins with a backslash."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from endonym.ingest.encoding import lines

_FIELD = re.compile(r"\s*\\([^\s\\]+)(?:\s+(.*?))?\s*$", re.S)


def fields(path: Path, encoding: str) -> Iterator[tuple[int, str, str]]:
    """`(line, marker, text)` of every field; a line without a marker goes on with the field before it."""
    begun, marker, texts = 0, "", list[str]()
    for number, raw in lines(path, encoding):
        line = raw.strip("\ufeff").strip()
        match = _FIELD.fullmatch(line)
        if match:
            if begun:
                yield begun, marker, " ".join(texts)
            begun, marker, texts = number, match[1], [match[2]] if match[2] else []
        elif line:
            if not begun:
                begun, marker = number, "(no marker)"
            texts.append(line)
    if begun:
        yield begun, marker, " ".join(texts)
