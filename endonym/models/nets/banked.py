"""A family of models with a bank of modules for every family of decoders: saved, loaded and used as transformers' own are."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from endonym.errors import ConfigError, UsageError
from endonym.models.nets.domain_bank import About, DomainBank, Member, Shape

PREFIX = "domain_bank_"
"""What the name of a model's family begins with when it has modules."""
FORMAT, EARLIER = "endonym domain module 2", "endonym domain module 1"
OLD = "of an earlier version of Endonym, whose router read no words"


@lru_cache
def classes(model_type: str) -> tuple[type[Any], type[Any]]:
    """Settings and network of the family `model_type` with modules, made known to transformers' automatic classes.

    Raises ConfigError for a family that has no decoder to put them on.
    """
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    if model_type not in CONFIG_MAPPING or CONFIG_MAPPING[model_type] not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ConfigError(f"there is no decoder of the family '{model_type}' to put modules on", "Choose another base.")
    of_base = CONFIG_MAPPING[model_type]
    network: Any = MODEL_FOR_CAUSAL_LM_MAPPING[of_base]
    settings = type(f"DomainBank{of_base.__name__}", (of_base,), {"model_type": PREFIX + model_type})

    def begin(self: Any, config: Any, *args: Any, **more: Any) -> None:
        network.__init__(self, config, *args, **more)
        if "version" not in config.domain_bank:
            raise ConfigError(f"the modules of this model are {OLD}", "Train them again: endonym train modules")
        self.bank = DomainBank(self, Shape(**config.domain_bank))

    def save(self: Any, *args: Any, **more: Any) -> Any:
        write_down(self)
        return network.save_pretrained(self, *args, **more)

    own = {"__init__": begin, "save_pretrained": save, "config_class": settings}
    banked = type(
        f"DomainBank{network.__name__}",
        (network,),
        {**own, "_keep_in_fp32_modules_strict": {"router", "evidence", "general"}},
    )
    AutoConfig.register(PREFIX + model_type, settings)
    AutoModelForCausalLM.register(settings, banked)
    return settings, banked


def make_known(folder: Path) -> None:
    """Tell transformers of the family of the model in `folder`, if it is one with modules."""
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = str(about.get("model_type", ""))
    if name.startswith(PREFIX):
        classes(name.removeprefix(PREFIX))


def attach(model: Any, shape: Shape) -> DomainBank:
    """Give a loaded network a bank, in place: it becomes one of its family with modules. Returns the bank.

    Raises ConfigError for a family that cannot have one, and UsageError for layers and names it does not have.
    """
    if hasattr(model, "bank"):
        raise UsageError("this model has modules already", "Add to them, or begin with the base they stand on.")
    settings, banked = classes(model.config.model_type)
    last = model.config.get_text_config().num_hidden_layers - 1
    if shape.router_layer > last:
        raise UsageError(
            f"the router cannot read layer {shape.router_layer}: the last one is {last}", "Choose a lower one."
        )
    model.config.__class__ = settings
    model.__class__ = banked
    model.bank = DomainBank(model, shape).to(next(model.parameters()).device)
    write_down(model)
    bank: DomainBank = model.bank
    return bank


def write_down(model: Any) -> None:
    """Put what the bank has become into the settings that are saved with the model."""
    model.config.domain_bank = model.bank.shape.model_dump(mode="json")


def refuse(model: Any, what: str) -> None:
    """Raise ConfigError for a network with modules: they fit its layers as they are, and its router what it was shown."""
    if hasattr(model, "bank"):
        raise ConfigError(
            f"a model with modules cannot be {what}", "Do that with its base, and train modules on the result."
        )


def rebase(model: Any) -> None:
    """Say which base the modules of a network fit from now on, where its base was trained; such a base is known by its tensors."""
    if any(p.requires_grad for name, p in model.named_parameters() if not name.startswith("bank.")):
        model.bank.shape = model.bank.shape.model_copy(update={"base_hash": hash_of(model)})
        write_down(model)


def put_on(model: Any, adapter_hash: str) -> None:
    """Say that the modules of a network stand on a base with an adapter in it: files of its modules fit no other."""
    both = hashlib.sha256(f"{model.bank.shape.base_hash}+{adapter_hash}".encode()).hexdigest()
    model.bank.shape = model.bank.shape.model_copy(update={"base_hash": both})
    write_down(model)


def hash_of(module: torch.nn.Module) -> str:
    """SHA-256 over the names, formats and bytes of a module's tensors, a bank inside it left out."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if not name.startswith("bank."):
            raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(raw.numpy().tobytes())
    return digest.hexdigest()


def save_module(bank: DomainBank, name: str, file: Path) -> None:
    """Write one module to a safetensors file of its own, with the hash of the base it fits and of the texts it learned from."""
    member = bank.member(name)
    shape = bank.shape.model_dump(mode="json", exclude={"modules"})
    about = {"format": FORMAT, "about": member.about.model_dump_json(), "shape": json.dumps(shape)}
    save_file({key: value.contiguous() for key, value in member.state_dict().items()}, file, metadata=about)


def load_module(bank: DomainBank, file: Path) -> Member:
    """Put the module in `file` into the bank as `save_module` wrote it; `solve` must follow.

    Raises UsageError for a file that is none, or whose base, router layer or targets are not the bank's.
    """
    with safe_open(file, framework="pt") as opened:
        about = opened.metadata() or {}
        if about.get("format") == EARLIER:
            raise UsageError(f"the module in {file} is {OLD}", "Train it again: endonym train modules")
        if about.get("format") != FORMAT:
            raise UsageError(f"{file} holds no module", "Write one with: endonym modules export NAME")
        shape = json.loads(about["shape"])
        for key, what in (("base_hash", "base"), ("router_layer", "router layer"), ("targets", "targets")):
            if shape[key] != getattr(bank.shape, key):
                raise UsageError(
                    f"the module in {file.name} was made for another {what}: {shape[key]}, and here it is {getattr(bank.shape, key)}",
                    "Modules fit the base and router layer they were trained on.",
                )
        member = bank.add(About.model_validate_json(about["about"]))
        member.load_state_dict({key: opened.get_tensor(key) for key in opened.keys()})  # noqa: SIM118
    return member
