"""The only place where messages become token ids: training, evaluation, serving and export all come here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from endonym.errors import ConfigError, DataError, Problem
from endonym.models.template import Template
from endonym.types import Chat, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORE = -100
"""Label of a position that is not learned."""

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Used for a base model that has no chat template of its own."""

MOST_TEMPLATE = 200_000
"""Characters of a chat template."""
_PROBE = "\u2402answer\u2403"


@dataclass(frozen=True)
class Example:
    """One rendered example: token ids and, of the same length, labels (`IGNORE` where nothing is learned)."""

    ids: list[int]
    labels: list[int]
    goes_on: bool = False
    """Whether its text goes on in another example, so that nothing ends here."""
    domain: int = -1
    """Number of the module that it is to teach, where a network has such; -1 is none."""
    cuts: tuple[int, ...] = ()
    """Where further texts begin in it, which see nothing of each other; none in a row of one text."""
    span: range = range(0)
    """The tokens among which a head looks for an answer."""

    @property
    def num_learned(self) -> int:
        return sum(label != IGNORE for label in self.labels)


class Renderer:
    """Turns messages into ids with one tokenizer and its chat template.

    An example is `prompt ids + ids of the bare answer + ids of what the template puts behind an answer`, so that what is
    trained is exactly what generation continues: the answer is never tokenised together with the prompt's last character.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        self.template = str(tokenizer.chat_template or CHATML)
        if len(self.template) > MOST_TEMPLATE:
            raise ConfigError(
                f"the chat template of the model has {len(self.template):,} characters, real ones have a tenth of {MOST_TEMPLATE:,}",
                "Do not trust this model; get it from its makers.",
            )
        self._template = Template(self.template)
        probe = self._text([{"role": "user", "content": "x"}, {"role": "assistant", "content": _PROBE}], False)
        self.end_text = probe.rpartition(_PROBE)[2]
        """What the template puts behind an answer, for example `<|im_end|>` and a line break."""
        self.end_ids = self._encode(self.end_text)
        eos = tokenizer.eos_token_id
        if not self.end_ids:
            self.end_ids = [eos]
        self.stop_ids = sorted({self.end_ids[0], *([eos] if eos is not None else [])})
        """Tokens that end an answer."""

    @property
    def hash(self) -> str:
        """SHA-256 over the template, the vocabulary and the merges: equal hashes give equal ids for equal messages."""
        content = {
            "template": self.template,
            "end": self.end_ids,
            "tokenizer": self.tokenizer.backend_tokenizer.to_str(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def text(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
        """The prompt as the model sees it, special tokens written out."""
        if not messages:
            return ""
        return self._text([{"role": m.role, "content": m.content} for m in messages], add_generation_prompt)

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Ids of a prompt that asks for an answer; of plain text (no messages), the start-of-text token alone."""
        if not messages:
            bos = self.tokenizer.bos_token_id
            return [bos] if bos is not None else list(self.end_ids[:1])
        return self._encode(self.text(messages))

    def answer_ids(self, answer: str) -> list[int]:
        """Ids of the bare answer."""
        return self._encode(answer)

    def example(self, chat: Chat, every_turn: bool = False) -> Example:
        """Render prompt and answer; the answer and its end marker are learned, the prompt is not.

        With `every_turn` the earlier assistant turns are learned too, each as it would be generated; one that the tokenizer or
        the template renders otherwise inside a conversation than at its end is not.

        Raises DataError when the chat has no answer.
        """
        if not chat.answer:
            raise DataError(
                Problem(
                    chat.origin, 0, "messages", "there is no answer to learn", "end the chat with an assistant turn"
                )
            )
        prompt = self.prompt_ids(chat.prompt)
        answer = self.answer_ids(chat.answer)
        end = self.end_ids if chat.prompt else [self.stop_ids[0] if len(self.stop_ids) == 1 else self._eos()]
        # Only the first end token is learned: whatever follows it (a line break) is never generated.
        labels = [IGNORE] * len(prompt) + answer + end[:1] + [IGNORE] * (len(end) - 1)
        for at, message in enumerate(chat.prompt) if every_turn else ():
            if message.role == "assistant":
                before = self.prompt_ids(chat.prompt[:at])
                said = [*self.answer_ids(message.content), *end[:1]]
                if prompt[: len(before) + len(said)] == before + said:
                    labels[len(before) : len(before) + len(said)] = said
        return Example(prompt + answer + end, labels)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _eos(self) -> int:
        eos = self.tokenizer.eos_token_id
        return int(eos) if eos is not None else self.end_ids[0]

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _text(self, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
        return self._template.render(messages, add_generation_prompt, self.tokenizer.special_tokens_map)
