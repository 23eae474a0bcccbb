"""Frozen weights kept in 4 or 8 bits through bitsandbytes, and made whole for each product they take part in.

The product itself is the one of the whole numbers, forward and back, on every device. So a base whose weights were rounded once,
by packing them and making them whole again, computes exactly as the packed one did in training: it can be merged and exported.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from endonym.errors import MissingError
from endonym.store.files import write_json

FILE = "quantisation.json"
BLOCK = 64
"""Weights that share a scale in 4 bits, as in QLoRA."""
CHUNK = 2**18
"""Weights packed at once: bitsandbytes takes up to 26 bytes for each while it packs on a CPU."""
REPAIR = "Install it with: pip install 'endonym[qlora]'. Or train without it: endonym train lora"


@dataclass(frozen=True)
class Rounding:
    """How the linear weights of a base were rounded in training; an adapter fits only a base that is rounded alike."""

    bits: int
    """4 is NF4 in blocks of 64 (Dettmers and others, QLoRA, 2023), 8 is int8 with a scale a row."""
    dtype: str
    """Format of the whole numbers."""

    def save(self, folder: Path) -> None:
        """Write it beside the adapter it belongs to."""
        write_json(folder / FILE, asdict(self))


def rounding_of(adapter: Path) -> Rounding | None:
    """The rounding an adapter was trained over; None where its base was whole."""
    file = adapter / FILE
    return Rounding(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


class Packed(torch.nn.Linear):
    """A frozen linear layer in 4 or 8 bits. Its `weight` is computed anew, (O, I) in the format it was packed from."""

    def __init__(self, layer: torch.nn.Linear, bits: int, device: torch.device):
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features, self.bits = layer.in_features, layer.out_features, bits
        self.dtype = layer.weight.dtype
        with torch.no_grad():
            packed, scale = _pack(layer.weight.to(device), bits)
        self.packed = torch.nn.Parameter(packed, requires_grad=False)
        self.register_buffer("scale", scale)
        self.bias = None if layer.bias is None else torch.nn.Parameter(layer.bias.to(device), requires_grad=False)

    @property
    def weight(self) -> torch.Tensor:
        shape = torch.Size((self.out_features, self.in_features))
        with torch.no_grad():
            return _unpack(self.packed, self.scale, self.bits, shape, self.dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = _Product.apply(x, self)
        return y if self.bias is None else y + self.bias


class _Product(torch.autograd.Function):
    """y = x Wᵀ with W frozen, which is made whole again on the way back instead of being kept."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: Packed) -> torch.Tensor:
        ctx.layer, ctx.kind = layer, x.dtype
        return x.to(layer.dtype) @ layer.weight.T

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return (grads[0].to(ctx.layer.dtype) @ ctx.layer.weight).to(ctx.kind), None


def pack(model: Any, bits: int, device: torch.device) -> None:
    """Pack the linear layers of `model` one by one, on `device`; the output layer and what is packed already stay as they are."""
    head = model.get_output_embeddings()
    for parent, name, layer in _layers(model, torch.nn.Linear):
        if layer is not head and not isinstance(layer, Packed):
            _replace(parent, name, Packed(layer, bits, device))


def make_whole(model: Any, dtype: torch.dtype) -> None:
    """Replace packed layers by plain ones with the rounded weights, and bring all weights into `dtype`."""
    for parent, name, layer in _layers(model, Packed):
        with torch.device("meta"):
            plain = torch.nn.Linear(layer.in_features, layer.out_features, bias=False)
        plain.weight = torch.nn.Parameter(layer.weight.to(dtype), requires_grad=False)
        plain.bias = layer.bias
        _replace(parent, name, plain)
    # Weights only: rotary frequencies are buffers, and lose the positions when they are narrowed.
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)


def _replace(parent: torch.nn.Module, name: str, layer: torch.nn.Linear) -> None:
    """Put `layer` where another stands, with what is hooked to that: domain modules change its output."""
    layer._forward_hooks = getattr(parent, name)._forward_hooks
    setattr(parent, name, layer)


def fits_whole(model: Any, device: torch.device) -> bool:
    """Whether a GPU has room for the whole weights; packed ones answer the same, but slower."""
    if device.type != "cuda":
        return True
    whole = sum(m.in_features * m.out_features * m.dtype.itemsize for _, _, m in _layers(model, Packed))
    return bool(whole < 0.7 * torch.cuda.mem_get_info()[0])


def refuse_if_impossible(bits: int, dtype: torch.dtype, device: torch.device) -> None:
    """Pack a few numbers and look at them again; raises MissingError where bitsandbytes is missing or cannot do it here."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingError(f"weights in {bits} bits need bitsandbytes, which is not installed", REPAIR)
    numbers = torch.linspace(-1, 1, 2 * BLOCK, device=device).reshape(2, BLOCK)
    try:
        back = _unpack(*_pack(numbers.to(dtype), bits), bits, numbers.shape, dtype)
        gap = float((back.float() - numbers).abs().max())
    # The library raises whatever its compiled part, its platform and its version bring along.
    except Exception as error:
        what = f"bitsandbytes cannot keep weights in {bits} bits on this machine ({device.type}): {error}"
        raise MissingError(what, REPAIR) from error
    if not gap < 0.2:
        raise MissingError(f"bitsandbytes gives weights back wrong on this machine ({device.type})", REPAIR)


def num_weights(model: torch.nn.Module) -> dict[int, int]:
    """How many numbers each parameter of `model` stands for, by its `id`; in 4 bits two are packed into a byte."""
    packed = {id(m.packed): m.in_features * m.out_features for _, _, m in _layers(model, Packed)}
    return {id(p): packed.get(id(p), p.numel()) for p in model.parameters()}


def _layers(model: torch.nn.Module, kind: type) -> Iterator[tuple[torch.nn.Module, str, Any]]:
    """Layers of a kind with the module that holds them and their name in it."""
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, kind):
                yield parent, name, layer


def _pack(weight: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    library = _library()
    if bits == 8:
        rows = weight.split(max(1, CHUNK // weight.shape[1]))
        parts = [library.int8_vectorwise_quant(part.half())[:2] for part in rows]
    else:
        found = [
            library.quantize_4bit(part, blocksize=BLOCK, quant_type="nf4") for part in weight.flatten().split(CHUNK)
        ]
        parts = [(packed.flatten(), state.absmax) for packed, state in found]
    return torch.cat([packed for packed, _ in parts]), torch.cat([scale for _, scale in parts])


def _unpack(
    packed: torch.Tensor, scale: torch.Tensor, bits: int, shape: torch.Size, dtype: torch.dtype
) -> torch.Tensor:
    if bits == 8:
        # As the library does it, but without the whole weights in float32 in between.
        return torch.mul(packed, scale[:, None] / 127, out=torch.empty(shape, dtype=dtype, device=packed.device))
    # On a CPU, bitsandbytes 0.50 takes each row to begin a block, which is wrong for rows that are no multiple of one.
    blocks = torch.Size((shape.numel() // BLOCK, BLOCK) if shape.numel() % BLOCK == 0 else (shape.numel(),))
    library = _library()
    state = library.QuantState(absmax=scale, shape=blocks, dtype=dtype, blocksize=BLOCK, quant_type="nf4")
    made: torch.Tensor = library.dequantize_4bit(packed, state).reshape(shape)
    return made


def _library() -> Any:
    import_bitsandbytes()
    from bitsandbytes import functional

    return functional


def import_bitsandbytes() -> None:
    """Import it without the package `kernels`: with that at hand it fetches code from the network."""
    if "bitsandbytes" not in sys.modules:
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        with _hidden("kernels"):
            import bitsandbytes  # noqa: F401


def import_peft() -> None:
    """Import peft as if bitsandbytes were not installed: it would import it, which takes a second, for layers not used here."""
    if "peft" not in sys.modules:
        with _hidden("bitsandbytes"):
            from peft import import_utils

            import_utils.is_bnb_available()  # it remembers that there is none
            import_utils.is_bnb_4bit_available()


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Have no module of this name meanwhile; one that was imported is there again afterwards."""
    kept = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
        if kept is not None:
            sys.modules[name] = kept
