"""What a format is given to export: the trained model, what is known about it, and its weights with the adapter merged in."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.models.bases import origin
from endonym.models.weights import MANIFEST

if TYPE_CHECKING:
    import torch

    from endonym.models.load import Loaded


@dataclass(frozen=True)
class Source:
    """The live model in float32 and what a model card says about it."""

    loaded: Loaded
    folder: Path
    """The `model` artifact."""
    name: str
    language: str = ""
    pivot: str = ""
    licence: str = ""
    data_licences: tuple[str, ...] = ()
    materials: tuple[Mapping[str, Any], ...] = ()
    """The sources the model learned from, with the rights of each."""
    scores: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The name as part of a file name."""
        return re.sub(r"[^\w.-]+", "-", self.name).strip("-.") or "model"

    @property
    def about(self) -> dict[str, Any]:
        """`model.json` of the training job."""
        return dict(json.loads((self.folder / "model.json").read_text(encoding="utf-8")))

    @property
    def from_nothing(self) -> bool:
        """Whether no other model is in it, not even its tokenizer."""
        return self.about.get("base_name") == ""

    @property
    def base(self) -> dict[str, Any]:
        """Where the base weights came from: the manifest `endonym models get` wrote, empty for a folder of the user's own."""
        path = origin(self.loaded.base) / MANIFEST
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    @property
    def stop_text(self) -> str:
        """The token that ends an answer, as text."""
        return str(self.loaded.tokenizer.convert_ids_to_tokens(self.loaded.renderer.end_ids[0]))

    def save_tokenizer(self, out: Path) -> None:
        """Write the tokenizer with the chat template the renderer used, also where the base had none of its own."""
        tokenizer = copy.copy(self.loaded.tokenizer)
        tokenizer.chat_template = self.loaded.renderer.template
        tokenizer.save_pretrained(out)

    def save_config(self, out: Path, **changes: Any) -> None:
        """Write config.json and generation_config.json of the base with `changes`."""
        config = self.loaded.model.config.to_dict()
        config.pop("_name_or_path", None)
        config.pop("torch_dtype", None)
        (out / "config.json").write_text(json.dumps({**config, **changes}, indent=2) + "\n", encoding="utf-8")
        generation = {"eos_token_id": self.loaded.renderer.stop_ids}
        for name in ("bos_token_id", "pad_token_id"):
            if getattr(self.loaded.tokenizer, name) is not None:
                generation[name] = getattr(self.loaded.tokenizer, name)
        (out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")

    def merged(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield every weight by name in float32 on the CPU, the adapter merged in, one tensor at a time."""
        model = self.loaded.model
        yield from _merged(model.get_base_model() if hasattr(model, "peft_config") else model, "")

    def is_tied(self) -> bool:
        """Whether input and output embeddings are the same matrix after merging; an adapter on one of them unties them."""
        if not getattr(self.loaded.model.config, "tie_word_embeddings", False):
            return False
        ends = {name: tensor for name, tensor in self.merged() if "embed_tokens" in name or name.startswith("lm_head")}
        matrices = list(ends.values())
        return len(matrices) < 2 or matrices[0].equal(matrices[1])


def _merged(module: torch.nn.Module, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    module = _resolve(module)
    for name, parameter in module.named_parameters(recurse=False):
        yield prefix + name, parameter.detach().float().cpu()
    for name, buffer in module.named_buffers(recurse=False):
        if name not in module._non_persistent_buffers_set:
            yield prefix + name, buffer.detach().cpu()
    for name, child in module.named_children():
        yield from _merged(child, f"{prefix}{name}.")


def _resolve(module: torch.nn.Module) -> torch.nn.Module:
    """The plain layer behind a peft wrapper, with its change merged into a copy; the live model stays as it is."""
    kind = type(module).__module__
    if not kind.startswith("peft."):
        return module
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import ModulesToSaveWrapper, TrainableTokensWrapper

    if isinstance(module, ModulesToSaveWrapper):
        return module.modules_to_save[module.active_adapters[0]]
    if isinstance(module, TrainableTokensWrapper):
        module = module.token_adapter
    if isinstance(module, BaseTunerLayer):
        layer = copy.deepcopy(module)
        layer.merge(safe_merge=True)
        return layer.get_base_layer()
    return module
