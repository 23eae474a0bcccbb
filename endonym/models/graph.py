"""A model exported as one graph (ONNX, torch.export), asked as a transformers model is asked.

The graph takes `input_ids`, `attention_mask`, `position_ids` and, for each layer, the keys and values of what came before; it
gives `logits` and the keys and values of all. The names are the ones Optimum gives, so that other programs can run the file. The graph of
a network over bytes takes one row of `input_ids` and has no past.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from endonym.errors import MissingError
from endonym.models.nets.banked import make_known
from endonym.models.nets.pooling import Pooled
from endonym.models.render import Renderer

if TYPE_CHECKING:
    from endonym.models.load import Loaded

ONNX, TRACED = "model.onnx", "model.pt2"
SHORTEST = 4
"""Ids of a row of a graph without past; a shorter one is padded at its end, where nothing before it looks."""
READ = "past_router"
"""What the router of modules has read: sums and the last id (rows, numbers) in float64, 0 in the first call."""
Run = Callable[[Mapping[str, torch.Tensor]], Sequence[torch.Tensor]]
"""Inputs by name to outputs in order."""


def input_names(num_layers: int, has_modules: bool = False) -> list[str]:
    """Names of the inputs, in order."""
    more = ["attention_mask", "position_ids", *_cached("past_key_values", num_layers)]
    return ["input_ids", *(more if num_layers else ()), *([READ] if has_modules else ())]


def output_names(num_layers: int, has_modules: bool = False) -> list[str]:
    """Names of the outputs, in order."""
    return ["logits", *_cached("present", num_layers), *(["present_router"] if has_modules else ())]


def _cached(name: str, num_layers: int) -> list[str]:
    return [f"{name}.{layer}.{kind}" for layer in range(num_layers) for kind in ("key", "value")]


class GraphModel:
    """The graph behind the signature of a transformers decoder; it computes in float32 on the CPU."""

    def __init__(self, config: Any, run: Run, shapes: Sequence[tuple[int, int]], read: int = 0):
        """`shapes`: heads and head size of the keys of each layer; `read`: numbers that a router of modules keeps of a row."""
        # The graph wants the whole past of every layer, also where the model looks at a window of it.
        for name in ("layer_types", "sliding_window"):
            if hasattr(config, name):
                setattr(config, name, None)
        self.config, self._run, self._shapes, self._read = config, run, shapes, read
        self.device = torch.device("cpu")

    def __call__(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool = False,
        logits_to_keep: int = 0,
    ) -> SimpleNamespace:
        """Logits (rows, tokens kept, vocabulary) of `input_ids` (rows, tokens); the cache grows by what was read."""
        rows, num_tokens = input_ids.shape
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        if attention_mask is None:
            attention_mask = torch.ones(rows, past + num_tokens, dtype=torch.long)
        if position_ids is None:
            position_ids = (attention_mask.cumsum(1) - 1).clamp(min=0)[:, past:]
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "position_ids": position_ids}
        for layer, (heads, size) in enumerate(self._shapes):
            empty = torch.zeros(rows, heads, 0, size)
            kept = past_key_values.layers[layer] if past else SimpleNamespace(keys=empty, values=empty)
            given |= {f"past_key_values.{layer}.key": kept.keys, f"past_key_values.{layer}.value": kept.values}
        pooled = Pooled.of(past_key_values, len(self._shapes)) if self._read and past else None
        if self._read:
            given[READ] = pooled.keys[:, 0, 0] if pooled else torch.zeros(rows, self._read, dtype=torch.float64)
        logits, *present = self._run(given)
        if use_cache and past_key_values is not None:
            for layer in range(len(self._shapes)):
                keys, values = (present[2 * layer + n][:, :, past:] for n in (0, 1))
                past_key_values.update(keys, values, layer)
            if self._read:
                Pooled.of(past_key_values, len(self._shapes)).keep(present[-1])
        return SimpleNamespace(logits=logits[:, -logits_to_keep:], past_key_values=past_key_values)


class RowGraph:
    """The graph of a network over bytes behind the signature of one; it computes in float32 on the CPU."""

    over_bytes = True

    def __init__(self, config: Any, run: Run):
        self.config, self._run = config, run
        self.device = torch.device("cpu")

    def __call__(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        logits_to_keep: int = 0,
        **unused: Any,
    ) -> SimpleNamespace:
        """Logits (rows, ids kept, vocabulary) of `input_ids` (rows, ids); 0 where the mask is."""
        inside = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        made = [self.row(ids[one].tolist()) for ids, one in zip(input_ids, inside, strict=True)]
        logits = torch.zeros(*input_ids.shape, made[0].shape[-1])
        logits[inside] = torch.cat(made)
        return SimpleNamespace(logits=logits[:, -logits_to_keep:])

    def row(self, ids: Sequence[int]) -> torch.Tensor:
        """Logits (ids, vocabulary) of one row."""
        padded = torch.tensor([[*ids, *[0] * (SHORTEST - len(ids))]])
        return self._run({"input_ids": padded})[0][0, : len(ids)]

    def decoding(self, prompts: Sequence[Sequence[int]]) -> _Rows:
        """What follows `prompts`; each byte costs as much as all before it."""
        return _Rows(self, prompts)


class _Rows:
    """Rows in growth (`decoding.Decoding`) of a graph without past."""

    def __init__(self, model: RowGraph, prompts: Sequence[Sequence[int]]):
        self._model, self._rows = model, [list(prompt) for prompt in prompts]
        self._compute()

    def _compute(self) -> None:
        self.logits = torch.stack([self._model.row(ids)[-1] for ids in self._rows])

    def feed(self, tokens: torch.Tensor) -> None:
        for ids, token in zip(self._rows, tokens.tolist(), strict=True):
            ids.append(token)
        self._compute()

    def extend(self, tokens: torch.Tensor) -> None:
        self._rows[0] += tokens.tolist()
        self._compute()

    def choose(self, rows: torch.Tensor) -> None:
        self._rows = [list(self._rows[row]) for row in rows.tolist()]
        self.logits = self.logits[rows]


def load_graph(folder: Path, threads: int = 0) -> Loaded:
    """The model in an export's folder with its tokenizer. Raises MissingError where none lies."""
    from transformers import AutoConfig, AutoTokenizer

    from endonym.models.load import Loaded, know

    if (folder / ONNX).is_file():
        run, shapes, read = _onnx(folder / ONNX, threads)
    elif (folder / TRACED).is_file():
        run, shapes, read = _traced(folder / TRACED)
    else:
        raise MissingError(f"{folder} holds no {ONNX}", "Make one with: endonym export onnx")
    know(folder)
    make_known(folder)
    config = AutoConfig.from_pretrained(folder)
    model: Any = GraphModel(config, run, shapes, read) if shapes else RowGraph(config, run)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return Loaded(model, tokenizer, Renderer(tokenizer), folder, model.device)


def _onnx(path: Path, threads: int) -> tuple[Run, list[tuple[int, int]], int]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    keys = [one for one in session.get_inputs() if one.name.endswith(".key")]

    def run(given: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        made = session.run(None, {name: tensor.contiguous().numpy() for name, tensor in given.items()})
        return [torch.from_numpy(one) for one in made]

    read = next((one.shape[1] for one in session.get_inputs() if one.name == READ), 0)
    return run, [(one.shape[1], one.shape[3]) for one in keys], read


def _traced(path: Path) -> tuple[Run, list[tuple[int, int]], int]:
    program = torch.export.load(path)
    given = [node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder" and "past" in node.name]
    module = program.module()

    def run(given: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        ids, *others = given.values()
        with torch.inference_mode():
            if not others:
                return [module(ids)]
            mask, place, *past = others
            logits, present = module(ids, mask, place, past)
        return [logits, *present]

    read = int(given.pop()[1]) if len(given) % 2 else 0
    return run, [(int(shape[1]), int(shape[3])) for shape in given[::2]], read
