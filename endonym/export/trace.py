"""Trace a trained model into one graph that other runtimes can run without its Python code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from endonym.errors import UsageError

if TYPE_CHECKING:
    import torch

    from endonym.export.source import Source


def trace(model: Source) -> torch.export.ExportedProgram:
    """The model, its adapter merged in, as a graph over rows, tokens and past of any number; float32.

    Arguments as `endonym.models.graph` names them, the cache as one flat list; of a network over bytes one row of ids alone, for
    what such keep of the past depends on the text. Raises UsageError for a model whose past is not keys and values of every layer.
    """
    network = plain(model)
    try:
        return _row(network) if getattr(network, "over_bytes", False) else _cached(network)
    except UsageError:
        raise
    except Exception as error:  # of many kinds; what cannot be traced is a property of the network
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(
            f"a '{network.config.model_type}' cannot be written as one graph: {said}", "Use: endonym export merged"
        ) from error


def _cached(network: Any) -> torch.export.ExportedProgram:
    """With keys and values of what came before, and of all; where modules are, with what their router has read as well."""
    import torch
    from transformers import DynamicCache

    from endonym.models.nets.pooling import Pooled

    class WithCache(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: Any, mask: Any, place: Any, past: list[Any]) -> Any:
            layers = len(past) // 2
            cache = DynamicCache(list(zip(past[: 2 * layers : 2], past[1 : 2 * layers : 2], strict=True)))
            if len(past) % 2:
                Pooled.of(cache, layers).keep(past[-1])
            made = self.network(
                input_ids=ids, attention_mask=mask, position_ids=place, past_key_values=cache, use_cache=True
            )
            *kept, last = made.past_key_values.layers
            kept = kept if len(past) % 2 else [*kept, last]
            sums = [last.keys[:, 0, 0]] if len(past) % 2 else []
            return made.logits, [*(one for layer in kept for one in (layer.keys, layer.values)), *sums]

    past = _past(network)
    rows, length = past[0].shape[0], past[0].shape[2]
    ids = torch.zeros((rows, 3), dtype=torch.long)
    place = torch.arange(length, length + 3).expand(rows, 3).contiguous()
    any_size = torch.export.Dim.AUTO
    both = {0: any_size, 1: any_size}
    with torch.no_grad():
        return torch.export.export(
            WithCache().eval(),
            (ids, torch.ones((rows, length + 3), dtype=torch.long), place, past),
            dynamic_shapes=(
                both,
                both,
                both,
                [{0: any_size, 2: any_size} if one.dim() == 4 else {0: any_size} for one in past],
            ),
            strict=False,
        )


def _row(network: Any) -> torch.export.ExportedProgram:
    """One row, shape (1, `graph.SHORTEST` ids or more), to its logits."""
    import torch

    from endonym.models.graph import SHORTEST
    from endonym.models.nets.one_row import states

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: Any) -> Any:
            return self.network.get_output_embeddings()(states(self.network, ids[0]))[None]

    ids = torch.arange(3 * SHORTEST)[None]
    length = torch.export.Dim("length", min=SHORTEST)
    with torch.no_grad():
        return torch.export.export(Whole().eval(), (ids,), dynamic_shapes=({1: length},), strict=False)


def plain(model: Source) -> Any:
    """A network of its own in float32 with the merged weights."""
    import torch
    from transformers import AutoModelForCausalLM

    config = model.loaded.model.config.__class__.from_dict(
        {**model.loaded.model.config.to_dict(), "tie_word_embeddings": model.is_tied()}
    )
    network = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa").eval()
    network.load_state_dict(dict(model.merged()), strict=True)
    return network


def _past(network: Any) -> list[torch.Tensor]:
    """What the network keeps of two tokens in two rows: keys and values (2, heads, 2, size) of each layer, one after another, and
    last, where modules are, what their router has read (2, numbers)."""
    import torch

    from endonym.models.nets.pooling import Pooled

    with torch.no_grad():
        cache = network(input_ids=torch.zeros((2, 2), dtype=torch.long), use_cache=True).past_key_values
    layers = list(getattr(cache, "layers", []))
    sums = [layers.pop().keys[:, 0, 0].clone()] if layers and isinstance(layers[-1], Pooled) else []
    found = [one.clone() for layer in layers for one in (getattr(layer, "keys", None), getattr(layer, "values", None))
             if one is not None]  # fmt: skip
    if not found or len(found) != 2 * len(layers) or any(one.dim() != 4 for one in found):
        raise UsageError(
            f"a '{network.config.model_type}' keeps its past in a way that is not traced", "Use: endonym export merged"
        )
    return [*found, *sums]
