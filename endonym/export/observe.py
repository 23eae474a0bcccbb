"""Watch a model answer held-out rows: the same questions for the live model and for an export reloaded elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.types import Chat, Message

if TYPE_CHECKING:
    import torch

LOGIT_POSITIONS = 4
"""Answer positions a row whose full logits are compared; a vocabulary of 50,000 makes 0.8 MB of them."""


@dataclass(frozen=True)
class Row:
    """One held-out prompt with its reference answer, and what the live model made of it.

    `greedy` is the live model's greedy continuation and `gap` the distance in logits between its best and second-best token.
    """

    messages: list[dict[str, str]]
    answer: str
    prompt_ids: list[int] = field(default_factory=list)
    answer_ids: list[int] = field(default_factory=list)
    greedy: list[int] = field(default_factory=list)
    gap: list[float] = field(default_factory=list)
    text: str = ""
    nats: float = 0.0
    num_bytes: int = 0
    """UTF-8 length of the answer's first tokens, the ones `nats` is about."""
    spelled: list[str] = field(default_factory=list)
    """The live text after each token of `greedy`."""


@dataclass(frozen=True)
class Seen:
    """What a reloaded export made of a row; `choices` is its own best token after every prefix of the live greedy text."""

    prompt_ids: list[int]
    answer_ids: list[int]
    choices: list[int]
    text: str
    nats: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def reference(
    loaded: Any, chats: Sequence[Chat], num_tokens: int, num_answer_tokens: int
) -> tuple[list[Row], torch.Tensor]:
    """Answer the chats with the live model; returns the rows and the logits at the first answer positions."""
    import torch

    rows, logits = [], []
    prompts = [loaded.renderer.prompt_ids(chat.prompt) for chat in chats]
    for chat, prompt, (greedy, gap) in zip(chats, prompts, _greedy(loaded, prompts, num_tokens), strict=True):
        answer = loaded.renderer.answer_ids(chat.answer)[:num_answer_tokens]
        nats, first = _teacher(loaded, prompt, answer)
        logits.append(first)
        text = loaded.renderer.decode(_answer_part(greedy, loaded.renderer.stop_ids))
        messages = [{"role": m.role, "content": m.content} for m in chat.prompt]
        num_bytes = len(loaded.renderer.decode(answer).rstrip("\ufffd").encode())
        stops = loaded.renderer.stop_ids
        spelled = [loaded.renderer.decode(_answer_part(greedy[: i + 1], stops)) for i in range(len(greedy))]
        rows.append(Row(messages, chat.answer, prompt, answer, greedy, gap, text, nats, num_bytes, spelled))
    return rows, torch.cat(logits)


def by_torch(loaded: Any, rows: Sequence[Row], num_tokens: int) -> tuple[list[Seen], torch.Tensor]:
    """Answer the same rows with a reloaded export that is asked as the live model is, in PyTorch or as one graph."""
    import torch

    seen, logits = [], []
    prompts = [loaded.renderer.prompt_ids([Message(**m) for m in row.messages]) for row in rows]
    for row, prompt, (own, _) in zip(rows, prompts, _greedy(loaded, prompts, num_tokens), strict=True):
        answer = loaded.renderer.answer_ids(row.answer)[: len(row.answer_ids)]
        choices = _logits(loaded, prompt, row.greedy[:-1])[0].argmax(-1).tolist()
        nats, first = _teacher(loaded, prompt, answer)
        logits.append(first)
        text = loaded.renderer.decode(_answer_part(own, loaded.renderer.stop_ids))
        seen.append(Seen(prompt, answer, choices, text, nats))
    return seen, torch.cat(logits)


def by_llama_cpp(path: Path, rows: Sequence[Row], num_tokens: int) -> list[Seen]:
    """Load a GGUF file in llama.cpp and answer the same rows, prompts rendered by llama.cpp itself.

    A row whose whole text is the live one's agrees everywhere; only the others are asked position by position. One thread,
    because llama.cpp's threads wait for each other in busy loops, which crawls on a machine with other work.
    """
    from endonym.models.llama_cpp import LlamaCpp

    longest = max(len(row.prompt_ids) + max(num_tokens, len(row.answer_ids)) for row in rows)
    engine = LlamaCpp(path, context=longest + 64, threads=1)
    seen = []
    for row in rows:
        messages = [Message(**m) for m in row.messages]
        prompt = engine.tokenize(engine.prompt(messages)) if messages else row.prompt_ids
        answer = engine.tokenize(row.answer, special=False)[: len(row.answer_ids)]
        pieces = engine.complete(prompt, n_predict=num_tokens, temperature=0)
        text = "".join(piece["content"] for piece in pieces)
        if text == row.text and "\ufffd" not in text:
            choices = row.greedy
        else:
            choices = [engine.ranked(prompt + row.greedy[:i])[0][0] for i in range(len(row.greedy))]
        nats = -sum(dict(engine.ranked(prompt + answer[:i], answer[i]))[answer[i]] for i in range(len(answer)))
        seen.append(Seen(prompt, answer, choices, text, nats))
    engine.close()
    return seen


def _answer_part(ids: Sequence[int], stops: Sequence[int]) -> list[int]:
    """The ids before the first stop token."""
    return list(ids[: next((i for i, token in enumerate(ids) if token in stops), len(ids))])


def _greedy(loaded: Any, prompts: Sequence[Sequence[int]], num_tokens: int) -> list[tuple[list[int], list[float]]]:
    """Per prompt: greedy ids up to and including the stop token, and the gap between best and second-best logit of each.

    All prompts run together, shorter ones padded in front.
    """
    import torch

    from endonym.models.decoding import begin

    steps, gaps = [], []
    with torch.inference_mode():
        rows = begin(loaded.model, prompts)
        for _ in range(num_tokens):
            best = rows.logits.float().topk(2)
            steps.append(best.indices[:, 0].tolist())
            gaps.append((best.values[:, 0] - best.values[:, 1]).tolist())
            if len(steps) < num_tokens:
                rows.feed(best.indices[:, 0])
    made = []
    for row in range(len(prompts)):
        tokens = [step[row] for step in steps]
        end = len(_answer_part(tokens, loaded.renderer.stop_ids)) + 1
        made.append((tokens[:end], [gap[row] for gap in gaps][:end]))
    return made


def _logits(loaded: Any, prompt: Sequence[int], rest: Sequence[int]) -> torch.Tensor:
    """Logits (1, len(rest) + 1, vocabulary) from the end of the prompt on."""
    import torch

    ids = torch.tensor([[*prompt, *rest]], device=loaded.device)
    with torch.inference_mode():
        return loaded.model(input_ids=ids, use_cache=False, logits_to_keep=len(rest) + 1).logits.float().cpu()


def _teacher(loaded: Any, prompt: Sequence[int], answer: Sequence[int]) -> tuple[float, torch.Tensor]:
    """Nats of the reference answer, and the logits at its first positions."""
    import torch

    logits = _logits(loaded, prompt, answer)[0]
    nats = torch.nn.functional.cross_entropy(logits[:-1].double(), torch.tensor(list(answer)), reduction="sum")
    return float(nats), logits[:LOGIT_POSITIONS].clone()
