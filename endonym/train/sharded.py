"""Several devices that train one network together: who computes which packs, sums over all, weights in shards; of one device, nothing.

Every device runs the same code on the same rows and computes every n-th pack. Weights, gradients and optimiser are divided among
them (FSDP2: Zhao and others, PyTorch FSDP, VLDB 2023): each layer is put together when it is needed and divided again after.
"""

from __future__ import annotations

import copy
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch

from endonym.errors import ConfigError
from endonym.models.load import device
from endonym.models.render import IGNORE, Example
from endonym.train.batches import Loss

PATIENCE = timedelta(days=1)
"""How long a device waits for another one that lives: it may be held up by a full disk. One that ends is noticed at once."""

BLANK = Example([0, 0], [IGNORE, IGNORE])
"""A row that teaches nothing, for a device that has no pack left when others have."""

T = TypeVar("T")


class World:
    """The devices of this run as one of them sees it; by itself, one device alone, for which everything is as if this were not here."""

    rank = 0
    size = 1

    def deal(self, packs: Sequence[list[Example]]) -> list[list[Example]]:
        """The packs of this device: every `size`-th, as many as each other device has."""
        return list(packs)

    def sums(self, *values: float) -> list[float]:
        """Each value summed over all devices, the same numbers on each."""
        return list(values)

    def least(self, value: float) -> float:
        """The smallest value of all devices."""
        return value

    def first(self, action: Callable[[], T]) -> T:
        """What `action` returns on the first device, which alone does it (as JSON: paths become text); the others wait, however long."""
        return action()

    def gathered(self, state: torch.Tensor) -> list[torch.Tensor]:
        """A tensor of equal shape of every device, in their order; in main memory."""
        return [state]


class Several(World):
    """One of several devices, each with a process of its own. They meet in `folder`, a fresh one on this machine."""

    def __init__(self, rank: int, size: int, folder: Path):
        from torch import distributed

        self.rank, self.size = rank, size
        self._turn = 0
        self._store = distributed.FileStore(str(folder / "store"), size)
        self._store.set(f"here-{rank}", "1")

    def complete(self) -> bool:
        """Whether all devices have come; only then `join` does not wait."""
        return all(self._store.check([f"here-{rank}"]) for rank in range(self.size))

    def join(self) -> None:
        """Connect to the others: gloo between processors, NCCL between GPUs."""
        from torch import distributed

        # Nothing listens where another machine could reach it.
        loopback = "lo0" if sys.platform == "darwin" else "lo"
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(name, loopback)
        on_gpus = device().type == "cuda"
        if on_gpus:
            torch.cuda.set_device(self.rank)
        # Numbers of the loop itself go by gloo on GPUs too: it notices at once when a process is gone.
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpus else "gloo",
            store=self._store, rank=self.rank, world_size=self.size, timeout=PATIENCE,
        )  # fmt: skip

    def deal(self, packs: Sequence[list[Example]]) -> list[list[Example]]:
        own = list(packs[self.rank :: self.size])
        return own + [[BLANK]] * (-(-len(packs) // self.size) - len(own))

    def sums(self, *values: float) -> list[float]:
        from torch import distributed

        numbers = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(numbers)
        return [float(x) for x in numbers]

    def least(self, value: float) -> float:
        from torch import distributed

        number = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(number, distributed.ReduceOp.MIN)
        return float(number)

    def first(self, action: Callable[[], T]) -> T:
        self._turn += 1
        name = f"first-{self._turn}"
        if self.rank == 0:
            self._store.set(name, json.dumps(action(), default=str))
        else:
            self._store.wait([name], PATIENCE)
        found: T = json.loads(self._store.get(name))
        return found

    def gathered(self, state: torch.Tensor) -> list[torch.Tensor]:
        from torch import distributed

        found = [torch.empty_like(state) for _ in range(self.size)]
        distributed.all_gather(found, state)
        return found


_world: World = World()


def world() -> World:
    """The devices of this run."""
    return _world


@contextmanager
def among(own: World) -> Iterator[None]:
    """Be one of the devices inside the block."""
    global _world
    _world = own
    try:
        yield
    finally:
        _world = World()


def count(asked: int) -> int:
    """How many devices `asked` means, 0 being every GPU; raises ConfigError when there are fewer."""
    kind = device().type
    there = torch.cuda.device_count() if kind == "cuda" else int(kind == "mps")
    if there and asked > there:
        raise ConfigError(
            f"training on {asked} devices was asked for, and this machine has {there} GPU{'s' * (there > 1)}",
            f"Use --devices {there}, or --devices 0 for every GPU there is.",
        )
    return asked or max(1, there)


class Shared:
    """A network in training. `model` computes, `loss` is its loss; on several devices both work on shards of the network given."""

    def __init__(self, network: Any, loss: Loss):
        self.network, self.model, self.loss = network, network, loss
        if world().size > 1:
            self.model, self.loss = _shard(network, loss)
            _move(network, torch.device("cpu"))
        self.weights: dict[str, torch.nn.Parameter] = {
            name: p for name, p in self.model.named_parameters() if p.requires_grad
        }

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Inside the block the network given holds the weights as they are now, on the first device."""
        self.refresh()
        if world().size == 1 or world().rank:
            yield
            return
        _move(self.network, next(self.model.parameters()).device)
        try:
            yield
        finally:
            _move(self.network, torch.device("cpu"))

    def refresh(self) -> None:
        """Put the weights as they are now into the network given."""
        if self.model is self.network:
            return
        own = dict(self.network.named_parameters())
        with torch.no_grad():
            for name, weight in self.weights.items():
                own[name].copy_(complete(weight))

    def end(self) -> None:
        """Leave the network given with the weights as they are now, where it was."""
        if self.model is not self.network:
            self.refresh()
            _move(self.network, next(self.model.parameters()).device)


def _shard(network: Any, loss: Loss) -> tuple[Any, Loss]:
    """A network of the same modules whose weights lie in shards, and its loss.

    The one given keeps its weights: FSDP cannot be taken off a module again, and what is sampled from and saved is an ordinary model.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

    from endonym.models.generate import decoder

    # The shards of a run before this one refer to each other, and would otherwise stay.
    gc.collect()
    tensors = [*network.parameters(), *network.buffers()]
    _same_everywhere(tensors)
    model = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    mesh = init_device_mesh(tensors[0].device.type, (world().size,))
    policy = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    # The root is divided after use as well: kept whole, an evaluation would see weights from before they were set back.
    units = [*decoder(model).layers, model]
    for unit in units:
        fully_shard(unit, mesh=mesh, mp_policy=policy, reshard_after_forward=True)
        # A step's loss is a sum over all packs divided by what all of them learn: gradients are summed, not averaged.
        unit.set_gradient_divide_factor(1.0)
        unit.set_force_sum_reduction_for_comms(True)
    model.summed_loss = lambda batch: loss(model, batch)
    register_fsdp_forward_method(model, "summed_loss")
    return model, lambda sharded, batch: sharded.summed_loss(batch)


def _same_everywhere(tensors: Sequence[torch.Tensor]) -> None:
    """Take over the first device's values: what is computed or drawn at the start may differ in the last bit."""
    from torch import distributed

    with torch.no_grad():
        for tensor in tensors:
            distributed.broadcast(tensor, 0)


def _move(network: Any, where: torch.device) -> None:
    for p in network.parameters():
        p.data = p.data.to(where)


def complete(tensor: Any) -> torch.Tensor:
    """A weight, or what the optimiser keeps of it, put together from all devices, in main memory; all must ask for it at once."""
    whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else torch.as_tensor(tensor)
    return whole.detach().cpu().contiguous()


def gathered(tensors: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """`complete` tensors on the first device, and none on the others."""
    found: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        whole = complete(tensor)
        if world().rank == 0:
            found[name] = whole
    return found


def like(whole: torch.Tensor, weight: Any) -> torch.Tensor:
    """A complete tensor as `weight` is kept: itself, or this device's part of it."""
    if not hasattr(weight, "full_tensor"):
        return whole
    from torch.distributed.tensor import distribute_tensor

    part: torch.Tensor = distribute_tensor(
        whole.to(weight.device), weight.device_mesh, weight.placements, src_data_rank=None
    )
    return part
