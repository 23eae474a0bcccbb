"""Tell whether anything of the held-out splits is also in training: an example, a headword, or 30 characters in a row.

Word n-grams are blind where words are few or long, so texts are compared by every window of 30 characters after NFKC, case folding
and leaving out all but letters, marks and digits. A shorter example counts when the whole of it is the same, or when it is a headword.
Windows that one chat in twenty shares are phrases of the form of the data ("Translate into ...") and are left out, for chats only.

A short text inside a prompt has no window, so chats are also compared by what they were made of and by question and answer together.
One of the two alone is no leak in a chat made of a record: a gloss such as "board" answers for many words.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import regex
from numpy.typing import NDArray

from endonym.data.dataset import Dataset
from endonym.data.glosses import glosses
from endonym.data.near_dup import normalise
from endonym.data.scripts import APOSTROPHES
from endonym.errors import LeakError
from endonym.types import Chat, Entry, Pair, Preference, Record

SPAN = 30
COMMON_SHARE = 0.05
COMMON_LEAST = 20
"""A window is form and not content when this many chats, and this share of them, have it."""
SHOWN = 10
_CHUNK = 20_000
_QUOTED = regex.compile(r"[\"“«„]([^\"“”«»„]+)[\"”»“]")
_OUTER = regex.compile(
    rf"^[^\p{{L}}\p{{M}}\p{{N}}{regex.escape(APOSTROPHES)}]+|[^\p{{L}}\p{{M}}\p{{N}}{regex.escape(APOSTROPHES)}]+$"
)
_ONE_APOSTROPHE = str.maketrans(dict.fromkeys(APOSTROPHES, "'"))


@dataclass(frozen=True)
class Overlap:
    """Something that a training record shares with a held-out one."""

    split: str
    record: Record
    held_out_split: str
    held_out: Record
    what: str

    def __str__(self) -> str:
        return f"{self.split} {self.record.origin} and {self.held_out_split} {self.held_out.origin}: {self.what}"


@dataclass(frozen=True)
class Marks:
    """What may not be on both sides, as 64-bit hashes, and the number of the record each comes from."""

    hashes: NDArray[np.uint64]
    owners: NDArray[np.int64]


def headword_key(headword: str) -> str:
    """How headwords are compared: NFKC, case folded, one apostrophe for all apostrophes, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", headword.translate(_ONE_APOSTROPHE)).casefold().split())


def headwords(record: Record) -> list[str]:
    """Headword keys of an entry, or of the entries an example sentence stands under."""
    if isinstance(record, Entry):
        return [headword_key(record.headword)]
    return [headword_key(str(h)) for h in record.meta.get("headwords", ())]


def examples(record: Record) -> Iterator[str]:
    """Texts of a record that count as a whole: both sides of a pair, a paragraph, what is asked in a chat of the user's own."""
    if isinstance(record, Chat | Preference):
        if "record" not in record.meta:
            yield _asked(record)
    elif not isinstance(record, Entry):
        yield from (text for _, text in record.texts())


def exchanges(record: Record) -> set[tuple[str, str]]:
    """What is said for what, normalised, in either direction: the sides of a pair, headword and glosses, question and answer."""
    if isinstance(record, Pair):
        found = {(record.source, record.target)}
    elif isinstance(record, Entry):
        definitions = [sense.definition for sense in record.senses]
        found = {(record.headword, text) for d in definitions for text in (d, *glosses(d))}
    elif isinstance(record, Chat):
        found = {(question, record.answer) for question in _questions(record)}
    elif isinstance(record, Preference):
        found = {(question, record.chosen) for question in _questions(record)}
    else:
        found = set()
    ordered = (sorted((normalise(a), normalise(b))) for a, b in found)
    return {(a, b) for a, b in ordered if a and b}


def made_of(record: Record) -> str:
    """Id of the record that a chat was composed from; of anything else its own."""
    return str(record.meta.get("record") or record.id)


def texts(record: Record) -> Iterator[str]:
    """Texts of a record that are searched for shared spans: all but system prompts."""
    if isinstance(record, Chat | Preference):
        yield from (m.content for m in record.messages if m.role != "system")
    if isinstance(record, Preference):
        yield from (record.chosen, record.rejected)
    elif not isinstance(record, Chat):
        yield from (text for _, text in record.texts())
    if isinstance(record, Entry):
        # A gloss has its brackets taken out, so it may hold a span that the definition does not.
        yield from (gloss for sense in record.senses for gloss in glosses(sense.definition))


def marks(records: Sequence[Record], span: int = SPAN) -> Marks:
    """Headwords, short examples and all windows of `span` characters of these records."""
    hashes: list[NDArray[np.uint64]] = []
    owners: list[NDArray[np.int64]] = []
    for start in range(0, len(records), _CHUNK):
        single: list[tuple[int, str]] = []
        long: list[tuple[int, str]] = []
        for i, record in enumerate(records[start : start + _CHUNK], start):
            single += [(i, f"record\0{made_of(record)}")]
            single += [(i, f"headword\0{key}") for key in _words(record)]
            single += [(i, f"example\0{text}") for text in map(normalise, examples(record)) if 0 < len(text) < span]
            single += [(i, f"exchange\0{a}\0{b}") for a, b in exchanges(record)]
            long += [(i, text) for text in map(normalise, texts(record)) if len(text) >= span]
        hashes += [np.array([_hash(text) for _, text in single], dtype=np.uint64)]
        owners += [np.array([i for i, _ in single], dtype=np.int64)]
        windows, places = _windows(long, span)
        hashes.append(windows)
        owners.append(places)
    joined = Marks(np.concatenate([np.empty(0, np.uint64), *hashes]), np.concatenate([np.empty(0, np.int64), *owners]))
    return _without_common(joined, records)


def overlaps(splits: Mapping[str, Sequence[Record]], span: int = SPAN) -> list[Overlap]:
    """Everything `train` shares with `valid` or `test`, and `valid` with `test`: one line for each record of the first of the two."""
    names = [name for name in ("train", "valid", "test") if name in splits]
    records = [(name, record) for name in names for record in splits[name]]
    found = marks([record for _, record in records], span)
    rank = np.array([names.index(name) for name, _ in records], dtype=np.int64)
    order = np.lexsort((found.owners, found.hashes))
    hashes, owners = found.hashes[order], found.owners[order]
    starts = np.flatnonzero(np.r_[True, hashes[1:] != hashes[:-1]]) if len(hashes) else np.empty(0, np.int64)
    worst = np.maximum.reduceat(rank[owners], starts) if len(starts) else starts
    size = np.diff(np.r_[starts, len(hashes)])
    # Records are in the order of their splits, so the last owner of a mark is in the most protected split.
    last = owners[starts + size - 1] if len(starts) else starts
    held = np.repeat(last, size)
    crossing = rank[owners] < np.repeat(worst, size)
    seen: dict[int, int] = {}
    for owner, other in zip(owners[crossing].tolist(), held[crossing].tolist()):
        if rank[other] > rank[seen.get(owner, owner)]:
            seen[owner] = other
    return [_describe(records[i], records[j], span) for i, j in sorted(seen.items())]


def check(folder: Path | str, training: Iterable[Record] | None = None) -> None:
    """Raise LeakError when a split dataset shares anything between training and held-out splits.

    `training` stands in for the train split, to check what is really trained on (the chats made of it).
    """
    dataset = Dataset(folder, verb="split")
    splits: dict[str, Sequence[Record]] = {
        name: list(dataset.records(name)) for name in dataset.splits if name != "train"
    }
    splits["train"] = list(dataset.records("train") if training is None else training)
    hint = "endonym split" if training is None else "endonym split, then endonym compose"
    refuse(overlaps(splits), f"Make it again with: {hint}")


def held_out(folder: Path | str, records: Sequence[Record]) -> set[str]:
    """Ids of those of `records` that share text, a headword or an exchange with a held-out split of the dataset in `folder`.

    What is held out is only compared with, as `check` does; nothing of it leaves this function.
    """
    dataset = Dataset(folder, verb="split")
    splits: dict[str, Sequence[Record]] = {"train": records}
    splits |= {name: list(dataset.records(name)) for name in dataset.splits if name != "train"}
    return {overlap.record.id for overlap in overlaps(splits) if overlap.split == "train"}


def refuse(found: Sequence[Overlap], hint: str = "Make the split again with: endonym split") -> None:
    """Raise LeakError listing the first overlaps when there are any."""
    if found:
        listed = "\n".join(f"  {overlap}" for overlap in found[:SHOWN])
        more = f"\n  ... and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise LeakError(
            f"{len(found)} records share text or a headword with a more protected split\n{listed}{more}",
            hint,
        )


def _describe(left: tuple[str, Record], right: tuple[str, Record], span: int) -> Overlap:
    (split, record), (other_split, other) = left, right
    theirs = {t for t in map(normalise, examples(other)) if t}
    for text in map(normalise, examples(record)):
        if text in theirs:
            return Overlap(split, record, other_split, other, f"the same example '{text}'")
    for key in sorted(_words(record)):
        if key in _words(other):
            return Overlap(split, record, other_split, other, f"headword '{key}'")
    if made_of(record) == made_of(other):
        return Overlap(split, record, other_split, other, "one is made of the other")
    for a, b in sorted(exchanges(record) & exchanges(other)):
        return Overlap(split, record, other_split, other, f"'{a}' for '{b}'")
    windows = {t[i : i + span] for t in map(normalise, texts(other)) for i in range(len(t) - span + 1)}
    for text in map(normalise, texts(record)):
        for i in range(len(text) - span + 1):
            if text[i : i + span] in windows:
                return Overlap(split, record, other_split, other, f"'{text[i : i + span]}'")
    return Overlap(split, record, other_split, other, "an equal text")


def _words(record: Record) -> set[str]:
    """Headword keys of a record, and its short examples as headwords: an example may be nothing but a word of the dictionary."""
    short = (text for text in examples(record) if len(text) < SPAN)
    keys = (headword_key(_OUTER.sub("", text)) for text in short)
    return {key for key in (*headwords(record), *keys) if key}


def _asked(record: Chat | Preference) -> str:
    return " ".join(m.content for m in record.messages if m.role == "user")


def _questions(record: Chat | Preference) -> set[str]:
    """What a chat may be asking about: all of it, its last line, what follows a colon, what stands in quotes."""
    asked = _asked(record)
    last = asked.strip().rpartition("\n")[2]
    return {asked, last, last.rpartition(":")[2], *_QUOTED.findall(asked), str(record.meta.get("source", ""))}


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _windows(numbered: Sequence[tuple[int, str]], span: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hash of every window of `span` characters, each once a record: a polynomial over mixed code points, modulo 2**64."""
    if not numbered:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    codes = np.frombuffer("".join(text for _, text in numbered).encode("utf-32-le"), np.uint32).astype(np.uint64)
    # Mixing (Steele, Lea and Flood, splitmix64, 2014) keeps the polynomial's regularities away from real alphabets.
    codes = (codes + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    codes = (codes ^ (codes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    codes ^= codes >> np.uint64(27)
    sizes = np.array([len(text) for _, text in numbered])
    ends = np.repeat(np.cumsum(sizes), sizes)
    starts = np.flatnonzero(np.arange(len(codes)) + span <= ends)
    hashes = np.zeros(len(starts), np.uint64)
    for k in range(span):
        hashes = hashes * np.uint64(0xD1342543DE82EF95) + codes[starts + k]
    owners = np.repeat(np.array([i for i, _ in numbered], dtype=np.int64), sizes)[starts]
    return hashes, owners


def _without_common(found: Marks, records: Sequence[Record]) -> Marks:
    """Leave out windows that very many chats share."""
    is_chat = np.array([isinstance(r, Chat | Preference) for r in records], dtype=bool)
    limit = max(COMMON_LEAST, int(COMMON_SHARE * is_chat.sum()))
    if is_chat.sum() <= COMMON_LEAST:
        return found
    order = np.lexsort((found.owners, found.hashes))
    hashes, owners = found.hashes[order], found.owners[order]
    once = np.r_[True, (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])] & is_chat[owners]
    values, counts = np.unique(hashes[once], return_counts=True)
    keep = ~(np.isin(found.hashes, values[counts > limit]) & is_chat[found.owners])
    return Marks(found.hashes[keep], found.owners[keep])
