"""Names in a line of tags, whatever scheme the tags are of."""

from __future__ import annotations

from collections.abc import Sequence

ENDS_BEFORE = ("B", "S", "U", "O")
"""Marks before which a name has ended."""
ENDS_AFTER = ("E", "L", "S", "U", "O")
"""Marks with which a name has ended."""


def has_names(tags: Sequence[str]) -> bool:
    """Whether these tags say where names begin and go on; word classes do not."""
    return all(tag == "O" or tag[1:2] == "-" for tag in tags) and any(tag != "O" for tag in tags)


def names(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Kind, first and last word of each name, as conlleval and seqeval find them: also one that begins with `I-`.

    Tjong Kim Sang and De Meulder, Introduction to the CoNLL-2003 Shared Task (CoNLL 2003).
    """
    found = set()
    start = 0
    for n, tag in enumerate([*tags, "O"]):
        mark, kind = tag[0], tag[2:]
        before, kind_before = (tags[n - 1][0], tags[n - 1][2:]) if n else ("O", "")
        goes_on = before not in ENDS_AFTER and mark not in ENDS_BEFORE and kind == kind_before
        if before != "O" and not goes_on:
            found.add((kind_before, start, n - 1))
        if mark != "O" and not goes_on:
            start = n
    return found
