"""The tokenizer of byte models: each byte of the text is a token, and each mark of a conversation is one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

MARKS = ("<|pad|>", "<|begin|>", "<|eos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|spare|>")
"""The first ids. Byte b is id `OFFSET` + b."""
OFFSET = len(MARKS)
PAD = 0
VOCABULARY = OFFSET + 256

TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that any transformers loads from the files it saves: no merges over the bytes, which stand in their order."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = {**dict.fromkeys(MARKS, 0), **dict.fromkeys(map(_letter, range(256)), 0)}
    tokenizer = Tokenizer(models.BPE({text: i for i, text in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in MARKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=MARKS[0], bos_token=MARKS[1], eos_token=MARKS[2], chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def may_follow(ids: Sequence[int]) -> torch.Tensor:
    """Which ids may come after `ids` so that the text is well-formed UTF-8 (RFC 3629); shape (`VOCABULARY`,), bool.

    Inside a character only what goes on with it, else the beginning of one, or a mark. What is ill-formed already binds nothing.
    """
    tail = [i - OFFSET for i in ids[-3:]]
    for back in range(1, len(tail) + 1):
        lead = tail[-back]
        if not 0x80 <= lead < 0xC0:
            size = 1 + (lead >= 0xC0) + (lead >= 0xE0) + (lead >= 0xF0)
            return _mask(lead if back == 1 else 0x80) if size > back else _mask(0)
    return _mask(0)


@lru_cache
def _mask(lead: int) -> torch.Tensor:
    """What may come at the beginning of a character (0), or after its first byte `lead`; 0x80 stands for any later byte."""
    import torch

    mask = torch.zeros(VOCABULARY, dtype=torch.bool)
    if not lead:
        mask[:OFFSET] = mask[OFFSET : OFFSET + 0x80] = mask[OFFSET + 0xC2 : OFFSET + 0xF5] = True
        return mask
    least, most = {0xE0: (0xA0, 0xC0), 0xED: (0x80, 0xA0), 0xF0: (0x90, 0xC0), 0xF4: (0x80, 0x90)}.get(
        lead, (0x80, 0xC0)
    )
    mask[OFFSET + least : OFFSET + most] = True
    return mask


def _letter(byte: int) -> str:
    """The character that stands for a byte in byte-level vocabularies: itself where it is printable, else one above U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return chr(byte) if byte in printable else chr(256 + others.index(byte))
