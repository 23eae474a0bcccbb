"""How texts are put to a model with a head, and what it says of them: the same in training, evaluation, serving and export."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from endonym.errors import MissingError, ParityError, UsageError
from endonym.models.generate import alike
from endonym.models.graph import ONNX, SHORTEST
from endonym.models.load import device
from endonym.models.nets.heads import WHOLE, HeadConfig, HeadModel, known
from endonym.models.render import Renderer

if TYPE_CHECKING:
    from endonym.models.load import Loaded

AT_ONCE = 8192
"""Tokens, padding counted, that are computed together."""
LONGEST_ANSWER = 64
"""Tokens an answer that is found in a text may have."""

Run = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Ids and mask (B, S), padded at the end, to logits."""


@dataclass(frozen=True)
class Asked:
    """A text, and the question whose answer is looked for in it."""

    text: str
    question: str = ""


@dataclass(frozen=True)
class Reading:
    """A text as the network is given it."""

    ids: list[int]
    first: int
    """Where its tokens begin that are judged."""
    spans: list[tuple[int, int]]
    """The characters that each of them is of."""

    @property
    def judged(self) -> range:
        return range(self.first, self.first + len(self.spans))

    def ends(self, words: Sequence[tuple[int, int]]) -> list[int]:
        """The last token of each of the words, given by their characters."""
        starts = [start for start, _ in self.spans]
        return [self.first + max(0, bisect_left(starts, end) - 1) for _, end in words]

    def tokens(self, start: int, end: int) -> tuple[int, int] | None:
        """First and last token that have a part in characters `start .. end - 1`; None where none has."""
        found = [n for n, (first, last) in enumerate(self.spans) if first < end and last > start]
        return (self.first + found[0], self.first + found[-1]) if found else None


@dataclass(frozen=True)
class Judge:
    """A model with a head, in PyTorch or as one graph, with the tokenizer that belongs to it."""

    config: HeadConfig
    renderer: Renderer
    run: Run
    device: torch.device

    def read(self, asked: Asked) -> Reading:
        """The question if there is one, then the text; before them the text once more, where the head was trained so.

        A decoder's token knows nothing of what follows it; read a second time, it does (Springer and others, Repetition Improves
        Language Model Embeddings, ICLR 2025).
        """
        return reading(self.renderer, self.config, asked)

    @torch.inference_mode()
    def logits(self, readings: Sequence[Reading]) -> list[torch.Tensor]:
        """What the head makes of each: (N,) of a text, or (judged tokens, N), on the CPU."""
        found: dict[int, torch.Tensor] = {}
        for rows in alike([len(r.ids) for r in readings], AT_ONCE, self.device):
            longest = max(len(readings[i].ids) for i in rows)
            ids = torch.tensor([readings[i].ids + [0] * (longest - len(readings[i].ids)) for i in rows])
            mask = torch.tensor([[n < len(readings[i].ids) for n in range(longest)] for i in rows]).long()
            made = self.run(ids.to(self.device), mask.to(self.device)).float().cpu()
            for row, i in zip(made, rows, strict=True):
                judged = readings[i].judged
                found[i] = row if self.config.kind in WHOLE else row[judged.start : judged.stop]
        return [found[i] for i in range(len(readings))]

    def judge(self, asked: Sequence[Asked]) -> list[dict[str, Any]]:
        """What the model says of each: `label` and `probabilities`; `words` with their tags; `answer`; or `vector`."""
        readings = [self.read(one) for one in asked]
        say = {"classify": self._class, "tag": self._tags, "answer": self._answer, "embed": self._vector}[
            self.config.kind
        ]
        return [say(*three) for three in zip(asked, readings, self.logits(readings), strict=True)]

    def _class(self, asked: Asked, reading: Reading, logits: torch.Tensor) -> dict[str, Any]:
        shares = dict(zip(self.config.outputs, logits.softmax(0).tolist(), strict=True))
        best = max(shares, key=lambda name: shares[name])
        return {
            "label": best,
            "probability": shares[best],
            "probabilities": dict(sorted(shares.items(), key=lambda pair: -pair[1])),
        }

    def _tags(self, asked: Asked, reading: Reading, logits: torch.Tensor) -> dict[str, Any]:
        words = words_of(asked.text)
        places = [end - reading.first for end in reading.ends(words)]
        best = logits[places].argmax(-1).tolist() if places else []
        named = zip(words, best, strict=True)
        return {"words": [[asked.text[start:end], self.config.outputs[tag]] for (start, end), tag in named]}

    def _answer(self, asked: Asked, reading: Reading, logits: torch.Tensor) -> dict[str, Any]:
        if not len(logits):
            return {"answer": "", "probability": 0.0, "start": 0, "end": 0}
        begins, ends = logits.log_softmax(0).unbind(1)
        # Of all pairs, those in order and not too far from each other.
        both = begins[:, None] + ends
        allowed = torch.ones_like(both, dtype=torch.bool).triu().tril(LONGEST_ANSWER - 1)
        both = both.masked_fill(~allowed, -torch.inf)
        first, last = divmod(int(both.argmax()), len(logits))
        start, end = reading.spans[first][0], reading.spans[last][1]
        text = asked.text[start:end]
        start, end = start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())
        return {
            "answer": asked.text[start:end],
            "probability": float(both[first, last].exp()),
            "start": start,
            "end": end,
        }

    def _vector(self, asked: Asked, reading: Reading, logits: torch.Tensor) -> dict[str, Any]:
        return {"vector": logits.tolist()}


def reading(renderer: Renderer, config: HeadConfig, asked: Asked) -> Reading:
    """Token ids of a text as a head with these settings reads it."""
    found = renderer.tokenizer(asked.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    own, end = list(found["input_ids"]), renderer.end_ids[:1]
    before = [*own, *end] if config.echo else []
    if config.kind == "answer":
        before += [*renderer.answer_ids(asked.question), *end]
    return Reading([*before, *own, *end], len(before), [tuple(pair) for pair in found["offset_mapping"]])


def words_of(text: str) -> list[tuple[int, int]]:
    """The characters of each word: of whatever stands between white space."""
    return [match.span() for match in re.finditer(r"\S+", text)]


def in_words(said: dict[str, Any]) -> str:
    """A verdict as a line: the class with its probability, words with their tags, the answer, or the numbers of a vector."""
    if "label" in said:
        return f"{said['label']}\t{said['probability']:.3f}"
    if "words" in said:
        return " ".join(f"{word}/{tag}" if tag != "O" else word for word, tag in said["words"])
    return said["answer"] if "answer" in said else json.dumps(said["vector"])


def judge_of(loaded: Loaded) -> Judge:
    """A loaded network with a head, ready to be asked."""
    model: Any = loaded.model

    def run(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits
        return made

    return Judge(model.config, loaded.renderer, run, loaded.device)


def has_head(folder: Path) -> bool:
    """Whether the model in `folder`, a run's output or a folder of weights, says something of texts and does not go on writing."""
    for path in (folder / "weights" / "config.json", folder / "config.json"):
        if path.is_file():
            return bool(json.loads(path.read_text(encoding="utf-8")).get("model_type") == HeadConfig.model_type)
    return False


def load_headed(folder: Path) -> Loaded:
    """The network with its head, in float32, in a run's output or a folder of weights.

    Raises UsageError where the model there has no head, ParityError when its texts were read differently from now.
    """
    from transformers import AutoTokenizer
    from transformers.utils import logging

    from endonym.models.load import Loaded

    logging.disable_progress_bar()
    if not has_head(folder):
        raise UsageError(f"the model in {folder} has no head", "Train one: endonym train heads")
    weights = folder / "weights" if (folder / "weights").is_dir() else folder
    known(json.loads((weights / "config.json").read_text(encoding="utf-8"))["foundation"]["model_type"])
    tokenizer = AutoTokenizer.from_pretrained(weights)
    model: Any = HeadModel.from_pretrained(weights, dtype=torch.float32, use_safetensors=True)
    model.to(device()).eval()
    loaded = Loaded(model, tokenizer, Renderer(tokenizer), weights, device())
    about = folder / "model.json"
    if about.is_file() and json.loads(about.read_text(encoding="utf-8"))["renderer"] != loaded.renderer.hash:
        raise ParityError("the head was trained with another tokenizer than the one found now", "Train it again.")
    return loaded


def load_judge(folder: Path) -> Judge:
    """What a run, an export or a folder of weights with a head answers with; an ONNX graph is computed by onnxruntime."""
    if not (folder / ONNX).is_file():
        return judge_of(load_headed(folder))
    if not has_head(folder):
        raise MissingError(f"the graph in {folder} has no head", "Export a run of: endonym train heads")
    import onnxruntime
    from transformers import AutoTokenizer

    session = onnxruntime.InferenceSession(folder / ONNX, providers=["CPUExecutionProvider"])

    def together(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        made = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
        return torch.from_numpy(made[0])

    def one_by_one(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        ids, mask = (torch.nn.functional.pad(one, (0, max(0, SHORTEST - one.shape[1]))) for one in (ids, mask))
        return torch.cat([together(*pair) for pair in zip(ids.split(1), mask.split(1), strict=True)])

    run = one_by_one if session.get_inputs()[0].shape[0] == 1 else together
    renderer = Renderer(AutoTokenizer.from_pretrained(folder))
    return Judge(HeadConfig.from_pretrained(folder), renderer, run, torch.device("cpu"))
