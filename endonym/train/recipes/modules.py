"""Train named modules for the domains of a field on one base: one is chosen for each text, and each can be taken out again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from endonym.train.settings import FitConfig

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job
    from endonym.models.load import Loaded
    from endonym.project import Project
    from endonym.train.recipe import Build

REQUIRES = {"torch": "train", "transformers": "train"}
READS = ("declared", "model", "general")


class Config(FitConfig):
    """Settings of domain modules."""

    declared: list[str] = Field(
        ["modules.toml"], description="TOML files that declare the modules, from the project's folder on."
    )
    model: str = Field("", description="Run or folder of a trained model with modules to add to; else the base.")
    only: list[str] = Field(
        [], description="Names of the modules to train, the others stay as they are; empty for all that are new."
    )
    targets: list[str] = Field(["all-linear"], description="Names of the layers that modules change, or all-linear.")
    router_layer: int = Field(
        -1, ge=-1, description="Layer whose input the router reads and modules begin at; -1 is a fifth of the way up."
    )
    top_k: int = Field(1, ge=1, description="Modules that may take part in one token.")
    ridge: float = Field(0.1, gt=0, description="Ridge of the router's regression.")
    unknown: float = Field(
        0.05, ge=0, lt=1, description="Share of the modules' own texts that may count as of an unknown domain."
    )
    general: list[str] = Field(
        [],
        description="Text files of what is of no module, a text a line; the base alone then answers what is like them.",
    )
    passed: float = Field(
        0.02,
        gt=0,
        le=1,
        description="Share of those general texts, beginnings included, that may go to a module; less is safer and helps later.",
    )
    router_rows: int = Field(200, ge=2, description="Texts of each module that the router is fitted to, at most.")
    measured: int = Field(
        400,
        ge=1,
        description="Validation texts on which it is measured what the modules are worth, as many of each as can be.",
    )
    tune_router: bool = Field(False, description="Train the router's weights too, from the closed form on.")
    alignment: float = Field(1.0, ge=0, description="Weight of the alignment loss, when the router is tuned.")
    balance: float = Field(0.01, ge=0, description="Weight of the balance loss, when the router is tuned.")
    z: float = Field(0.001, ge=0, description="Weight of the z loss, when the router is tuned.")
    train_base: bool = Field(False, description="Train the base too; its modules then fit no other base.")


def train(cfg: Config, data: Dataset, job: Job) -> Path:
    """Fit the router, train the modules on the `train` chats of `data`, each on its own texts, and write the model to `output/weights`.

    Says before how large all is, and after what each module is worth on the validation chats (`modules.json`). Raises JobError when
    anything changed that was to stay as it is.
    """
    import torch

    from endonym.train import field, recipe
    from endonym.train.finish import save_weights

    torch.manual_seed(cfg.seed)
    loaded = field.begin(cfg, job.project)
    made = field.assemble(cfg, loaded, data, job)
    recipe.run(
        "modules", cfg, data, job, loaded, network(cfg),
        lambda model, out: save_weights(model, loaded.tokenizer, out / "weights"),
        prepared=made.prepared, loss=made.loss, watch=lambda step: made.loss.tell(job, step),
    )  # fmt: skip
    if not job.stopped_early:
        field.report(made, loaded, job)
    return job.output


def outline(cfg: Config, project: Project, inputs: Mapping[str, Path]) -> Loaded:
    """The base with its modules, without numbers."""
    from endonym.train import field

    return field.outline(cfg, project)


def network(cfg: Config) -> Build:
    """What sets a model with modules up: those to be trained learn, and the base and the router where that is asked for."""

    def build(loaded: Loaded) -> Any:
        from endonym.models.load import number_format
        from endonym.train.field import to_train

        model: Any = loaded.model
        model.requires_grad_(cfg.train_base)
        model.bank.requires_grad_(False)
        model.bank.taught = True
        for name in to_train(cfg, model.bank):
            model.bank.member(name).requires_grad_(True)
        model.bank.router.requires_grad_(cfg.tune_router)
        model.compute_dtype = number_format(cfg.dtype, loaded.device)
        return model

    return build
