"""Which of the widely known languages a text is in, by py3langid, offline."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from endonym.data.languages import language


def classify(text: str) -> tuple[str, float]:
    """ISO 639-3 code and probability by py3langid among all languages it knows."""
    short, sure = identifier().classify(text)
    return language(short).code, float(sure)


@lru_cache(maxsize=1)
def identifier() -> Any:
    """py3langid's model, with probabilities that sum to 1."""
    # Takes a second to load, hence only when it is asked.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
