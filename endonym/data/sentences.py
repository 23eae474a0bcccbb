"""Cut a paragraph into sentences without losing a character, as each script ends them.

Ends are the marks that Unicode calls sentence terminals (`. ! ? ። । ॥ ؟ ۔ 。` and their like, Unicode Standard Annex 29), the
ellipsis and the Tibetan shad, and blank lines. A full stop counts only where it cannot belong to an abbreviation, an initial, a
number or a list mark. Ethiopic text typed with two word separators or two colons for its full stop is cut there too, and so
are Devanagari typed with a bar for the danda and the Greek question mark.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import regex

_CLOSERS = r"[\p{Pe}\p{Pf}\"'”’»›]*"
_END = regex.compile(
    rf"""(?V1)
    (?P<blank>\s*\n\s*\n\s*)
    | (?P<sure> (?: (?<=\p{{Ethiopic}}\s?)(?:፡፡|::) | (?<=\p{{Devanagari}}\s?)\|+ | (?<=\p{{Greek}}); (?=\s)
      | [\p{{Sentence_Break=STerm}}།༎--[!?.]] )+ ) (?:\s*\p{{N}}+\s*[।॥]+)? {_CLOSERS} \s*
    | (?P<mark> [!?…‽]+ \.* | \.{{2,}} ) (?P<closed>{_CLOSERS}) (?:\s+|\Z)
    | (?P<stop> \. ) {_CLOSERS} (?:\s+|\Z)
    """,
    regex.VERBOSE,
)
_UPPER = regex.compile(r"\p{Lu}")
_LOWER_NEXT = regex.compile(r"[\p{P}\s]*\p{Ll}")
_DIGIT_NEXT = regex.compile(r"[\p{P}\s]*\p{N}")
_LAST_WORD = regex.compile(r"[\p{L}\p{M}\p{N}.]+\Z")
_LIST_MARK = regex.compile(r"\s*[\p{Ps}]*(?:\p{N}{1,3}|\p{L})(?:\.\p{N}{1,3})*\Z")
_INITIAL = regex.compile(r"(?:\p{Lu}\p{M}*|(?:\p{L}{1,2}\p{M}*\.)+\p{L}{1,2}\p{M}*)\Z")


def sentences(text: str) -> list[str]:
    """Return the sentences of `text`, each with the white space that follows it: joined they are the text again."""
    cased = bool(_UPPER.search(text))
    pieces, start = [], 0
    for end in _END.finditer(text):
        if end.end() > start and text[start : end.end()].strip() and _ends(text, start, end, cased):
            pieces.append(text[start : end.end()])
            start = end.end()
    if start < len(text):
        rest = text[start:]
        if pieces and not rest.strip():
            pieces[-1] += rest
        else:
            pieces.append(rest)
    return pieces


def _ends(text: str, start: int, end: regex.Match[str], cased: bool) -> bool:
    """Whether the mark found ends a sentence that began at `start`; `cased` is whether the text uses capital letters."""
    if end["blank"] or end["sure"]:
        return True
    lower_next = cased and bool(_LOWER_NEXT.match(text, end.end()))
    if end["mark"]:
        # "¿Qué?" dijo; y... luego. Only where nothing small follows is the sentence over.
        return not (lower_next and (end["closed"] or end["mark"][0] in "….‽"))
    before = text[start : end.start()]
    if lower_next or _LIST_MARK.match(before):
        return False
    found = _LAST_WORD.search(before)
    word = found.group() if found else ""
    if _INITIAL.match(word):
        return end.end() == len(text)
    always, before_number = _abbreviations()
    if word.casefold() in always:
        return end.end() == len(text)
    return not (word.casefold() in before_number and _DIGIT_NEXT.match(text, end.end()))


@cache
def _abbreviations() -> tuple[frozenset[str], frozenset[str]]:
    data = tomllib.loads(Path(__file__).with_name("abbreviations.toml").read_text(encoding="utf-8"))
    return frozenset(data["always"]), frozenset(data["before_number"])
