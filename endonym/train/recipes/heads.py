"""Train a head on a model: classes of texts, tags of words, answers found in a text, or vectors for search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from endonym.project import Project
from endonym.train.settings import FitConfig

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job
    from endonym.models.load import Loaded
    from endonym.models.nets.heads import HeadConfig
    from endonym.models.render import Example
    from endonym.train.batches import Loss
    from endonym.train.fit import Rows
    from endonym.train.recipe import Build

REQUIRES = {"torch": "train", "transformers": "train"}
ALONE, TOGETHER = 3e-3, 1e-4
"""Learning rates of a head alone, and of a head with what it stands on."""
PLAIN = "plain"
"""Where in a run's output the same head on the plain base lies, and the part of the run in which it is trained."""


class Config(FitConfig):
    """Settings of a head on a model."""

    head: Literal["classify", "tag", "answer", "embed"] = Field(
        "classify",
        description="What it says: the class of a text, the tag of each word, where an answer stands, or a vector.",
    )
    frozen: bool = Field(True, description="Leave what it stands on as it is, and train the head alone.")
    plain: bool = Field(True, description="Train the same head on the project's base too, to compare with.")
    pooling: Literal["auto", "last", "mean"] = Field(
        "auto",
        description="What of a text is judged: its last token, or the mean of all; auto is the mean when frozen.",
    )
    echo: Literal["auto", "yes", "no"] = Field(
        "auto", description="Read a text twice, so that each token knows what follows it; auto for tags and answers."
    )
    width: int = Field(256, ge=2, description="Numbers of a vector.")
    negatives: int = Field(7, ge=1, description="Wrong answers beside the right one, where vectors are learned.")
    temperature: float = Field(0.05, gt=0, description="What similarities are divided by, where vectors are learned.")
    learning_rate: float = Field(
        0.0, ge=0, description=f"Highest learning rate; 0 is {ALONE:g} for a head alone, {TOGETHER:g} for all weights."
    )
    samples: int = Field(0, ge=0, le=0, description="Nothing is written, so nothing is shown.")


def train(cfg: Config, data: Dataset, job: Job) -> Path:
    """Train a head on the chats of its task and write the model to `output/weights`, the same on the plain base to `output/plain`.

    Raises DataError when no row can be learned from.
    """
    from endonym.models.load import load_model
    from endonym.train import recipe
    from endonym.train.finish import save_weights
    from endonym.train.heads import HeadLoss, labelled

    cfg = _settled(cfg)
    _seed(cfg)
    loaded = load_model(job.project.base, dtype="float32")
    config, rows, valid, left = labelled(cfg, data, loaded.renderer, job.output / "ledger.jsonl")
    loss = HeadLoss(config, cfg.temperature)
    _tell(cfg, config, rows, left, job)
    recipe.run(
        "heads", cfg, data, job, loaded, build(cfg, config),
        lambda model, out: save_weights(model, loaded.tokenizer, out / "weights"),
        prepared=(rows, valid, ()), loss=loss, alone=loss.alone,
    )  # fmt: skip
    plain = _plain(job.project)
    if not job.stopped_early and cfg.plain and (job.project.base != plain or not cfg.frozen):
        del loaded, rows, valid
        _beside(cfg, plain, data, job)
    return job.output


def _beside(cfg: Config, plain: str, data: Dataset, job: Job) -> None:
    """Train the same head on `plain`, the project's base, for comparison; where the run is on that with all weights, on it as it is."""
    from endonym.models.load import load_model
    from endonym.store.files import write_json
    from endonym.store.room import patiently
    from endonym.train.features import install
    from endonym.train.finish import save_weights
    from endonym.train.fit import fit
    from endonym.train.heads import HeadLoss, labelled
    from endonym.train.network import ready

    same = job.project.base == plain
    own = _settled(cfg.model_copy(update={"frozen": True, "learning_rate": 0.0}) if same else cfg)
    folder = job.output / PLAIN
    folder.mkdir(exist_ok=True)
    job.log(f"the same head on the plain base {plain}, which {'stays' if own.frozen else 'learns too'}")
    _seed(own)
    loaded = load_model(plain, dtype="float32")
    config, rows, valid, _ = labelled(own, data, loaded.renderer, folder / "ledger.jsonl")
    network = build(own, config)(loaded)
    ready(loaded, network)
    install(network, [*rows.examples, *rows.alike, *valid], own, job, PLAIN)
    result = fit(network, rows, valid, HeadLoss(config, own.temperature), own, job, part=PLAIN)
    if result.cancelled:
        return
    patiently(lambda: save_weights(network, loaded.tokenizer, folder / "weights"), job.cancelled)
    about = {
        "recipe": "heads", "base": str(loaded.base), "renderer": loaded.renderer.hash, "steps": result.steps,
        "best_step": result.best_step, "best_valid_loss": result.best_loss, "settings": own.model_dump(mode="json"),
    }  # fmt: skip
    write_json(folder / "model.json", about)
    job.summary(plain_best_valid_loss=round(result.best_loss, 4))


def outline(cfg: Config, project: Project, inputs: Mapping[str, Path]) -> Loaded:
    """What the head stands on, without numbers."""
    from endonym.models.load import lay_out

    return lay_out(project.base, "float32")


def network(cfg: Config) -> Build:
    """What puts a head of two outputs on a loaded model; how many it really has, its rows say."""
    from endonym.models.nets.heads import HeadConfig

    return build(cfg, HeadConfig(cfg.head, ["", " "], cfg.width))


def prepared(
    module: ModuleType, cfg: Config, data: Dataset, loaded: Loaded
) -> tuple[Rows, Sequence[Example], Build, Loss]:
    """Training rows, validation rows, what makes the network, and its loss."""
    from endonym.train.heads import HeadLoss, labelled

    config, rows, valid, _ = labelled(cfg, data, loaded.renderer)
    return rows, valid, build(cfg, config), HeadLoss(config, cfg.temperature)


def build(cfg: Config, config: HeadConfig) -> Build:
    """What puts a new head on a loaded model. Of modules in it the router goes on as it was, and the modules stay."""

    def made(loaded: Loaded) -> Any:
        from endonym.models.load import number_format
        from endonym.models.nets.heads import HeadModel, settings_of

        foundation: Any = loaded.model
        config.foundation = settings_of(foundation)
        model: Any = HeadModel(config, foundation)
        foundation.requires_grad_(not cfg.frozen)
        if hasattr(foundation, "bank"):
            foundation.bank.requires_grad_(False)
        # Logits are not computed, and their layer would have no gradient.
        output = foundation.get_output_embeddings().weight
        if output is not foundation.get_input_embeddings().weight:
            output.requires_grad_(False)
        model.head.requires_grad_(True)
        model.compute_dtype = number_format(cfg.dtype, loaded.device)
        return model

    return made


def _settled(cfg: Config) -> Config:
    """The settings with their learning rate."""
    return cfg.model_copy(update={"learning_rate": cfg.learning_rate or (ALONE if cfg.frozen else TOGETHER)})


def _seed(cfg: Config) -> None:
    import torch

    torch.manual_seed(cfg.seed)


def _plain(project: Project) -> str:
    """The plain base to compare with: the one that the run stands on began with, else the project's."""
    from endonym.models.bases import origin

    first = str(origin(Path(project.base)))
    return first if first != project.base else Project(project.path).base


def _tell(cfg: Config, config: HeadConfig, rows: Rows, left: Mapping[str, int], job: Job) -> None:
    """Say what is learned, and what is left out and why."""
    named = f"{len(config.outputs)} labels: {', '.join(config.outputs)}" if config.outputs else f"kind {config.kind}"
    dropped = ", ".join(f"{number} {reason}" for reason, number in sorted(left.items())) or "none"
    job.log(
        f"{len(rows.examples)} rows, {named}; what it stands on {'stays' if cfg.frozen else 'learns too'}; in the ledger: {dropped}"
    )
    job.summary(rows=len(rows.examples), left_out=dict(left))
