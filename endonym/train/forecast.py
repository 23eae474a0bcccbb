"""What a training run will need, told before any weight is loaded: memory by what it is for, time and disk.

The network is laid out without storage, and the largest pack goes forward and back through it: no number is computed, but every
tensor that training would hold is counted when it comes and when it goes. What is counted is therefore the code that trains.
"""

from __future__ import annotations

import copy
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from endonym.data.dataset import Dataset
from endonym.errors import UsageError
from endonym.models.generate import decoder
from endonym.models.load import Loaded, device, lay_out, load_tokenizer
from endonym.models.render import Example
from endonym.project import Project
from endonym.train import attention, recovery
from endonym.train.batches import Cursor, Largest, Loss, Packed, largest, micro_batches, order, pack, steps
from endonym.train.fit import Rows
from endonym.train.losses import next_token
from endonym.train.network import arithmetic, ready, recompute, standing
from endonym.train.planted import taught
from endonym.train.rows import chats_of, rows_of, spread
from endonym.train.settings import KEEP, FitConfig
from endonym.train.sharded import count

RUNTIME_BYTES = 550_000_000
"""What Python, PyTorch and transformers occupy in a computer's own memory (measured on Linux)."""
KERNELS_BYTES = 450_000_000
"""What oneDNN prepares for products in bf16, for each size it meets, comes to in networks of `FULL_WIDTH` or more (measured on Linux)."""
FULL_WIDTH = 128
HOLES = 0.45
"""What lies free between blocks in use, as a share of what a step holds beside weights and gradients, beyond the room that gradients
leave to the next step (measured on Linux)."""
USED = 0.45
"""Share of the speed of one large matrix product that training comes to, all its other work included (measured on a CPU)."""
SAMPLED_STEPS = 4


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak of a step by what they are for; on a GPU those of its own memory."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    working: int
    """What single operations hold for a moment, and what the allocator keeps."""
    runtime: int

    @property
    def total(self) -> int:
        return sum(vars(self).values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in vars(self).items())
        return f"{self.total / 1e9:.2f} GB ({parts})"


@dataclass(frozen=True)
class Forecast:
    """What a run will need."""

    device: str
    memory: Memory
    free_bytes: int | None
    """Memory that is free now; None where that cannot be told."""
    steps: int
    seconds: float
    checkpoint_bytes: int
    """Disk for checkpoints and kept weights while it runs, at most."""
    model_bytes: int
    """Disk for the weights it leaves."""
    tokens_per_step: float
    """Tokens computed a step, a beginning that rows share once."""

    @property
    def fits(self) -> bool | None:
        """Whether the memory that is free is enough; None where that is not known."""
        return None if self.free_bytes is None else self.memory.total <= self.free_bytes


def planned(
    recipe: str, module: ModuleType, cfg: FitConfig, data: Dataset, project: Project, inputs: Mapping[str, Path]
) -> tuple[Forecast, list[tuple[str, Forecast]]]:
    """What a recipe will need on the chats of `data`; where that does not fit, also lighter ways to the same result, by their names.

    `inputs` are the folders of what else the recipe takes. Raises UsageError for a recipe that does not say which network it makes.
    """
    if not hasattr(module, "network"):
        raise UsageError(
            f"the recipe '{recipe}' does not say which network it makes, so nothing can be told before it is there",
            "Start it: it tells what it needs before step 1, and stops there when that does not fit.",
        )
    loaded = replace(_beginning(module, cfg, project, inputs), device=torch.device("meta"))
    rows, valid, build, loss = (module.prepared if hasattr(module, "prepared") else _prepared)(
        module, cfg, data, loaded
    )
    if not rows.examples:
        raise UsageError(
            f"there is no training row of up to {cfg.max_length} tokens",
            "Raise --max-length, or add texts that this recipe can learn from: endonym add FILE",
        )
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        network = build(loaded)
    ready(loaded, network)
    all_steps = module.all_steps(cfg) if hasattr(module, "all_steps") else cfg.last_step

    def needed(own: FitConfig) -> Forecast:
        found = forecast(network, rows, valid, loss, own)
        return replace(found, steps=all_steps, seconds=found.seconds * all_steps / found.steps)

    asked = needed(cfg)
    return asked, [] if asked.fits is not False else list(_lighter(network, cfg, needed))


def _prepared(
    module: ModuleType, cfg: FitConfig, data: Dataset, loaded: Loaded
) -> tuple[Rows, Sequence[Example], Callable[[Loaded], Any], Loss]:
    """Training rows, validation rows, what makes the network, and its loss, for a recipe that learns next tokens."""
    tasks = getattr(module, "TASKS", ())
    rows = rows_of(taught(chats_of(data, "train", tasks), cfg), loaded.renderer, cfg)
    held = chats_of(data, "valid", tasks) or chats_of(data, "valid")
    valid = rows_of(spread([c for c in held if c.answer], cfg.valid_rows), loaded.renderer, cfg).examples
    return rows, valid, module.network(cfg), next_token


def _lighter(network: Any, cfg: FitConfig, needed: Callable[[FitConfig], Forecast]) -> Iterator[tuple[str, Forecast]]:
    """The ways training turns to by itself when memory runs out, in its order, up to the first that fits."""
    tried = recovery.next_lighter(recovery.Lighter(), cfg)
    while tried is not None:
        if tried.recompute:
            recompute(network)
        own = tried.applied(cfg)
        found = needed(own)
        yield f"--batch-tokens {own.batch_tokens}" + (" and recomputed activations" if tried.recompute else ""), found
        if found.fits:
            return
        tried = recovery.next_lighter(tried, cfg)


def _beginning(module: ModuleType, cfg: FitConfig, project: Project, inputs: Mapping[str, Path]) -> Loaded:
    """What the recipe's network is made of, without numbers."""
    if hasattr(module, "outline"):
        outlined: Loaded = module.outline(cfg, project, inputs)
        return outlined
    if module.LOADS == "tokenizer":
        return load_tokenizer(project.base)
    return lay_out(project.base, cfg.dtype if module.LOADS == "as computed" else str(module.LOADS))


def largest_packs(rows: Rows, cfg: FitConfig, rows_of: Callable[[int], list[int]] | None = None) -> Largest:
    """The packs of a run that need most memory, in random order and in that of `rows_of`, row numbers by epoch, where it is given."""
    orders: list[Callable[[int], list[int]]] = [partial(order, len(rows.examples), rows.weights, cfg.seed)]
    if rows_of is not None:
        orders.append(rows_of)
    return largest(rows.examples, orders, cfg, count(cfg.devices))


def memory_of(network: Any, met: Largest, loss: Loss, devices: int = 1) -> tuple[Memory, float]:
    """Peak memory of training `network`, real or on the meta device, in a run that meets these packs; and operations a computed token.

    Raises whatever the network raises for a pack it cannot compute.
    """
    where = next(network.parameters()).device
    where = device() if where.type == "meta" else where
    fake, network = _imitation(network, where)
    found = [_one_pack(network, fake, rows, loss, where, met.several) for rows in met.packs]
    memory, per_token = max(found, key=lambda pair: pair[0].total)
    return divided(memory, devices, where.type == "cpu", put_together(network)), per_token


def put_together(network: Any) -> int:
    """Most bytes a device holds of weights and gradients it has put together for the moment, and of the copies in which they travel."""
    layers = [list(layer.parameters()) for layer in decoder(network).layers]
    inside = {p for layer in layers for p in layer}
    # What belongs to no layer, such as the embeddings, is put together as one.
    units = [*layers, [p for p in network.parameters() if p not in inside]]
    return max(sum(2 * p.numel() * p.element_size() * (1 + p.requires_grad) for p in unit) for unit in units)


def divided(memory: Memory, devices: int, on_cpu: bool, together: int = 0) -> Memory:
    """The most that one of several devices holds: in the checks before step 1 the whole network, but no optimiser; in a step its share of
    weights, gradients and optimiser, and what it has `together` of one part. Processes on the CPU have beside their share the network
    itself, which GPUs leave in main memory, and the first of them puts all shares together for a checkpoint."""
    if devices == 1:
        return memory
    before = replace(memory, optimizer=0)
    weights, gradients, optimizer = (
        -(-part // devices) for part in (memory.weights, memory.gradients, memory.optimizer)
    )
    beside = memory.weights if on_cpu else 0
    step = replace(
        memory, weights=beside + weights, gradients=gradients, optimizer=optimizer, working=memory.working + together
    )
    whole = memory.gradients + memory.optimizer + together // 2 if on_cpu else 0
    saving = replace(step, gradients=0, activations=0, logits=0, working=whole)
    return max(before, step, saving, key=lambda m: m.total)


def _one_pack(
    network: Any, fake: FakeTensorMode, rows: Sequence[Example], loss: Loss, where: torch.device, several: bool
) -> tuple[Memory, float]:
    with fake, _Held(_vocabulary(network)) as held, _fresh_blocks():
        for tensor in [*network.parameters(), *network.buffers()]:
            held.add(tensor)
        weights = held.now
        network.train()
        batch = pack(rows, where)
        activations = _forward_and_back(network, batch, loss, held)
        operations = held.operations
        if several:
            _forward_and_back(network, batch, loss, held)
        network.zero_grad(set_to_none=True)
    trained = [p for p in network.parameters() if p.requires_grad]
    gradients = sum(p.numel() * p.element_size() for p in trained)
    # In a step of one pack, part of the activations is gone when all gradients are there.
    rest = max(0, held.peak - weights - gradients - held.logits)
    activations = min(activations, rest)
    on_cpu = where.type == "cpu"
    holes = round(HOLES * max(0, rest - gradients)) if on_cpu else 0
    found = Memory(
        weights=weights, gradients=gradients, optimizer=8 * sum(p.numel() for p in trained), activations=activations,
        logits=held.logits, working=rest - activations + holes, runtime=_runtime(network) if on_cpu else 0,
    )  # fmt: skip
    return found, operations / batch.ids.shape[1]


def _runtime(network: Any) -> int:
    if arithmetic(network) != torch.bfloat16:
        return RUNTIME_BYTES
    width = network.get_output_embeddings().weight.shape[1]
    return RUNTIME_BYTES + round(KERNELS_BYTES * min(1.0, width / FULL_WIDTH))


def _forward_and_back(network: Any, batch: Packed, loss: Loss, held: _Held) -> int:
    """Let a pack go through the network; returns the bytes that were kept for its way back."""
    before = held.now
    with standing(network):
        value = loss(network, batch)
        kept = held.now - before
        value.backward()
    return kept


def forecast(network: Any, rows: Rows, valid: Sequence[Example], loss: Loss, cfg: FitConfig) -> Forecast:
    """What training `network`, real or on the meta device, will need."""
    memory, per_token = memory_of(network, largest_packs(rows, cfg), loss, count(cfg.devices))
    per_step, total = _computed(rows, cfg), cfg.last_step
    # An evaluation goes forward only: a third of the work, or half of it where most weights are frozen.
    evaluated = (1 + total // cfg.evaluate_every) * sum(len(e.ids) for e in valid) / 2.5
    where = device()
    gpus = count(cfg.devices) if where.type == "cuda" else 1
    trained = [p for p in network.parameters() if p.requires_grad]
    learned = sum(p.numel() * p.element_size() for p in trained)
    if cfg.ema:
        memory = replace(memory, optimizer=memory.optimizer + learned // count(cfg.devices))
    whole = sum(p.numel() * p.element_size() for p in network.parameters())
    return Forecast(
        device=where.type, memory=memory, free_bytes=available_bytes(), steps=total,
        seconds=per_token * (total * per_step + evaluated) / (USED * product_speed(arithmetic(network), where)) / gpus,
        checkpoint_bytes=(KEEP + 1) * ((1 + bool(cfg.ema)) * learned + 8 * sum(p.numel() for p in trained)) + (2 + cfg.average) * learned,
        model_bytes=learned if hasattr(network, "peft_config") else whole, tokens_per_step=per_step,
    )  # fmt: skip


def _computed(rows: Rows, cfg: FitConfig) -> float:
    """Tokens computed a step, measured on the first steps of a run."""
    source = steps(partial(order, len(rows.examples), rows.weights, cfg.seed), cfg.batch_size, Cursor())
    computed = 0
    for _ in range(SAMPLED_STEPS):
        chosen = [rows.examples[i] for i in next(source)[0]]
        computed += sum(pack(p, torch.device("cpu")).ids.shape[1] for p in micro_batches(chosen, cfg.batch_tokens))
    return computed / SAMPLED_STEPS


def available_bytes() -> int | None:
    """Memory that can still be used on the device a model would be trained on; None where it cannot be told."""
    if device().type == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            values = dict(line.split(":", 1) for line in file)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def product_speed(dtype: torch.dtype, where: torch.device) -> float:
    """Operations a second of a matrix product of the size of a small model's layers on a pack."""
    a = torch.ones(1024, 1024, dtype=dtype, device=where)
    best = float("inf")
    for _ in range(6):
        started = time.perf_counter()
        a @ a
        if where.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * 1024**3 / best


def _imitation(network: Any, where: torch.device) -> tuple[FakeTensorMode, Any]:
    """A network of tensors that know their shape and nothing else, on `where`; that given stays as it is."""
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    if next(network.parameters()).device.type != "meta":
        with FakeCopyMode(fake):
            return fake, copy.deepcopy(network)
    network = copy.deepcopy(network)
    made: dict[int, torch.nn.Parameter] = {}
    with fake:
        for module in network.modules():
            for name, old in module._parameters.items():
                if old is not None:
                    if id(old) not in made:
                        empty = torch.empty(old.shape, dtype=old.dtype, device=where)
                        made[id(old)] = torch.nn.Parameter(empty, old.requires_grad)
                    module._parameters[name] = made[id(old)]
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=where)
    return fake, network


@contextmanager
def _fresh_blocks() -> Iterator[None]:
    """Packed attention keeps index tensors from pack to pack: real ones must not meet imitations, nor the other way round."""
    attention.forget()
    try:
        yield
    finally:
        attention.forget()


def _vocabulary(network: Any) -> int:
    return int(network.get_output_embeddings().weight.shape[0])


class _Held(TorchDispatchMode):
    """Counts the bytes of all storages that operations inside the block make, for as long as something refers to them, and the
    multiplications and additions of its products."""

    def __init__(self, vocabulary: int):
        super().__init__()
        self.now = self.peak = self.logits = 0
        self._vocabulary = vocabulary
        self.operations = 0
        self._logits_now = 0
        self._known: set[int] = set()

    def add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        wide = size if tensor.ndim == 2 and tensor.shape[1] == self._vocabulary else 0
        self._known.add(key)
        self._change(size, wide)
        weakref.finalize(storage, self._gone, key, size, wide)

    def _gone(self, key: int, size: int, wide: int) -> None:
        self._known.discard(key)
        self._change(-size, -wide)

    def _change(self, size: int, wide: int) -> None:
        self.now += size
        self._logits_now += wide
        self.peak, self.logits = max(self.peak, self.now), max(self.logits, self._logits_now)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        # The way of `FlopCounterMode`, which is a mode of its own and takes longer than the network.
        if (operations := flop_registry.get(func._overloadpacket)) is not None:
            self.operations += operations(*args, **kwargs, out_val=made)
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.add(tensor)
        return made
