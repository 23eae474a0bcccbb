"""Adapter layers, norms and rotations as single operations, with the gradients written out.

What peft and transformers compute in a dozen passes over memory is here one product each; on a CPU the passes cost as much as
the products. Results equal theirs up to rounding, which a test holds.
"""

from __future__ import annotations

import sys
from functools import lru_cache, partial
from typing import Any

import torch


def speed_up(model: torch.nn.Module) -> int:
    """Replace the forward of every plain LoRA layer, RMS norm and gated block in `model`; returns how many were replaced.

    Layers with dropout, DoRA, a bias or several adapters keep the forward they have.
    """
    lora: Any = sys.modules.get("peft.tuners.lora")  # not imported, there is none of its layers
    replaced = 0
    for module in model.modules():
        if lora is not None and isinstance(module, lora.Linear) and _is_plain(module):
            name = module.active_adapters[0]
            module.forward = partial(  # type: ignore[method-assign]
                _adapter_forward, module.base_layer, module.lora_A[name], module.lora_B[name], module.scaling[name]
            )
            replaced += 1
        elif eps := _eps(module):
            module.forward = partial(_norm_forward, module, eps)  # type: ignore[method-assign]
            replaced += 1
        elif _is_gated(module):
            module.forward = partial(_gated_forward, module)  # type: ignore[method-assign]
            replaced += 1
    return replaced


def _is_gated(module: Any) -> bool:
    """Whether a block is the gated one of the Llama family and nothing else: three products and an activation."""
    parts = {name for name, _ in module.named_children()}
    gated = type(module).__name__.endswith("MLP") and parts == {"gate_proj", "up_proj", "down_proj", "act_fn"}
    return gated and type(module.act_fn).__name__ in ("SiLU", "SiLUActivation")


def _is_plain(module: Any) -> bool:
    names = module.active_adapters
    if len(names) != 1 or names[0] not in module.lora_A or module.merged or module.disable_adapters:
        return False
    name = names[0]
    dropout = module.lora_dropout[name]
    variants = getattr(module, "lora_variant", {})
    return (
        isinstance(module.base_layer, torch.nn.Linear)
        and module.base_layer.bias is None
        and isinstance(dropout, torch.nn.Identity)
        and name not in variants
        and module.lora_B[name].bias is None
    )


def _adapter_forward(
    base: torch.nn.Linear, a: torch.nn.Linear, b: torch.nn.Linear, scale: float, x: torch.Tensor, **unused: Any
) -> torch.Tensor:
    y: torch.Tensor = _Adapter.apply(x, base, a.weight, b.weight, scale)
    for (
        hook
    ) in base._forward_hooks.values():  # Domain modules change what the layer itself gives, which is not called here.
        y = hook(base, (x,), y)
    return y


class _Adapter(torch.autograd.Function):
    """y = x Wᵀ + scale (x Aᵀ) Bᵀ, W frozen. Shapes: x (..., I), W (O, I), A (R, I), B (O, R)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, base: torch.nn.Linear, a: torch.Tensor, b: torch.Tensor, scale: float
    ) -> torch.Tensor:
        w = base.weight
        flat = x.reshape(-1, x.shape[-1])
        flat = flat if flat.dtype == w.dtype else flat.to(w.dtype)
        narrow_a, narrow_b = a.to(w.dtype), (b * scale).to(w.dtype)
        inner = flat @ narrow_a.T
        y = flat @ w.T
        y.addmm_(inner, narrow_b.T)
        # Not the weights: those of a packed layer are made whole for each product, and kept they would all be whole at once.
        ctx.save_for_backward(flat, inner, narrow_a, narrow_b)
        ctx.base, ctx.scale, ctx.shape, ctx.kind = base, scale, x.shape, x.dtype
        return y.view(*x.shape[:-1], w.shape[0])

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, inner, narrow_a, narrow_b = ctx.saved_tensors
        w = ctx.base.weight
        dy = grads[0].reshape(-1, w.shape[0])
        dy = dy if dy.dtype == w.dtype else dy.to(w.dtype)
        d_inner = dy @ narrow_b
        dx = None
        if ctx.needs_input_grad[0]:
            dx = dy @ w
            dx.addmm_(d_inner, narrow_a)
            dx = dx.view(ctx.shape).to(ctx.kind)
        da = (d_inner.T @ flat).float()
        db = (dy.T @ inner).float().mul_(ctx.scale)
        return dx, None, da, db, None


@lru_cache
def _liger() -> tuple[Any, Any] | None:
    """The norm and the gate of Liger Kernel (Hsu and others 2024), one pass over a GPU's memory each; None where it is not there."""
    try:
        from liger_kernel.ops.rms_norm import LigerRMSNormFunction
        from liger_kernel.ops.swiglu import LigerSiLUMulFunction
    except ImportError:
        return None
    return LigerRMSNormFunction, LigerSiLUMulFunction


def _eps(module: Any) -> float:
    """What a plain RMS norm adds to the mean square; 0 for any other module."""
    if type(module) is torch.nn.RMSNorm:
        return float(module.eps or 0) if module.weight is not None else 0.0
    name = type(module).__name__
    return float(getattr(module, "variance_epsilon", 0)) if name.endswith("RMSNorm") and "Gemma" not in name else 0.0


def _norm_forward(module: Any, eps: float, x: torch.Tensor) -> torch.Tensor:
    if x.is_cuda and (liger := _liger()):
        return liger[0].apply(x, module.weight, eps, 0.0, "llama", False)  # type: ignore[no-any-return]
    if module.weight.requires_grad and not torch.is_grad_enabled():
        # What is asked of a model that was trained as a whole is, to the last bit, what it answers when it is loaded again.
        return type(module).forward(module, x)  # type: ignore[no-any-return]
    return _Norm.apply(x, module.weight, eps)  # type: ignore[no-any-return]


class _Norm(torch.autograd.Function):
    """RMS norm (Zhang and Sennrich 2019): y = w x / sqrt(mean(x²) + eps). Shape (..., D)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor, eps: float) -> torch.Tensor:
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = torch.rsqrt(size.square_().div_(x.shape[-1]).add_(eps))
        y = x * inverse.to(x.dtype)
        ctx.save_for_backward(y, w, inverse)
        return y * w

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        y, w, inverse = ctx.saved_tensors
        dy = grads[0] * w
        along = torch.linalg.vecdot(dy.float(), y.float()).unsqueeze(-1).div_(y.shape[-1])
        dw = (grads[0] * y).flatten(0, -2).sum(0, dtype=torch.float32).to(w.dtype) if ctx.needs_input_grad[1] else None
        return (dy.addcmul_(y, along.to(y.dtype), value=-1.0)).mul_(inverse.to(y.dtype)), dw, None


def _gated_forward(module: Any, x: torch.Tensor) -> torch.Tensor:
    gate: Any = liger[1] if x.is_cuda and (liger := _liger()) else _Gate
    return module.down_proj(gate.apply(module.gate_proj(x), module.up_proj(x)))  # type: ignore[no-any-return]


class _Gate(torch.autograd.Function):
    """y = silu(g) u (Shazeer, GLU Variants Improve Transformer, 2020); silu(g) is computed again on the way back, not kept."""

    @staticmethod
    def forward(ctx: Any, g: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(g, u)
        return torch.nn.functional.silu(g).mul_(u)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        g, u = ctx.saved_tensors
        dg = torch.ops.aten.silu_backward(grads[0] * u, g)
        return dg, torch.nn.functional.silu(g).mul_(grads[0])
