"""Stream the elements of an XML file that hold its records, each with its line, refusing what could exhaust memory or read other files."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from endonym.errors import DataError, Problem
from endonym.ingest.packing import chunks

MAX_UNIT = 32 * 2**20
"""Characters in one element that is kept whole; more is a broken file."""
MAX_ENTRY = 4 * 2**20
"""Characters in one entry of a dictionary."""
MAX_DEPTH = 200
MAX_ENTITY = 200
"""Characters an entity of the file may stand for: letters and marks, not texts."""


@dataclass(slots=True)
class Node:
    """One element: its content in order, and the start tags of the elements around it."""

    tag: str
    attributes: dict[str, str]
    line: int
    above: tuple[Node, ...] = ()
    content: list[Node | str] = field(default_factory=list)

    def get(self, name: str) -> str:
        """An attribute, `""` when it is not there."""
        return self.attributes.get(name, "")

    def around(self, tag: str) -> Node | None:
        """The nearest element of this tag around it."""
        return next((node for node in reversed(self.above) if node.tag == tag), None)

    def children(self, *tags: str) -> Iterator[Node]:
        """Elements right inside, of these tags or of any."""
        return (node for node in self.content if isinstance(node, Node) and (not tags or node.tag in tags))

    def first(self, *tags: str) -> Node | None:
        """The first element of these tags right inside."""
        return next(self.children(*tags), None)

    def inside(self, *tags: str) -> Iterator[Node]:
        """Elements of these tags at any depth, in order."""
        for node in self.children():
            if node.tag in tags:
                yield node
            yield from node.inside(*tags)

    def text(self) -> str:
        """All characters inside, those of elements too."""
        return "".join(part if isinstance(part, str) else part.text() for part in self.content)

    def folded(self) -> str:
        """All characters inside; line breaks and indentation of the markup are one space."""
        return fold(self.text())

    def own_text(self) -> str:
        """The characters right inside, folded, without those of elements."""
        return fold(" ".join(part for part in self.content if isinstance(part, str)))

    def said(self, *tags: str) -> str:
        """Text of the first element of these tags right inside, without white space around it."""
        node = self.first(*tags)
        return node.text().strip() if node else ""


def fold(text: str) -> str:
    """XML's own white space as single spaces; a no-break space or joiner is the writer's and stays."""
    return re.sub(r"[ \t\r\n]+", " ", text).strip(" ")


def nodes(
    path: Path, wanted: Collection[str], pieces: Iterable[bytes] | None = None, most: int = MAX_UNIT
) -> Iterator[Node]:
    """Yield every element of the `wanted` tags when it ends; one inside another is part of the outer one.

    Memory holds one such element at a time. The prefix of the root's name space is taken off the tags. Raises DataError with
    the line for XML that is not well-formed, entities that stand for other entities, long texts or other files, and elements
    of more than `most` characters. `pieces` are the file's bytes where they do not stand in `path` itself.
    """
    parser = expat.ParserCreate()
    state = _State(path, parser, wanted, most)
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = state.start, state.end
    parser.CharacterDataHandler = state.data
    parser.EntityDeclHandler, parser.SkippedEntityHandler = state.declared, state.skipped
    try:
        for chunk in chunks(path) if pieces is None else pieces:
            parser.Parse(chunk, False)
            yield from state.done
            state.done.clear()
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        said = expat.ErrorString(error.code)
        raise DataError(Problem(path.name, error.lineno, "", f"not well-formed XML: {said}",
                                "repair the markup on this line, or export the file again")) from error  # fmt: skip
    except (LookupError, ValueError) as error:
        raise DataError(Problem(path.name, 1, "encoding", f"its encoding cannot be read: {error}",
                                "save the file as UTF-8")) from error  # fmt: skip
    yield from state.done


class _State:
    def __init__(self, path: Path, parser: Any, wanted: Collection[str], most: int):
        self.path, self.parser, self.wanted, self.most = path, parser, wanted, most
        self.prefix = ""
        self.open: list[Node] = []
        self.kept = 0
        """Place in `open` of the element that is being kept, plus one; 0 outside of any."""
        self.size = 0
        self.done: list[Node] = []

    def problem(self, field: str, what: str, repair: str) -> DataError:
        return DataError(Problem(self.path.name, self.parser.CurrentLineNumber, field, what, repair))

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self.open:
            self.prefix = tag.rpartition(":")[0]
        if self.prefix and tag.startswith(self.prefix + ":"):
            tag = tag[len(self.prefix) + 1 :]
        node = Node(tag, attributes, self.parser.CurrentLineNumber)
        if self.kept:
            self.open[-1].content.append(node)
            self.size += len(tag) + sum(map(len, attributes.values()))
            self.check(tag)
        elif tag in self.wanted:
            node.above = tuple(self.open)
            self.kept, self.size = len(self.open) + 1, 0
        self.open.append(node)
        if len(self.open) > MAX_DEPTH:
            raise self.problem(tag, f"elements are nested more than {MAX_DEPTH} deep", "export the file again")

    def end(self, tag: str) -> None:
        node = self.open.pop()
        if self.kept == len(self.open) + 1:
            self.done.append(node)
            self.kept = 0

    def data(self, data: str) -> None:
        if self.kept:
            self.open[-1].content.append(data)
            self.size += len(data)
            self.check(self.open[-1].tag)

    def check(self, tag: str) -> None:
        if self.size > self.most:
            raise self.problem(tag, f"an element of more than {self.most:,} characters",
                               "a closing tag is probably missing; repair it")  # fmt: skip

    def declared(self, name: str, parameter: int, value: str | None, *_: Any) -> None:
        # Parameter entities only steer a document type, which is not read.
        if not parameter and (value is None or "&" in value or len(value) > MAX_ENTITY):
            raise self.problem(name, "the file declares an entity of its own that stands for other entities, a file or a long text",
                               "write the text instead of the entity, and take out the <!ENTITY ...> lines")  # fmt: skip

    def skipped(self, name: str, parameter: int) -> None:
        text = html.unescape(f"&{name};")
        if not parameter and text == f"&{name};":
            raise self.problem(
                name, f"the entity &{name}; is declared nowhere in the file", "write the character itself"
            )
        if not parameter:
            self.data(text)
