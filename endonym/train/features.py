"""What frozen lower layers compute, computed once: their output for every row lies on disk and is used in every epoch."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from endonym.models.generate import decoder, lowest
from endonym.models.render import Example
from endonym.store.files import write_json
from endonym.train.batches import Packed, micro_batches, pack
from endonym.train.network import computing
from endonym.train.settings import FitConfig
from endonym.train.sharded import world

if TYPE_CHECKING:
    from endonym.jobs.job import Job

SHARE_OF_DISK = 0.5
"""Of the disk that is free, at most this share is used."""


class Features:
    """The hidden states of rows where the layers that learn begin, in a file; shape (tokens of all rows, width)."""

    def __init__(self, network: Any, examples: Sequence[Example], folder: Path, depth: int):
        self.depth = depth
        self.rows = {id(example): example for example in examples}
        self._at: dict[int, int] = {}
        self._total = 0
        for key, example in self.rows.items():
            self._at[key] = self._total
            self._total += len(example.ids)
        table = network.get_input_embeddings().weight
        self._width, self._kind = int(table.shape[1]), table.dtype
        self._file, self._about = folder / "features.bin", folder / "features.json"
        self._states = torch.empty(0)

    @property
    def num_bytes(self) -> int:
        return self._total * self._width * self._kind.itemsize

    def has_room(self) -> bool:
        """Whether the disk has room for the file, which is then taken; after an interruption, what was found the first time.

        Room is taken at once, for where a mapped file finds the disk full, the system kills the process. A run that goes on must
        not compute in another way than before: sums in another order round otherwise.
        """
        if self._about.is_file():
            return bool(json.loads(self._about.read_text(encoding="utf-8"))["kept"])
        self._file.parent.mkdir(parents=True, exist_ok=True)
        try:
            fits = self.num_bytes <= SHARE_OF_DISK * shutil.disk_usage(self._file.parent).free
            if fits and hasattr(os, "posix_fallocate"):
                with self._file.open("ab") as file:
                    os.posix_fallocate(file.fileno(), 0, self.num_bytes)
        except OSError:
            fits = False
        if not fits:
            self._file.unlink(missing_ok=True)
            write_json(self._about, {"kept": False})
        return fits

    def compute(self, network: Any, batch_tokens: int) -> None:
        """Fill the file; a whole one from before an interruption is used as it is."""
        size = self._total * self._width
        states = torch.from_file(str(self._file), shared=True, size=size, dtype=self._kind)
        self._states = states.view(self._total, self._width)
        if self._about.is_file():
            return
        where = next(network.parameters()).device
        was_training = network.training
        network.eval()
        with torch.no_grad(), lowest(network, self.depth) as found:
            for rows in micro_batches(list(self.rows.values()), batch_tokens):
                batch = pack(rows, where)
                with computing(network):
                    decoder(network)(
                        input_ids=batch.ids, position_ids=batch.positions, use_cache=False, pieces=batch.pieces
                    )
                self._keep(batch, found.pop()[0].cpu())
        network.train(was_training)
        with self._file.open("rb+") as file:
            os.fsync(file.fileno())
        write_json(
            self._about,
            {
                "kept": True,
                "tokens": self._total,
                "width": self._width,
                "depth": self.depth,
                "dtype": str(self._kind),
            },
        )

    def _keep(self, batch: Packed, states: torch.Tensor) -> None:
        """Take the rows of a pack out of its states; a beginning that rows share belongs to each of them."""
        for (example, first, last), piece in zip(batch.laid, batch.pieces, strict=True):
            if example is not None:
                at = self._at[id(example)]
                self._states[at + first - len(piece.before) : at + first] = states[
                    piece.before.start : piece.before.stop
                ]
                self._states[at + first : at + last] = states[piece.start : piece.end]

    def of(self, batch: Packed) -> torch.Tensor | None:
        """The states of a pack, shape (1, T, D); None where a row of it is not among those computed."""
        parts = []
        for example, first, last in batch.laid:
            if example is None:
                parts.append(self._states.new_zeros(last - first, self._width))
            elif id(example) in self._at:
                at = self._at[id(example)]
                parts.append(self._states[at + first : at + last])
            else:
                return None
        return torch.cat(parts).unsqueeze(0).to(batch.ids.device)


def install(network: Any, examples: Sequence[Example], cfg: FitConfig, job: Job, part: str = "") -> None:
    """Let `network` take what its frozen lower layers make of `examples` from a file, where it has such layers and that pays.

    A part of a job has a file of its own.
    """
    depth = frozen_depth(network)
    seen = cfg.last_step * cfg.batch_size
    if not depth or seen < len(examples):
        return
    if world().size > 1:
        job.log(f"the {depth} frozen layers are computed again in every step: several devices keep nothing of them")
        return
    made = Features(network, examples, job.folder / "checkpoints" / part, depth)
    if not made.has_room():
        job.log(
            f"the {depth} frozen layers are computed again in every step: keeping them needs {made.num_bytes / 1e9:.1f} GB"
        )
        return
    started = time.monotonic()
    made.compute(network, cfg.batch_tokens)
    for number, layer in enumerate(decoder(network).layers[:depth]):
        layer.forward = partial(_skipped, layer.forward, number == depth - 1)
    network.features = made
    job.log(
        f"the {depth} frozen layers below are computed: {made.num_bytes / 1e6:.0f} MB in {time.monotonic() - started:.1f} s"
    )


def frozen_depth(network: Any) -> int:
    """How many decoder layers stand below everything that learns; 0 where any of them has a part in chance."""
    inner = decoder(network)
    layers = getattr(inner, "layers", None)
    whole = network.get_base_model() if hasattr(network, "get_base_model") else network
    if (
        layers is None
        or hasattr(whole, "over_bytes")
        or any(p.requires_grad for p in network.get_input_embeddings().parameters())
    ):
        return 0
    # A bank's modules are no part of the layers they change, and its router reads what the first of these is given.
    bound = network.bank.shape.router_layer if hasattr(network, "bank") else len(layers)
    depth = next((n for n, layer in enumerate(layers) if any(p.requires_grad for p in layer.parameters())), bound)
    depth = min(depth, bound) if hasattr(network, "bank") else depth
    chance = (m for layer in layers[:depth] for m in layer.modules())
    drops = any(getattr(m, "attention_dropout", 0.0) or (isinstance(m, torch.nn.Dropout) and m.p) for m in chance)
    return 0 if drops else depth


def _skipped(
    compute: Callable[..., Any], last: bool, hidden: torch.Tensor, *more: Any, lower: Any = None, **rest: Any
) -> Any:
    """A layer that computes only when nobody brings its result."""
    if lower is None:
        return compute(hidden, *more, **rest)
    return lower if last else hidden
