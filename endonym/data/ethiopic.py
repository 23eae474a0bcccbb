"""Ethiopic numerals to numbers and back: ፩ to ፼, added and multiplied by the hundred and the ten thousand."""

from __future__ import annotations

UNITS = "፩፪፫፬፭፮፯፰፱"
TENS = "፲፳፴፵፶፷፸፹፺"
HUNDRED, MYRIAD, THOUSAND = "፻", "፼", "ሺ"
"""The thousand is a letter and no numeral: ፪ሺ፰ is written for 2008."""
DIGITS = frozenset(UNITS + TENS + HUNDRED + MYRIAD)
_VALUE = {**{c: i for i, c in enumerate(UNITS, 1)}, **{c: 10 * i for i, c in enumerate(TENS, 1)}}


def format_number(number: int) -> str:
    """Write a positive number in Ethiopic numerals: 101 is ፻፩, 2008 is ፳፻፰.

    The algorithm is that of W3C CSS Counter Styles Level 3, section 7.2 (ethiopic-numeric). Raises ValueError below one: there
    is no zero.
    """
    if number < 1:
        raise ValueError("Ethiopic numerals begin at one")
    if number == 1:
        return UNITS[0]
    digits = str(number)
    digits = "0" * (len(digits) % 2) + digits
    groups = [int(digits[i : i + 2]) for i in range(0, len(digits), 2)]
    out = []
    for i, group in enumerate(groups):
        place = len(groups) - 1 - i
        if not (group == 1 and (i == 0 or place % 2)):
            out.append((" " + TENS)[group // 10] + (" " + UNITS)[group % 10])
        if place % 2:
            out.append(HUNDRED if group else "")
        elif place:
            out.append(MYRIAD)
    return "".join(out).replace(" ", "")


def parse_number(text: str) -> int:
    """The number an Ethiopic numeral stands for, with or without the ፩ before ፻ and ፼, and with the letter ሺ for a thousand.

    Raises ValueError for anything else, also for units that follow units.
    """
    total = below = 0
    current = least = 0
    for char in text:
        if char in _VALUE:
            value = _VALUE[char]
            if least and (value >= 10 or least < 10):
                raise ValueError(f"'{text}' is no Ethiopic numeral: {char} cannot stand there")
            current, least = current + value, value
            continue
        if char == MYRIAD:
            whole = below + current
            total = (total + (whole if whole or total else 1)) * 10_000
            below = 0
        elif char in (HUNDRED, THOUSAND):
            below += (current or 1) * (100 if char == HUNDRED else 1000)
        else:
            raise ValueError(f"'{text}' is no Ethiopic numeral: it holds {char!r}")
        current = least = 0
    if not text or text == THOUSAND:
        raise ValueError(f"'{text}' is no Ethiopic numeral")
    return total + below + current
