"""Stream the elements of an XML file one by one as small trees, refusing what could exhaust the memory."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from endonym.errors import DataError, Problem

CHUNK = 2**16
MAX_ELEMENT = 4 * 2**20
"""Characters in one element; more is a broken file."""
MAX_DEPTH = 200
MAX_ENTITY = 200
"""Characters an entity of the file may stand for: letters and marks, not texts."""


@dataclass
class Node:
    """An element: its name without prefix, attributes (`xml:lang` with its prefix), line, and texts and elements in order."""

    tag: str
    attributes: dict[str, str]
    line: int
    parts: list[str | Node] = field(default_factory=list)

    def children(self, *tags: str) -> list[Node]:
        """The elements right inside, of these names or all."""
        return [part for part in self.parts if isinstance(part, Node) and (not tags or part.tag in tags)]

    def child(self, tag: str) -> Node | None:
        """The first element of this name right inside."""
        return next(iter(self.children(tag)), None)

    def get(self, name: str) -> str:
        """An attribute, `""` when it is not there."""
        return self.attributes.get(name, "")

    def text(self) -> str:
        """All text inside; line breaks and indentation of the markup are one space."""
        return fold("".join(self._texts()))

    def own_text(self) -> str:
        """The text right inside, without that of elements."""
        return fold(" ".join(part for part in self.parts if isinstance(part, str)))

    def _texts(self) -> Iterator[str]:
        for part in self.parts:
            if isinstance(part, str):
                yield part
            else:
                yield from part._texts()


def fold(text: str) -> str:
    """XML's own white space as single spaces; a no-break space or joiner is the writer's and stays."""
    return re.sub(r"[ \t\r\n]+", " ", text).strip(" ")


def elements(path: Path, tags: Collection[str]) -> Iterator[Node]:
    """Yield every outermost element of these names in order. Raises DataError on broken XML."""
    parser = expat.ParserCreate()
    builder = _Builder(path, parser, tags)
    with path.open("rb") as file:
        while True:
            chunk = file.read(CHUNK)
            try:
                parser.Parse(chunk, not chunk)
            except (expat.ExpatError, ValueError, LookupError) as error:
                raise _broken(path, parser, error) from error
            yield from builder.done
            builder.done.clear()
            if not chunk:
                return


def _broken(path: Path, parser: Any, error: Exception) -> DataError:
    line = getattr(error, "lineno", 0) or parser.CurrentLineNumber
    what = expat.ErrorString(error.code) if isinstance(error, expat.ExpatError) else str(error)
    return DataError(Problem(path.name, line, "", f"not well-formed XML: {what}",
                             "repair the markup on this line, or export the file again"))  # fmt: skip


class _Builder:
    """Builds the tree of the element that is open, and none of what lies outside."""

    def __init__(self, path: Path, parser: Any, tags: Collection[str]):
        self.path, self.parser, self.tags = path, parser, tags
        self.done: list[Node] = []
        self.open: list[Node] = []
        self.size = 0
        self.depth = 0
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = self.start, self.end
        parser.CharacterDataHandler = self.data
        parser.EntityDeclHandler, parser.SkippedEntityHandler = self.entity, self.skipped

    def start(self, name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(":")[2]
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._problem(
                tag, f"elements are nested more than {MAX_DEPTH} deep", "a closing tag is probably missing"
            )
        if self.open or tag in self.tags:
            node = Node(tag, attributes, self.parser.CurrentLineNumber)
            if self.open:
                self.open[-1].parts.append(node)
            self.open.append(node)

    def end(self, name: str) -> None:
        self.depth -= 1
        if self.open:
            node = self.open.pop()
            if not self.open:
                self.done.append(node)
                self.size = 0

    def data(self, data: str) -> None:
        if not self.open:
            return
        self.open[-1].parts.append(data)
        self.size += len(data)
        if self.size > MAX_ELEMENT:
            raise self._problem(self.open[0].tag, f"an element of more than {MAX_ELEMENT:,} characters",
                                f"a closing </{self.open[0].tag}> is probably missing; repair it")  # fmt: skip

    def entity(self, name: str, parameter: int, value: str | None, *rest: Any) -> None:
        # Parameter entities only steer a DTD, which is not read. Entities made of entities are how a small file becomes a huge one.
        if not parameter and value is not None and ("&" in value or len(value) > MAX_ENTITY):
            raise self._problem(name, "the file declares an entity that stands for other entities or a long text",
                                "write the text itself where it is used, and take the declaration out")  # fmt: skip

    def skipped(self, name: str, parameter: int) -> None:
        text = html.unescape(f"&{name};")
        if not parameter and text == f"&{name};":
            raise self._problem(name, f"the entity &{name}; is declared nowhere in the file",
                                "write the character itself instead")  # fmt: skip
        if not parameter:
            self.data(text)

    def _problem(self, name: str, what: str, repair: str) -> DataError:
        return DataError(Problem(self.path.name, self.parser.CurrentLineNumber, name, what, repair))
