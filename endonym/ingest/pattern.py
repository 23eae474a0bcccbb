"""The pattern in which a user says how a line of a dictionary is written, compiled to a regular expression that cannot hang.

    {headword} ({pos}) {gloss; ...}[.] [— {example} = {translation}]...

Text stands for itself and `{name}` for a field. `{name; ...}` is a field that comes several times with `;` between; `{gloss;|, ...}` has either
mark between. `[ ]` may be missing, `[ ]...` may be missing or come several times. `{—|–|-}` is any one of these marks. `{name:word}` is a single
word, `{name:number}` digits. A space is any white space, which next to a bracket or `;:=,.` may be missing. A backslash takes
the special meaning away: `\\[`. A field ends where a mark begins that may follow it; inside round brackets a repeated field is not cut.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Literal

import regex

from endonym.errors import UsageError

DEFAULT = "{headword} ({pos}) {gloss; ...}[.] [{—|–|--} {example} = {translation}]..."
TIMEOUT = 0.25
"""Seconds a line may take."""
LOOSE = ";:=,."
"""Marks around which spaces may be missing, beside brackets. Hyphens are not: they stand inside words."""
MOST_OPTIONAL = 4
"""Optional parts that are tried missing, once and twice, to say where a line stops fitting."""
_NAME = regex.compile(r"\s*([^\W\d][\w-]*)\s*(?::\s*(word|number))?\s*(?:(\S.*?)\s*\.\.\.)?\s*")
_KINDS = {"": r".", "word": r"\S", "number": r"\d"}


@dataclass(frozen=True)
class Mark:
    """A text that stands for itself, or any one of several."""

    texts: tuple[str, ...]

    @property
    def shown(self) -> str:
        return " or ".join(f"“{text}”" for text in self.texts)


@dataclass(frozen=True)
class Space:
    """White space."""


@dataclass(frozen=True)
class Slot:
    """A field; with separators it comes several times."""

    name: str
    kind: str = ""
    separators: tuple[str, ...] = ()


@dataclass(frozen=True)
class Optional:
    """A part that may be missing, or come several times."""

    parts: tuple[Part, ...]
    repeated: bool = False


Part = Mark | Space | Slot | Optional


@dataclass(frozen=True)
class Found:
    """A field in a line: its name, text and place."""

    name: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Stop:
    """Where a line stopped fitting and what was expected there."""

    place: int
    why: Literal["mark", "slow", "end"]
    expected: str

    def __str__(self) -> str:
        if self.why == "slow":
            return f"comparing took more than {TIMEOUT} seconds; give the fields marks that part them"
        return f"column {self.place + 1}: {self.expected}"


class Pattern:
    """A compiled pattern."""

    def __init__(self, text: str):
        self.text = text
        self.parts = _parse(text)
        self._loose = "".join(sorted({c for part in _marks(self.parts) for c in "".join(part.texts) if _is_loose(c)}))
        body, _ = self._build(self.parts, [])
        self._regex = regex.compile(rf"\s*{body}\s*", regex.DOTALL)
        self._starts = [(regex.compile(rf"\s*{self._build(begun, [])[0]}", regex.DOTALL), begun, after)
                        for begun, after in _beginnings(self.parts)]  # fmt: skip

    def fields(self, line: str) -> list[Found] | Stop:
        """The fields of a line in the order they stand there, or where it stops fitting."""
        try:
            match = self._regex.fullmatch(line, timeout=TIMEOUT)
            if match is None:
                return self._stop(line)
        except TimeoutError:
            return Stop(0, "slow", "")
        names = self._regex.groupindex
        found = [Found(name.replace("__", "-"), line[a:b], a, b) for name in names for a, b in match.spans(name)]
        return sorted(found, key=lambda one: one.start)

    def _stop(self, line: str) -> Stop:
        best: tuple[int, Stop] | None = None
        for begun, parts, after in self._starts:
            match = begun.match(line, timeout=TIMEOUT)
            if match and (best is None or match.end() > best[0]):
                best = (match.end(), _expected(parts, after, match.end()))
        if best:
            return best[1]
        first = next(_marks(self.parts), None)
        field = next((part.name for part in self.parts if isinstance(part, Slot)), "")
        wanted = f"expected {first.shown}" if first else "expected more"
        return Stop(0, "mark", f"{wanted} after {{{field}}}")

    def _build(self, parts: tuple[Part, ...], follow: list[str]) -> tuple[str, list[str]]:
        """A regular expression for parts, and for the marks (with the space before them) that it may begin with.

        `follow` are those that may come after the parts; a field stops there. Built from the end to the beginning.
        """
        out, ahead = "", follow
        for number in range(len(parts) - 1, -1, -1):
            part = parts[number]
            if isinstance(part, Slot):
                out, ahead = _slot(part, ahead) + out, []
            elif isinstance(part, Mark):
                mark = _any(part.texts)
                spaced = number + 1 < len(parts) and isinstance(parts[number + 1], Space) and not _loose_end(part)
                out, ahead = mark + out, [mark + (r"(?=\s|$)" if spaced else "")]
            elif isinstance(part, Space):
                if number + 1 < len(parts) and isinstance(parts[number + 1], Optional):
                    continue
                out, ahead = self._space() + out, [rf"\s+{one}" for one in ahead if not one.startswith(r"\s")]
            else:
                inner = part.parts
                if number and isinstance(parts[number - 1], Space) and not isinstance(inner[0], Space):
                    inner = (Space(), *inner)
                _, first = self._build(inner, ahead)
                body, first = self._build(inner, [*ahead, *(first if part.repeated else [])])
                out = f"(?:{body}){'*' if part.repeated else '?'}{out}"
                ahead = [*first, *ahead]
        return out, ahead

    def _space(self) -> str:
        near = f"|(?<=[{regex.escape(self._loose)}])|(?=[{regex.escape(self._loose)}])" if self._loose else ""
        return rf"(?:\s+{near})"


@lru_cache(maxsize=64)
def compiled(text: str) -> Pattern:
    """The pattern of a text. Raises UsageError that says what is wrong with it and where."""
    return Pattern(text)


def _slot(slot: Slot, stops: list[str]) -> str:
    halts = [stop for stop in stops if stop.startswith(r"\s")]
    name = f"?P<{slot.name.replace('-', '__')}>"
    inside = _KINDS[slot.kind]
    if not slot.separators:
        halt = f"(?!{'|'.join(halts)})" if halts else ""
        return rf"({name}(?=\S)(?:{halt}{inside})+?(?<=\S))"
    between = _any(slot.separators)
    # In round brackets a separator separates nothing; the two alternatives exclude each other, so that nothing is tried twice.
    bracket = r"\([^()]*\)"
    item = rf"({name}(?=\S)(?:{bracket}|(?!{'|'.join([between, bracket, *halts])}){inside})+?(?<=\S))"
    return rf"{item}(?:\s*{between}\s*{item})*"


def _any(texts: tuple[str, ...]) -> str:
    return (
        "(?:" + "|".join(regex.escape(text, special_only=True) for text in sorted(texts, key=len, reverse=True)) + ")"
    )


def _is_loose(char: str) -> bool:
    return char in LOOSE or unicodedata.category(char) in ("Ps", "Pe")


def _loose_end(mark: Mark) -> bool:
    return all(_is_loose(text[-1]) for text in mark.texts)


def _marks(parts: tuple[Part, ...]) -> Iterator[Mark]:
    """The marks of parts in order, those inside optional parts too."""
    for part in parts:
        if isinstance(part, Mark):
            yield part
        elif isinstance(part, Optional):
            yield from _marks(part.parts)


def _beginnings(parts: tuple[Part, ...]) -> Iterator[tuple[tuple[Part, ...], tuple[Part, ...]]]:
    """Every beginning of the pattern that ends with a mark, and what comes after it; optional parts missing, once and twice."""
    optional = [i for i, part in enumerate(parts) if isinstance(part, Optional)][:MOST_OPTIONAL]
    seen = set()
    for times in product((0, 1, 2), repeat=len(optional)):
        flat: list[Part] = []
        for number, part in enumerate(parts):
            if number in optional and isinstance(part, Optional):
                again = times[optional.index(number)]
                for _ in range(again if part.repeated else min(again, 1)):
                    flat += [*([] if not flat or isinstance(flat[-1], Space) else [Space()]), *part.parts]
            elif not (isinstance(part, Space) and flat and isinstance(flat[-1], Space)):
                flat.append(part)
        for number, part in enumerate(flat, 1):
            if isinstance(part, Mark) and tuple(flat[:number]) not in seen:
                seen.add(tuple(flat[:number]))
                yield tuple(flat[:number]), tuple(flat[number:])


def _expected(begun: tuple[Part, ...], after: tuple[Part, ...], place: int) -> Stop:
    """What should come after a beginning that fits."""
    fields = []
    for part in after:
        if isinstance(part, Slot):
            fields.append(f"{{{part.name}}}")
        elif isinstance(part, Mark):
            return Stop(place, "mark", f"expected {part.shown} after {fields[-1] if fields else 'this'}")
        elif isinstance(part, Optional):
            break
    return Stop(place, "end", f"expected {fields[0]}" if fields else "expected the end of the line")


def _parse(text: str) -> tuple[Part, ...]:
    """The parts of a pattern. Raises UsageError."""
    parts, place = _sequence(text, 0, "")
    if place < len(text):
        raise _wrong(text, place, "a ] that closes nothing", "take it out, or write \\] for the mark itself")
    if not any(isinstance(part, Slot) and part.name == "headword" for part in parts):
        raise _wrong(
            text, 0, "no {headword} outside optional parts", "write {headword} where the word stands that is explained"
        )
    return parts


def _sequence(text: str, place: int, closing: str) -> tuple[tuple[Part, ...], int]:
    parts: list[Part] = []
    while place < len(text) and text[place] != "]":
        char = text[place]
        if char == "[":
            inner, end = _sequence(text, place + 1, "]")
            if end >= len(text):
                raise _wrong(text, place, "this [ is never closed", "close it with ], or write \\[ for the mark itself")
            if not inner or all(isinstance(part, Space) for part in inner):
                raise _wrong(text, place, "nothing stands in these brackets", "write what may be missing between them")
            place = end + 1
            repeated = text.startswith("...", place)
            parts.append(Optional(tuple(inner), repeated))
            place += 3 * repeated
        elif char == "{":
            end = text.find("}", place)
            if end < 0:
                raise _wrong(text, place, "this { is never closed", "close it with }, or write \\{ for the mark itself")
            parts.append(_braces(text, place, text[place + 1 : end]))
            place = end + 1
        elif char.isspace():
            parts += [] if parts and isinstance(parts[-1], Space) else [Space()]
            place += 1
        else:
            step = 2 if char == "\\" and place + 1 < len(text) else 1
            letter = text[place + step - 1]
            if parts and isinstance(parts[-1], Mark) and len(parts[-1].texts) == 1:
                parts[-1] = Mark((parts[-1].texts[0] + letter,))
            else:
                parts.append(Mark((letter,)))
            place += step
        if len(parts) > 1 and isinstance(parts[-1], Slot) and isinstance(parts[-2], Slot):
            what = f"nothing stands between {{{parts[-2].name}}} and {{{parts[-1].name}}}"
            raise _wrong(text, place, what, "write the mark or the space that parts them")
    return tuple(parts), place


def _braces(text: str, place: int, inside: str) -> Part:
    found = _NAME.fullmatch(inside)
    if found:
        separators = tuple(one for one in (found[3] or "").split("|") if one.strip())
        return Slot(found[1], found[2] or "", tuple(one.strip() for one in separators))
    texts = tuple(one.strip() for one in inside.split("|") if one.strip())
    if not texts or any(regex.match(r"[^\W\d]", one) for one in texts):
        raise _wrong(text, place, f"{{{inside}}} is neither a field nor a choice of marks",
                     "write {gloss}, {gloss; ...}, {pos:word}, or marks with | between: {—|–|-}")  # fmt: skip
    return Mark(texts)


def _wrong(text: str, place: int, what: str, repair: str) -> UsageError:
    return UsageError(
        f"the pattern {text!r} is wrong at column {place + 1}: {what}", repair[0].upper() + repair[1:] + "."
    )
