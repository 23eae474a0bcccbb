"""Find personal data in text: e-mail addresses, telephone numbers, card, account and identity numbers, each checked as far as it can be.

Verse numbers, years, dates, ISBN and ISSN look like such numbers and are told apart by their form and their check digits. Cards: the
Luhn formula (ISO/IEC 7812-1); accounts: IBAN, check digits modulo 97 (ISO 13616, ISO/IEC 7064); books: ISBN (ISO 2108).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import regex


@dataclass(frozen=True)
class Found:
    """One piece of personal data: where it stands and of which kind."""

    start: int
    end: int
    kind: str
    """`email`, `phone`, `card`, `iban` or `id`."""


_EMAIL = regex.compile(
    r"(?<![\p{L}\p{N}._%+-])[\p{L}\p{N}][\p{L}\p{N}._%+-]{0,63}@(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?\.)+\p{L}{2,24}(?![\p{L}\p{N}@])"
)
_IBAN = regex.compile(
    r"(?<![\p{L}\p{N}])[A-Z]{2}[0-9]{2}(?:[ ]?[0-9A-Z]{4}){2,7}(?:[ ]?[0-9A-Z]{1,3})?(?![\p{L}\p{N}])"
)
_NUMBER = regex.compile(
    r"(?<![\p{L}\p{N}.,:/\u1369-\u137c])\+?\(?\d(?:[\d]|[ \u00a0.()/–-]{1,2}(?=[\d(]))*\d(?![\p{L}\p{N}]|[.,:/]\d)"
)
_NAMED = regex.compile(
    r"(?i)(?:\b(?:tel[eé]?(?:f(?:ono|on|one)?|phone)?|phone|cel(?:ular)?|m[oó]vil|mobile|whats\s?app|fax|ph|call|ll[aá]m\w*)"
    r"|ስልክ|ቴሌፎን|फ़ोन|फोन|दूरभाष|هاتف|телефон|тел)[\p{L}]*[.:]?\s*(?:(?:no|nr|n[úu]m|number|n[º°])\.?:?\s*)?[:#]?\s*$"
)
_ID_NAMED = regex.compile(
    r"(?i)\b(?:dni|curp|rfc|nif|nie|cui|c[eé]dula|passport|pasaporte|passeport|ssn|social security|national id|id(?:entity)? (?:card )?(?:no|number)"
    r"|aadhaar|c\.?\s?i\.?|rut|kebele id|fayda)\b[\s.:#º°no]*$"
)
_NO_PHONE = regex.compile(
    r"(?i)(?:\bisbn(?:-1[03])?|\bissn|\bdoi|\bpp?\.|\bp[aá]gs?\.|\bvol\.|\bnos?\.|\bart\.|[$€£₲%])[\s:]*$"
)
_DATE = regex.compile(
    r"(?:\d{1,2}[./ -]\d{1,2}[./ -](?:1[5-9]|20)?\d\d|(?:1[5-9]|20)\d\d[./ -]\d{1,2}[./ -]\d{1,2}|(?:1[0-9]|20)\d\d\s?[-–/]\s?(?:1[0-9]|20)?\d\d)"
)
_GROUPED_THOUSANDS = regex.compile(r"\d{1,3}(?:([ .\u00a0])\d{3})(?:\1\d{3})*")
_YEAR = regex.compile(r"1\d\d\d|20\d\d")
_LEAST_PHONE, _MOST_PHONE = 7, 15
"""Digits of a telephone number: ITU-T E.164 allows fifteen."""


def find(text: str) -> list[Found]:
    """All personal data found in a text, in order, none overlapping."""
    found: list[Found] = []
    for item in (*_letters(text), *_numbers(text)):
        if not any(item.start < other.end and other.start < item.end for other in found):
            found.append(item)
    return sorted(found, key=lambda item: item.start)


def masked(text: str, found: list[Found]) -> str:
    """The text with each piece replaced by its kind in brackets: `[email]`."""
    out, start = [], 0
    for item in found:
        out += [text[start : item.start], f"[{item.kind}]"]
        start = item.end
    return "".join([*out, text[start:]])


def _letters(text: str) -> Iterator[Found]:
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield Found(match.start(), match.end(), "email")
    for match in _IBAN.finditer(text):
        if _is_iban(match.group()):
            yield Found(match.start(), match.end(), "iban")


def _numbers(text: str) -> Iterator[Found]:
    for match in _NUMBER.finditer(text):
        kind = _kind(match.group(), text[max(0, match.start() - 40) : match.start()])
        if kind:
            yield Found(match.start(), match.end(), kind)


def _kind(number: str, before: str) -> str:
    """What a run of digits and separators is, by its form, its check digits and the words before it; empty for nothing personal."""
    digits = "".join(str(int(char)) for char in number if char.isdigit())
    if _ID_NAMED.search(before) and 6 <= len(digits) <= 18:
        return "id"
    named = bool(_NAMED.search(before))
    if not named and (_NO_PHONE.search(before) or _DATE.fullmatch(number) or _is_isbn(digits)):
        return ""
    if 13 <= len(digits) <= 19 and _is_card(digits, number):
        return "card"
    if not _LEAST_PHONE - 2 * named <= len(digits) <= _MOST_PHONE:
        return "id" if 16 <= len(digits) <= 20 and number.isdigit() else ""
    if named or number.startswith("+"):
        return "phone"
    if _GROUPED_THOUSANDS.fullmatch(number):
        return ""
    groups = [group for group in regex.split(r"\D+", number) if group]
    # Without a name or a plus only the usual ways to group a number count: numbers in a row, as verses and tables have them, do not.
    if len(groups) == 1:
        return "id" if len(digits) >= 9 and len(set(digits)) > 2 else ""
    if all(_YEAR.fullmatch(group) for group in groups):
        return ""
    if regex.search(r"^\(\d{1,5}\)|^\d{1,5}[-. ]\d{3,4}[-. ]\d{3,4}$|^0\d{1,4}[-/ ]\d{5,8}$", number):
        return "phone"
    return (
        "phone"
        if number.count("-") and len(groups) <= 4 and all(2 <= len(g) <= 4 for g in groups) and len(digits) >= 8
        else ""
    )


def _is_card(digits: str, number: str) -> bool:
    """A payment card: an issuer's first digits, groups of four (or four, six, five), and the Luhn sum."""
    if digits[0] not in "23456" or len(set(digits)) < 2:
        return False
    sizes = [len(group) for group in regex.split(r"\D+", number) if group]
    if len(sizes) > 1 and sizes not in ([4, 6, 5], [4, 6, 4]) and any(size != 4 for size in sizes[:-1]):
        return False
    doubled = [int(d) * (2 if i % 2 else 1) for i, d in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _is_iban(text: str) -> bool:
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    moved = plain[4:] + plain[:4]
    return int("".join(str(int(char, 36)) for char in moved)) % 97 == 1


def _is_isbn(digits: str) -> bool:
    if len(digits) == 13 and digits.startswith(("978", "979")):
        return sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(digits)) % 10 == 0
    return len(digits) == 10 and sum(int(d) * (10 - i) for i, d in enumerate(digits)) % 11 == 0
