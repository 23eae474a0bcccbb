"""Train small low-rank adapters on a frozen base model (LoRA, Hu et al. 2021)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from endonym.train.settings import FitConfig

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job
    from endonym.models.load import Loaded
    from endonym.train.recipe import Build

REQUIRES = {"torch": "train", "transformers": "train", "peft": "train"}
LOADS = "as computed"
SHARDED = True


class Config(FitConfig):
    """Settings of LoRA training."""

    rank: int = Field(16, ge=1, description="Rank of the adapters: how much they can learn.")
    alpha: float = Field(32.0, gt=0, description="Scale of the adapters; their output is multiplied by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of adapter inputs dropped in training.")
    targets: list[str] = Field(["all-linear"], description="Names of the layers that get adapters, or all-linear.")
    rank_stabilised: bool = Field(False, description="Scale by alpha / sqrt(rank) instead (rsLoRA).")
    dora: bool = Field(False, description="Learn magnitude and direction apart (DoRA).")
    first_layer: int = Field(
        0,
        ge=0,
        description="Layers below this one get no adapters.",
    )
    last_layer: int = Field(-1, ge=-1, description="Layers above this one get no adapters; -1 is the last there is.")


def train(cfg: Config, data: Dataset, job: Job) -> Path:
    """Train adapters on the `train` chats of `data`, keep those best on `valid`, and write them to `output/adapter`."""
    import torch

    from endonym.models.load import load_model
    from endonym.train import recipe
    from endonym.train.finish import save_adapter

    torch.manual_seed(cfg.seed)
    loaded = load_model(job.project.base, dtype=cfg.dtype)
    return recipe.run(
        "lora", cfg, data, job, loaded, network(cfg), lambda model, out: save_adapter(model, out / "adapter")
    )


def network(cfg: Config) -> Build:
    """What turns a loaded base into one with new adapters, which alone are trained."""

    def build(loaded: Loaded) -> Any:
        from endonym.models.adapters import speed_up
        from endonym.models.packed import import_peft

        import_peft()
        from peft import LoraConfig, get_peft_model

        layers = _layers(cfg, loaded.model)
        settings = LoraConfig(
            r=cfg.rank,
            lora_alpha=cfg.alpha,
            lora_dropout=cfg.dropout,
            target_modules=_targets(cfg, loaded.model, layers),
            use_rslora=cfg.rank_stabilised,
            use_dora=cfg.dora,
            layers_to_transform=layers,
            task_type="CAUSAL_LM",
        )
        model: Any = get_peft_model(loaded.model, settings)
        speed_up(model)
        return model

    return build


def _layers(cfg: Config, model: Any) -> list[int] | None:
    """The layers that get adapters, None for all; raises ConfigError when none of the model's is left."""
    from endonym.errors import ConfigError
    from endonym.train.network import first_to_learn

    number = model.config.get_text_config().num_hidden_layers
    first = first_to_learn(model, cfg.first_layer)
    last = number - 1 if cfg.last_layer < 0 else cfg.last_layer
    if not first <= last < number:
        raise ConfigError(
            f"there are no layers {first} to {last}: the model has layers {first - cfg.first_layer and first} to {number - 1}",
            f"Choose --first-layer and --last-layer between {first - cfg.first_layer and first} and {number - 1}.",
        )
    return None if (first, last) == (0, number - 1) else list(range(first, last + 1))


def _targets(cfg: Config, model: Any, layers: list[int] | None) -> str | list[str]:
    """What peft is told to put adapters on; for some layers alone it wants the linear layers by name.

    Raises ConfigError for a name that no layer has: peft passes over it as long as another one is found.
    """
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    from endonym.errors import ConfigError, did_you_mean
    from endonym.models.generate import decoder

    if cfg.targets == ["all-linear"] and layers is None:
        return "all-linear"
    linear = (name for name, module in decoder(model).named_modules() if isinstance(module, Linear | Conv1D))
    known = sorted({name.rpartition(".")[2] for name in linear})
    if cfg.targets == ["all-linear"]:
        return known
    names = [name for name, _ in model.named_modules()]
    for target in cfg.targets or [""]:
        if not any(f".{name}".endswith(f".{target}") for name in names) or not target:
            hint = f"{did_you_mean(target, [*known, 'all-linear'])} Name them with --targets."
            raise ConfigError(f"the model has no layers named '{target}'", hint)
    return cfg.targets
