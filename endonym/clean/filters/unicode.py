"""Bring text into one Unicode form, leaving joiners, vowel signs and tone marks where they carry meaning."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import regex
from pydantic import BaseModel, ConfigDict, Field, field_validator

from endonym.clean.texts import with_texts
from endonym.data.scripts import APOSTROPHES, count_blocks, named, script
from endonym.types import Chat, Doc, Drop, Keep, Preference, Record

ZERO_WIDTH_SPACE_SCRIPTS = frozenset(("Khmr", "Thai", "Laoo", "Mymr", "Lana", "Talu", "Tibt", "Java", "Bali"))
"""Scripts without spaces between words, in which a zero width space marks where a word ends."""
NO_JOINERS = frozenset(("Latn", "Grek", "Cyrl", "Ethi", "Zyyy", "Hira", "Kana", "Hani", "Hang", "Hebr", "Armn", "Geor"))
"""Scripts in whose letters a zero width joiner or non-joiner changes nothing."""
BIDI_MARKS = "\u200e\u200f\u061c"
BIDI_SPANS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_SUSPECT = regex.compile(
    r"[\p{Cc}\p{Zl}\p{Zp}\u00a0\u00ad\u034f\u200b-\u200f\u202a-\u202e\u202f\u2000-\u200a\u205f\u2060\u2066-\u2069\u3000\u061c\ufeff\ufffd]"
    r"|\s\s|^\s|\s$"
)
_APOSTROPHE = regex.compile(
    rf"(?<=[\p{{L}}\p{{M}}])[{regex.escape(APOSTROPHES)}]|[{regex.escape(APOSTROPHES)}](?=\p{{L}})"
)


class Config(BaseModel):
    """Settings of the Unicode filter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: Literal["NFC", "none"] = Field(
        "NFC", description="Unicode form; NFC composes letters and marks and loses nothing."
    )
    fold_spaces: bool = Field(
        True, description="Make runs of spaces one plain space; lines of documents and chats stay lines."
    )
    bidi: Literal["auto", "keep", "remove"] = Field(
        "auto", description="Direction controls: auto keeps the marks in right-to-left text and removes the rest."
    )
    apostrophes: str = Field(
        "", description="One character for all apostrophe-like letters of the language; empty leaves them."
    )
    language: str = Field("", description="Language whose apostrophes become one; the project's when empty.")

    @field_validator("apostrophes")
    @classmethod
    def _one_character(cls, value: str) -> str:
        if len(value) > 1:
            raise ValueError("give one character, or nothing")
        return value


@dataclass
class Report:
    """What the filter did, counted."""

    changed_records: int = 0
    added: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    """What was removed or replaced, by code point."""
    apostrophes: dict[str, Counter[str]] = field(default_factory=dict)
    """Apostrophe-like letters as found, by language."""

    def as_json(self) -> dict[str, Any]:
        """Plain data for `filters.json`."""
        found = {code: {named(c): n for c, n in counts.most_common()} for code, counts in self.apostrophes.items()}
        return {"changed_records": self.changed_records, "added": dict(self.added), "removed": dict(self.removed),
                "characters": dict(self.characters.most_common()), "apostrophes": found}  # fmt: skip


def sift(records: Iterable[Record], cfg: Config) -> Generator[Keep | Drop, None, dict[str, Any]]:
    """Keep every record in the chosen form; one with U+FFFD, where a character is already lost, is dropped."""
    report = Report()
    for record in records:
        if any("\ufffd" in text for _, text in record.texts()):
            yield Drop(
                record, "unicode.damaged", "it holds U+FFFD, the mark of a character lost in an earlier conversion"
            )
            continue
        lines = isinstance(record, Doc | Chat | Preference)

        def change(text: str, language: str, lines: bool = lines) -> str:
            return repaired(text, language, cfg, lines, report)

        new = with_texts(record, change)
        report.changed_records += new is not record
        yield Keep(new)
    return report.as_json()


def repaired(text: str, language: str, cfg: Config, lines: bool, report: Report) -> str:
    """One text in the chosen form, with what changed counted in `report`."""
    new = text
    if _SUSPECT.search(new):
        new = _controls(new, cfg)
        if cfg.fold_spaces:
            new = _folded(new, lines)
    if cfg.form == "NFC":
        new = unicodedata.normalize("NFC", new)
    found = _APOSTROPHE.findall(new)
    if found:
        report.apostrophes.setdefault(language, Counter()).update(found)
        if cfg.apostrophes and language == cfg.language:
            new = _APOSTROPHE.sub(cfg.apostrophes, new)
    if new != text:
        before, after = Counter(text), Counter(new)
        report.characters.update({named(char): number for char, number in (before - after).items()})
        blocks_before, blocks_after = count_blocks(text), count_blocks(new)
        report.added.update(blocks_after - blocks_before)
        report.removed.update(blocks_before - blocks_after)
    return new


def _controls(text: str, cfg: Config) -> str:
    """Replace or remove control and format characters, each by what it does where it stands."""
    right_to_left = any(unicodedata.bidirectional(char) in ("R", "AL") for char in text)
    out: list[str] = []
    for i, char in enumerate(text):
        code = ord(char)
        if char in "\n\t\r":
            out.append("\n" if char == "\r" and text[i + 1 : i + 2] != "\n" else "" if char == "\r" else char)
        elif char in "\x0b\x0c\x85\u2028\u2029":
            out.append("\n")
        elif 0x80 <= code <= 0x9F:
            # C1 controls in text are Windows-1252 read as Latin-1: \x92 was an apostrophe.
            out.append(bytes([code]).decode("cp1252", errors="ignore"))
        elif unicodedata.category(char) == "Cc" or char in "\u00ad\u2060\ufeff":
            continue
        elif char == "\u200b":
            out.append(char if _near(text, i, ZERO_WIDTH_SPACE_SCRIPTS) else "")
        elif char in "\u200c\u200d":
            out.append(char if _joins(text, i) else "")
        elif char in BIDI_MARKS or char in BIDI_SPANS:
            keep = cfg.bidi == "keep" or (cfg.bidi == "auto" and right_to_left and char in BIDI_MARKS)
            out.append(char if keep else "")
        else:
            out.append(char)
    return "".join(out)


def _near(text: str, i: int, scripts: frozenset[str]) -> bool:
    return any(script(char) in scripts for char in text[max(0, i - 1) : i] + text[i + 1 : i + 2])


def _joins(text: str, i: int) -> bool:
    """Whether a joiner at `i` does something: after a letter, mark or sign of a script that joins, or between emoji."""
    before = text[i - 1] if i else ""
    if not before or before.isspace():
        return False
    if unicodedata.category(before) in ("So", "Sk") or before == "\ufe0f":
        return True
    code = _script_before(text[max(0, i - 4) : i])
    return code not in NO_JOINERS


@lru_cache(maxsize=4096)
def _script_before(text: str) -> str:
    """Script of the last character that has one of its own; marks shared by scripts are looked through."""
    return next((script(char) for char in reversed(text) if script(char) not in ("Zinh", "Zyyy")), "Zyyy")


def _folded(text: str, lines: bool) -> str:
    if not lines:
        return " ".join(_spaces(text).split(" ")).strip()
    folded = [_spaces(line).strip() for line in text.split("\n")]
    return regex.sub(r"\n{3,}", "\n\n", "\n".join(folded)).strip("\n")


def _spaces(text: str) -> str:
    # U+1680 is a visible mark of Ogham, no empty space.
    return regex.sub(r"[\s\p{Zs}--\u1680]+", " ", text, flags=regex.V1)
