"""Short word-like glosses out of a dictionary's definitions, for looking words up."""

from __future__ import annotations

import re

LONGEST_WORDS = 4


def glosses(definition: str) -> list[str]:
    """Return the leading equivalents of a definition: `(en desuso) hoja; aparece en varios compuestos` gives `["hoja"]`.

    A gloss is a piece between commas and semicolons of at most four words, remarks in brackets and quotations taken out.
    Longer pieces describe rather than translate and are left to the definition.
    """
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", definition)
    text = re.sub(r"\([^()]*\)|\[[^\[\]]*\]|[\"“][^\"”]*[\"”]|«[^»]*»", " ", text)
    found = []
    for piece in re.split(r"[;,:·።፣፤،؛।]|\d+\.", text):
        words = piece.split()
        if 0 < len(words) <= LONGEST_WORDS:
            gloss = " ".join(words).strip(" .!?¡¿")
            if gloss and gloss not in found:
                found.append(gloss)
    return found
