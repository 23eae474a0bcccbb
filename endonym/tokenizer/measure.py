"""What a tokenizer makes of a language: counts per token, word, character and byte, and what it cannot write whole."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from endonym.data.lexicon import words
from endonym.models.spelling import byte_alphabet, is_byte_level
from endonym.tokenizer.corpus import encoded

_BYTE_TOKEN = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")


@dataclass(frozen=True)
class Measure:
    """Counts of one language's texts under one tokenizer, and the ratios people quote."""

    language: str
    texts: int
    words: int
    characters: int
    bytes: int
    tokens: int
    fragments: int
    """Tokens that are not whole characters: lone bytes, byte-fallback tokens, pieces of a UTF-8 sequence, unknown tokens."""
    tokens_per_word: float
    """Fertility (Rust et al., ACL 2021). Words are cut at spaces and at the script's own punctuation."""
    tokens_per_character: float
    bytes_per_token: float
    fragment_rate: float
    """`fragments` over `tokens`. Zero means every token is readable text."""
    covered: float
    """Share of characters (as they occur) that the tokenizer has as one whole token."""
    uncovered: tuple[tuple[str, int], ...]
    """The most frequent characters it has to build from bytes, with their counts."""
    tokens_per_text: float
    tokens_per_text_95: int
    """95 of 100 texts need at most this many tokens (nearest rank)."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def fragment_test(tokenizer: Any) -> Callable[[str], bool]:
    """Return the function that says whether a token, as the vocabulary spells it, is no whole character.

    Byte-level BPE: the token's bytes are not valid UTF-8 by themselves. With byte fallback: the token is `<0xE1>`. Any
    tokenizer: the token is the unknown token.
    """
    alphabet = byte_alphabet() if is_byte_level(tokenizer) else None
    unknown = getattr(tokenizer, "unk_token", None)
    special = set(getattr(tokenizer, "all_special_tokens", []))

    def is_fragment(token: str) -> bool:
        if token == unknown or _BYTE_TOKEN.match(token):
            return True
        if alphabet is None or token in special or any(character not in alphabet for character in token):
            return False
        try:
            bytes(alphabet[character] for character in token).decode()
        except UnicodeDecodeError:
            return True
        return False

    return is_fragment


def measure(tokenizer: Any, texts: Sequence[str], language: str) -> Measure:
    """Measure `texts` of one language. Each text counts without special tokens, as it would inside a prompt."""
    is_fragment = fragment_test(tokenizer)
    rows = list(encoded(tokenizer, texts))
    used = Counter(number for ids in rows for number in ids)
    names = dict(zip(used, tokenizer.convert_ids_to_tokens(list(used)), strict=True)) if used else {}
    characters = Counter(character for text in texts for character in text if not character.isspace())
    whole = {character: _is_whole(tokenizer, character, is_fragment) for character in characters}
    missing = Counter({character: count for character, count in characters.items() if not whole[character]})
    num_characters = sum(map(len, texts))
    num_words = sum(len(words(text)) for text in texts)
    num_bytes = sum(len(text.encode()) for text in texts)
    tokens = sum(used.values())
    fragments = sum(count for number, count in used.items() if is_fragment(names[number]))
    lengths = sorted(map(len, rows))
    rank_95 = -(-95 * len(lengths) // 100)
    return Measure(
        language=language,
        texts=len(texts),
        words=num_words,
        characters=num_characters,
        bytes=num_bytes,
        tokens=tokens,
        fragments=fragments,
        tokens_per_word=_over(tokens, num_words),
        tokens_per_character=_over(tokens, num_characters),
        bytes_per_token=_over(num_bytes, tokens),
        fragment_rate=_over(fragments, tokens),
        covered=1 - _over(sum(missing.values()), sum(characters.values())),
        uncovered=tuple(missing.most_common(12)),
        tokens_per_text=_over(tokens, len(texts)),
        tokens_per_text_95=lengths[rank_95 - 1] if lengths else 0,
    )


def dearest_words(tokenizer: Any, texts: Iterable[str], limit: int = 8) -> list[tuple[str, list[str]]]:
    """The frequent words that cost most tokens, each with its pieces as readable text (`�` for a broken character)."""
    counts = Counter(word for text in texts for word in words(text))
    rows = []
    for word, count in counts.most_common(300):
        ids = tokenizer(word, add_special_tokens=False)["input_ids"]
        rows.append((len(ids) * count, word, [tokenizer.decode([number]) for number in ids]))
    rows.sort(key=lambda row: (-len(row[2]), -row[0]))
    return [(word, pieces) for _, word, pieces in rows[:limit]]


def _is_whole(tokenizer: Any, character: str, is_fragment: Callable[[str], bool]) -> bool:
    """Whether some token is exactly this character; a leading space marker of its own is allowed."""
    ids = tokenizer(character, add_special_tokens=False)["input_ids"]
    return not any(is_fragment(token) for token in tokenizer.convert_ids_to_tokens(ids))


def _over(top: float, bottom: float) -> float:
    return top / bottom if bottom else 0.0
