"""Say which language each side of a dictionary is in: by the file's own marks, by its name, else by what stands in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from endonym.data.languages import known as in_table
from endonym.data.languages import language, name
from endonym.data.lexicon import words as words_of
from endonym.ingest.columns import language_of
from endonym.ingest.finding import Said
from endonym.ingest.language import Known, identify

PRIVATE = re.compile(r"q[a-t][a-z]|x|und|mis|mul|zxx|art|i|xxx|zzz|v|vern", re.I)
"""Codes that name no language: ISO 639's private and special ones, and what programs write when they were told none."""


def code_of(tag: str, tags: Mapping[str, str]) -> str:
    """ISO 639-3 code of a language mark as the file writes it: as the settings say, else by its first part."""
    return tags.get(tag) or (language(tag).code if tag else "")


def names_a_language(tag: str) -> bool:
    """Whether a mark such as `es`, `tzh-MX` or `qaa-x-own` names a language everybody knows by it."""
    first = tag.replace("_", "-").partition("-")[0]
    return bool(re.fullmatch(r"[A-Za-z]{2,3}", first)) and not PRIVATE.fullmatch(first)


def from_marks(
    values: dict[str, Any], words: Mapping[str, list[str]], meanings: Mapping[str, list[str]], known: Known
) -> list[Said]:
    """Languages of a file that marks every text; `words` and `meanings` hold its texts by mark, `""` for none.

    Of several, the project's two are taken. A mark that names no language stands for the project's, and the setting `tags` says so.
    """
    tags: dict[str, str] = dict(values.get("tags") or {})
    found = []
    for field, part, texts, own in (("language", "headwords", words, known.language), ("pivot", "definitions", meanings, known.pivot)):  # fmt: skip
        if values.get(field):
            found.append(Said(part, str(values[field]), "as set"))
            continue
        said = _of_marks(part, {tag: t for tag, t in texts.items() if tag}, own, tags)
        found.append(said or by_content(part, texts.get("", []), own, known))
        values[field] = found[-1].language
    if tags:
        values["tags"] = tags
    return found


def _of_marks(part: str, texts: Mapping[str, list[str]], own: str, tags: dict[str, str]) -> Said | None:
    marks = Counter({tag: len(found) for tag, found in texts.items()})
    if not marks:
        return None
    for tag in marks:
        if code_of(tag, tags) in (own, language(own).code):
            if code_of(tag, tags) != own:
                # The table of languages counts `swh` among `swa`; the project calls it by its own code.
                tags[tag] = own
            return Said(part, own, "the file says so")
    tag = marks.most_common(1)[0][0]
    if names_a_language(tag):
        return Said(part, code_of(tag, tags), "the file says so")
    tags[tag] = own
    return Said(part, own, f"the file calls it '{tag}', which names no language; taken from the project")


def by_content(part: str, texts: list[str], own: str, known: Known) -> Said:
    """The language of texts that nothing marks: what they say when that is sure, else the project's."""
    guessed = identify(texts, known)
    if guessed.code and not guessed.how.startswith("taken for"):
        return Said(part, guessed.code, guessed.how)
    return Said(part, own, f"{guessed.how}; taken from the project" if not guessed.code else "taken from the project")


def two_sides(values: dict[str, Any], title: str, words: list[str], meanings: list[str], known: Known) -> list[Said]:
    """Languages of a file that marks none: by its title or name (`spa-eng`, `Spanish-English`), else by content."""
    pair, how = pair_in(title, known)
    found = []
    for number, (field, part, texts, own) in enumerate(
        (("language", "headwords", words, known.language), ("pivot", "definitions", meanings, known.pivot))
    ):
        if values.get(field):
            said = Said(part, str(values[field]), "as set")
        elif pair:
            said = Said(part, pair[number], how)
        else:
            said = by_content(part, texts, own, known)
        found.append(said)
    if not pair and found[0].language == found[1].language and not values.get("language"):
        # One dictionary, two languages: what is sure of one side tells the other, unless the words are defined in their own.
        other = known.pivot if found[1].language == known.language else known.language
        found[0] = (
            Said("headwords", found[1].language, "they stand in the definitions of others")
            if _defined_by_themselves(words, meanings)
            else Said("headwords", other, "the definitions are not; taken from the project")
        )
    for field, said in zip(("language", "pivot"), found):
        values[field] = said.language
    for said, texts in zip(found, (words, meanings)):
        known.learn(said.language, texts)
    return found


def _defined_by_themselves(words: list[str], meanings: list[str]) -> bool:
    """Whether a dictionary is of one language: some of its headwords stand in several of its definitions.

    Of the first 500 articles of Littré's and of Webster's dictionary 33 and 21 % do, of English-Spanish and Swahili-English ones 2 and 0 %.
    """
    spread = Counter(word for text in meanings for word in set(words_of(text.casefold())))
    return sum(spread[word.casefold()] > 1 for word in words) > 0.1 * len(words)


def pair_in(title: str, known: Known) -> tuple[tuple[str, str] | None, str]:
    """Two languages named with a hyphen between them in a title or file name, and how that was said."""
    for first, second in re.findall(r"([^\W\d_]+)\s*(?:-|–|→|>|_)\s*([^\W\d_]+)", title):
        codes = tuple(_code(word, known) for word in (first, second))
        if codes[0] and codes[1] and codes[0] != codes[1]:
            said = f"its name says {name(codes[0])} to {name(codes[1])}"
            return (codes[0], codes[1]), said
    return None, ""


def _code(word: str, known: Known) -> str:
    if word.lower() in (known.language, known.pivot):
        return word.lower()
    if 2 <= len(word) <= 3:
        return language(word).code if in_table(word) else ""
    return language_of(word)
