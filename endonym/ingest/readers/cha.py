"""Read transcripts in CHAT (.cha), as CHILDES and TalkBank have them: what each speaker says, with its translation tier."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.languages import known, language
from endonym.errors import DataError, Problem
from endonym.ingest.encoding import lines
from endonym.ingest.ids import Ids
from endonym.ingest.table import Bad, Row, usable
from endonym.types import Doc, Drop, Pair, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".cha",)
_TRANSLATIONS = ("tra", "trn", "ft", "xtra", "xtrn", "xft")
_ANALYSES = ("mor", "gra", "xmor", "xgra", "umor", "ugra", "wor", "tim")
_RETRACED = re.compile(r"(?:<([^<>]*)>|(\S+))\s*\[/{1,3}\]|(?:<([^<>]*)>|(\S+))\s*\[/[-?]\]")
_CODE = re.compile(r"\[[^\[\]]*\]|\x15[^\x15]*\x15|\((?:\.{1,3}|[\d.:]+)\)|(?<!\S)&[-+~=*]?\S+|(?<!\S)0\S*")
_LINKERS = re.compile(r'(?<!\S)\+(?:"|\^|<|,|\+)(?!\S)')
_ENDS = ((r"\+\.\.\.", "..."), (r"\+\.\.\?", "...?"), (r"\+!\?", "!?"), (r'\+"?/{0,2}"?([.?!])', r"\1"), (r"\+\.", "."))
_PROSODY = re.compile("[↑↓⇗↗→↘⇘∞≈≋≡∙⌈⌉⌊⌋∆∇⁎⁇◉▁▔☺∬∲∾↻⤆⤇ˈˌ‹›〔〕]\\d?")
_UNCLEAR = re.compile(r"(?<!\S)(?:xxx|yyy|www)(?!\S)")


class Config(BaseModel):
    """Settings of reading CHAT."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of the transcript where it names none; the project's when empty.")
    pivot: str = Field("", description="Language of the translation tiers; the project's pivot when empty.")
    speakers: list[str] = Field([], description="Take only these speakers (CHI, MOT); all when empty.")
    encoding: str = Field("", description="Encoding of the file; found when empty.")
    bad_rows: Literal["error", "ledger"] = Field(
        "error", description="What a malformed line does: stop with the list of all, or go to the ledger."
    )


def sniff(sample: Sample) -> float:
    """High where headers and speakers stand as CHAT has them."""
    head = sample.head.lstrip("\ufeff")
    begins = bool(re.search(r"^@(UTF8|Begin)\b", head, re.M))
    speaks = bool(re.search(r"^\*[A-Z0-9]{1,7}:\t", head, re.M))
    return 0.95 if begins and (speaks or "@Participants" in head) else 0.0


def marked(sample: Sample) -> list[tuple[str, str]]:
    """The languages of the header."""
    found = re.search(r"^@Languages:\s*(.+)$", sample.head, re.M)
    return [("@Languages", language(code.strip()).code) for code in re.split("[,;]", found[1])] if found else []


@dataclass
class _Utterance:
    line: int
    speaker: str
    text: str
    tiers: list[tuple[int, str, str]] = field(default_factory=list)
    """Line, name and text of what stands below it."""


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Pair` or `Doc` for every utterance, clean, with the line as it stands in `meta["raw"]`."""
    ids, part, kept = Ids(), 0, 0
    heads: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for row in usable(_utterances(path, cfg, heads), cfg.bad_rows, "cha"):
        if isinstance(row, Drop):
            yield row
            continue
        if "header" in row.values:
            name, text = row.values["header"]
            doc = Doc(ids("header", name, text), text, "", f"{path.name}:{row.line}", {"header": name})
            yield Drop(doc, "cha.header", f"@{name} says something about the recording")
            continue
        part += 1
        for item in _records(path, cfg, ids, row.values["utterance"], heads, part):
            kept += not isinstance(item, Drop)
            if isinstance(item, Drop) and item.reason == "cha.other_language":
                seen.update(code for code, _ in item.record.texts())
            yield item
    if not kept:
        found = ", ".join(f"{code} ({number})" for code, number in seen.most_common()) or "no words"
        raise DataError(Problem(path.name, 0, "@Languages", f"no utterance is in {cfg.language} or {cfg.pivot}",
                                f"the file has {found}; set language in the source's settings"))  # fmt: skip


def _records(
    path: Path, cfg: Config, ids: Ids, said: _Utterance, heads: dict[str, str], part: int
) -> Iterator[Record | Drop]:
    first = re.split("[,;]", heads.get("Languages", ""))[0].strip()
    precode = re.match(r"\s*\[- ([a-z]{3})\]", said.text)
    code = language(precode[1] if precode else first or cfg.language).code
    text, about = clean(said.text)
    meta: dict[str, Any] = {"document": path.stem, "part": part, "speaker": said.speaker, "raw": said.text, **about}
    role = dict(_participants(heads.get("Participants", ""))).get(said.speaker)
    meta |= {"role": role} if role else {}
    meta |= {name: tier for _, name, tier in said.tiers if name in _ANALYSES}
    origin = f"{path.name}:{said.line}"
    target = ""
    for line, name, tier in said.tiers:
        theirs = _language_of(name, cfg)
        if name in _ANALYSES:
            continue
        if theirs == cfg.pivot != code and not target:
            target = clean(tier)[0]
        elif tier.strip():
            doc = Doc(
                ids("tier", name, tier), tier, theirs, f"{path.name}:{line}", {"document": path.stem, "part": part}
            )
            yield Drop(doc, "cha.other_tier", f"%{name} is neither the utterance nor its translation")
    if text and target and code != cfg.pivot:
        record: Pair | Doc = Pair(
            ids("pair", code, text, cfg.pivot, target), text, target, code, cfg.pivot, origin, meta
        )
    else:
        record = Doc(ids("doc", code, text or said.text), text or said.text, code, origin, meta)
    if not text:
        yield Drop(record, "cha.no_words", "only codes, or words that nobody understood")
    elif code not in (cfg.language, cfg.pivot):
        yield Drop(record, "cha.other_language", f"{code}, wanted {cfg.language} and {cfg.pivot}")
    elif cfg.speakers and said.speaker not in cfg.speakers:
        yield Drop(record, "cha.other_speaker", f"{said.speaker}, wanted {', '.join(cfg.speakers)}")
    else:
        yield record


def _language_of(name: str, cfg: Config) -> str:
    """Language of a dependent tier: `%spa`, `%xspa`, or `%tra` for the pivot; `""` for an analysis."""
    code = name[1:] if len(name) == 4 and name.startswith("x") else name
    if code in (cfg.language, cfg.pivot):
        return code
    if name in _TRANSLATIONS:
        return cfg.pivot
    return language(code).code if len(code) == 3 and known(code) else ""


def _participants(header: str) -> Iterator[tuple[str, str]]:
    for one in header.split(","):
        words = one.split()
        if words:
            yield words[0], words[-1]


def clean(raw: str) -> tuple[str, dict[str, Any]]:
    """The words of a CHAT line as a person would write them, and its times and unintelligible words.

    Taken off, after the CHAT manual (MacWhinney, The CHILDES Project): what a speaker takes back (`[/]`, `[//]`), fillers and
    fragments (`&-`, `&+`), events, pauses, omitted words, comments and replacements in brackets, marks on words.
    """
    about: dict[str, Any] = {}
    times = re.findall(r"\x15(\d+)_(\d+)\x15", raw)
    if times:
        about |= {"start": int(times[0][0]) / 1000, "end": int(times[-1][1]) / 1000}
    text = re.sub(r"\x15[^\x15]*\x15", " ", raw)
    # \x02 with a character behind it begins and ends underlining and the like in CLAN.
    text = re.sub(r"\x02[\x01-\x04]", "", text)
    # Comments and replacements may stand between the words and the mark that takes them back.
    text = re.sub(r"\[(?!/)[^\[\]]*\]", " ", text)
    while True:
        less = _RETRACED.sub(" ", text)
        if less == text:
            break
        text = less
    text = _CODE.sub(" ", text)
    for end, said in _ENDS:
        text = re.sub(rf"\s*(?<!\S){end}\s*$", rf" {said}", text)
    text = re.sub(r"[<>]", " ", _PROSODY.sub("", _LINKERS.sub(" ", text)))
    unclear = len(_UNCLEAR.findall(text))
    about |= {"unclear": unclear} if unclear else {}
    words = [_word(word) for word in _UNCLEAR.sub(" ", text).split()]
    joined = " ".join(word for word in words if word)
    joined = re.sub(r"\s+([.?!,;])", r"\1", joined).strip()
    return (joined if any(char.isalnum() for char in joined) else ""), about


def _word(word: str) -> str:
    if word in ("‡", "„"):
        return ","
    word = re.sub(r"(?<=\w)@[\w:&+$-]+", "", word)
    word = re.sub(r"\(([^()\s]*)\)", r"\1", word)
    word = re.sub(r"(?<=\w):+(?=\w|$|[.?!,])|(?<=\w)\^(?=\w)|(?<=\w)\+(?=\w)", "", word)
    return word.replace("_", " ").strip('"“”') if word.strip('"“”') else ""


def _utterances(path: Path, cfg: Config, heads: dict[str, str]) -> Iterator[Row | Bad]:
    said: _Utterance | None = None
    for number, line in _whole_lines(path, cfg.encoding):
        match = re.match(r"([@*%])([^:\t]*):?[ \t]*(.*)", line, re.S)
        if not match:
            what = "a line that is no header, no speaker and no tier"
            yield Bad(
                Problem(
                    path.name, number, "", what, "begin it with @, * or %, or with a tab to go on with the line before"
                ),
                line,
            )
            continue
        mark, name, text = match.groups()
        if mark == "%" and said is not None:
            said.tiers.append((number, name.strip().lower(), text.strip()))
            continue
        if said is not None and mark != "%":
            yield Row(said.line, {"utterance": said})
            said = None
        if mark == "@":
            heads[name.strip()] = text.strip()
            if text.strip() and name.strip() not in ("Languages", "Participants"):
                yield Row(number, {"header": (name.strip(), text.strip())})
        elif mark == "*":
            said = _Utterance(number, name.strip(), text.strip())
        else:
            yield Bad(Problem(path.name, number, name, "a tier without an utterance above it", "put it below its speaker's line"), line)  # fmt: skip
    if said is not None:
        yield Row(said.line, {"utterance": said})


def _whole_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Lines with those that go on with them: they begin with a tab."""
    begun, whole = 0, ""
    for number, raw in lines(path, encoding):
        line = raw.strip("\r\n").lstrip("\ufeff")
        if line.startswith(("\t", " ")) and whole:
            whole += " " + line.strip()
        elif line.strip():
            if whole:
                yield begun, whole
            begun, whole = number, line
    if whole:
        yield begun, whole
