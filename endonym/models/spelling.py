"""How a tokenizer spells text: the byte alphabet of byte-level BPE, and any token as the pieces another tokenizer has for it."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

_BYTE_TOKEN = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")
_SPACE = "\u2581"
"""How SentencePiece writes a space."""


def definition_of(tokenizer: Any) -> dict[str, Any]:
    """The content of a transformers tokenizer's tokenizer.json; empty for one that has none."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return dict(json.loads(backend.to_str())) if backend is not None else {}


def is_byte_level(tokenizer: Any) -> bool:
    """Whether tokens are spelled in GPT-2's byte alphabet, read from the tokenizer's own definition."""
    definition = definition_of(tokenizer)
    return '"ByteLevel"' in json.dumps([definition.get("pre_tokenizer"), definition.get("decoder")])


@lru_cache(maxsize=1)
def byte_alphabet() -> dict[str, int]:
    """GPT-2's map from a printable character to the byte it stands for (Radford et al. 2019, `bytes_to_unicode`)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in set(printable))
    table.update({chr(256 + i): byte for i, byte in enumerate(others)})
    return table


@lru_cache(maxsize=1)
def _letters() -> dict[int, str]:
    return {byte: letter for letter, byte in byte_alphabet().items()}


def in_alphabet(text: str | bytes) -> str:
    """Text as byte-level BPE writes it: one letter of the byte alphabet for every byte."""
    letters = _letters()
    return "".join(letters[byte] for byte in (text.encode() if isinstance(text, str) else text))


class Speller:
    """The bytes behind a tokenizer's tokens, and the tokens it has for given bytes."""

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        self.vocabulary: dict[str, int] = tokenizer.get_vocab()
        self.whole = {str(token): number for number, token in tokenizer.added_tokens_decoder.items()}
        """Tokens that are matched before text is cut, such as `<|im_end|>`, with their ids."""
        self.byte_level = is_byte_level(tokenizer)
        self._model = tokenizer.backend_tokenizer.model if self.byte_level else None

    def bytes_of(self, token: str) -> bytes:
        """The UTF-8 bytes a token stands for."""
        if token in self.whole:
            return token.encode()
        if self.byte_level:
            alphabet = byte_alphabet()
            return bytes(alphabet[letter] for letter in token)
        found = _BYTE_TOKEN.match(token)
        return bytes([int(found[1], 16)]) if found else token.replace(_SPACE, " ").encode()

    def pieces(self, content: bytes) -> list[int]:
        """Ids of the tokens that spell `content` inside a word; empty when there are none, as for a lone byte without fallback."""
        if self._model is not None:
            return [token.id for token in self._model.tokenize(in_alphabet(content))]
        try:
            text = content.decode()
        except UnicodeDecodeError:
            ids = [self.vocabulary.get(f"<0x{byte:02X}>") for byte in content]
            return [number for number in ids if number is not None]
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return [number for number in ids if number != self.tokenizer.unk_token_id]
