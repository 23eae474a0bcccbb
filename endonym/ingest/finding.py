"""What `add` found out about files that belong together: shown to the user, and written to endonym.toml."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from endonym.data.languages import name
from endonym.data.rights import KEYS
from endonym.errors import Problem


@dataclass(frozen=True)
class Said:
    """The language of one part of a source and how it was decided."""

    part: str
    """`headwords`, `definitions`, `column spa`, a file name."""
    language: str
    how: str


@dataclass
class Finding:
    """One source, or one file that cannot be one."""

    files: list[str]
    """Relative to the project folder where the file lies in it."""
    reader: str = ""
    encoding: str = ""
    delimiter: str = ""
    languages: list[Said] = field(default_factory=list)
    scripts: dict[str, int] = field(default_factory=dict)
    """Letters by ISO 15924 code."""
    records: Counter[str] = field(default_factory=Counter)
    """Number of records by kind; `left out` are those that go to the ledger."""
    characters: int = 0
    good_for: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    attribution: str = ""
    consent: str = ""
    restrictions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    added: bool = False

    @property
    def ok(self) -> bool:
        return not self.problems

    def table(self) -> dict[str, Any]:
        """The `[[sources]]` table of this source."""
        table: dict[str, Any] = {"files": self.files, "reader": self.reader}
        for key in (*KEYS, "settings"):
            if getattr(self, key):
                table[key] = getattr(self, key)
        return table

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {**asdict(self), "records": dict(self.records), "ok": self.ok}

    def lines(self) -> list[str]:
        """What it is, in a few lines for people."""
        title = " + ".join(self.files)
        if not self.ok:
            return [f"{title}: not added", *(f"  {line}" for p in self.problems[:5] for line in str(p).split("\n")),
                    *([f"  ... and {len(self.problems) - 5} more problems"] if len(self.problems) > 5 else [])]  # fmt: skip
        form = ", ".join(
            part
            for part in (self.reader, self.encoding, f"fields cut at {self.delimiter}" if self.delimiter else "")
            if part
        )
        out = [f"{title}: {self.good_for}" if self.good_for else title, f"  format      {form}"]
        for said in self.languages:
            out.append(f"  {said.part:<11} {name(said.language)} ({said.language}): {said.how}" if said.language
                       else f"  {said.part:<11} language not known: {said.how}")  # fmt: skip
        total = sum(self.scripts.values()) or 1
        scripts = ", ".join(
            f"{code} {100 * number / total:.0f} %" for code, number in Counter(self.scripts).most_common(3)
        )
        counts = ", ".join(f"{number:,} {kind}" for kind, number in self.records.items())
        out.append(
            f"  holds       {counts}; {self.characters:,} characters" + (f"; script {scripts}" if scripts else "")
        )
        mapping = _flat(self.settings)
        if mapping:
            out.append(f"  read as     {', '.join(mapping)}")
        return out + [f"  note        {note}" for note in self.notes]


def _flat(settings: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in settings.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        elif key not in ("language", "pivot") and value not in ("", None):
            found.append(f"{prefix}{key} = {value}")
    return found


def good_for(records: Counter[str], parallel: bool, examples: int = 0) -> str:
    """One phrase: what the material is and which tasks it feeds."""
    parts, tasks = [], []
    if records["entry"]:
        parts.append(
            f"dictionary with {records['entry']:,} entries"
            + (f" and {examples:,} example sentences" if examples else "")
        )
        tasks += ["define", "lookup"]
    if records["pair"] and not records["entry"]:
        parts.append(f"{records['pair']:,} sentence pairs")
    if records["pair"]:
        tasks.append("translate")
    if records["doc"]:
        parts.append(
            f"document in two languages, {records['doc']:,} paragraphs"
            if parallel
            else f"text of {records['doc']:,} paragraphs"
        )
        tasks += ["align to sentence pairs, translate"] if parallel else ["complete"]
    if records["chat"]:
        parts.append(f"{records['chat']:,} conversations")
        tasks.append("chat")
    if records["preference"]:
        parts.append(f"{records['preference']:,} pairs of a better and a worse answer")
        tasks.append("preferences")
    return f"{', '.join(parts)}: {', '.join(tasks)}" if parts else ""
