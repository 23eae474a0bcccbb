"""Long plain text divided at sentence ends into parts that a network takes at once, as training learns them."""

from __future__ import annotations

from dataclasses import replace

from endonym.data.sentences import sentences
from endonym.models.render import Example, Renderer
from endonym.types import Chat, Message


def pieces(chat: Chat, renderer: Renderer, longest: int) -> list[tuple[Chat, Example]]:
    """A chat with its example; plain text of more than `longest` tokens in as few parts as hold whole sentences.

    Only the last part teaches where a text ends. A sentence longer than `longest` is a part of its own.
    """
    example = renderer.example(chat, every_turn=True)
    if len(example.ids) <= longest or chat.prompt:
        return [(chat, example)]
    room = longest - (len(example.ids) - len(renderer.answer_ids(chat.answer)))
    texts = [""]
    for sentence in sentences(chat.answer):
        if texts[-1] and len(renderer.answer_ids(texts[-1] + sentence)) > room:
            texts.append("")
        texts[-1] += sentence
    parts = []
    for number, text in enumerate(texts):
        part = replace(chat, id=f"{chat.id}.{number}", messages=(Message("assistant", text),))
        made = renderer.example(part)
        if number < len(texts) - 1:
            end = len(renderer.prompt_ids(())) + len(renderer.answer_ids(text))
            made = Example(made.ids[:end], made.labels[:end], goes_on=True)
        parts.append((part, made))
    return parts
