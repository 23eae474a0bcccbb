"""Go on with what a base model was made by: reading plain text, in the new language and a share of what it knew before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from endonym.train.recipes import full
from endonym.train.settings import FitConfig

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job
    from endonym.train.recipe import Build
    from endonym.types import Chat

REQUIRES = {"torch": "train", "transformers": "train"}
LOADS = full.LOADS
SHARDED = True
READS = ("replay",)
TASKS = ("complete",)


class Config(FitConfig):
    """Settings of continued pretraining."""

    learning_rate: float = Field(1e-4, gt=0, description="Highest learning rate.")
    weight_decay: float = Field(0.1, ge=0, le=1, description="Decoupled weight decay of matrices; more for less text.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of attention weights dropped in training.")
    replay: list[str] = Field([], description="Text files of what the model must not forget, a paragraph a line.")
    replay_share: float = Field(0.1, ge=0, lt=1, description="Share of the learned characters that comes from them.")


def train(cfg: Config, data: Dataset, job: Job) -> Path:
    """Train all weights on the plain text of `data` (task `complete`) and the replay; writes `output/weights`.

    Mixing in a little of the old text keeps a model from forgetting it (Ibrahim and others, Simple and Scalable Strategies to
    Continually Pre-train Large Language Models, TMLR 2024). Raises DataError when there is no plain text, or replay that was held
    out.
    """
    import torch

    from endonym.errors import DataError, Problem
    from endonym.models.load import load_model
    from endonym.train import recipe
    from endonym.train.finish import save_weights
    from endonym.train.rows import chats_of

    torch.manual_seed(cfg.seed)
    texts, held = chats_of(data, "train", TASKS), chats_of(data, "valid", TASKS)
    if not texts:
        raise DataError(
            Problem("the chats", 0, "task", "none is plain text", "add texts in the language: endonym add FILE.txt")
        )
    if not held:
        job.log("no plain text is held out for validation; the other tasks stand in")
        held = chats_of(data, "valid")
    loaded = load_model(job.project.base, dtype=LOADS)

    return recipe.run(
        "continue", cfg, data, job, loaded, network(cfg),
        lambda model, out: save_weights(model, loaded.tokenizer, out / "weights"),
        ([*texts, *_replay(cfg, texts, job)], held),
    )  # fmt: skip


def network(cfg: Config) -> Build:
    """What sets a loaded base up for training all its weights."""
    return full.whole(cfg, cfg.dropout)


def _replay(cfg: Config, texts: list[Chat], job: Job) -> list[Chat]:
    """The replayed paragraphs as chats, weighted so that their characters have the share asked for."""
    from endonym.data import leaks
    from endonym.errors import MissingError
    from endonym.types import Chat, Message, record_id

    found: list[Chat] = []
    for name in cfg.replay if cfg.replay_share else []:
        path = Path(name) if Path(name).is_absolute() else job.project.path / name
        if not path.is_file():
            raise MissingError(
                f"the replay text {path} is not there", "Name a text file, from the project's folder on."
            )
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            if line.strip():
                origin = f"{name}:{number}"
                found.append(Chat(record_id(origin, line), (Message("assistant", line.strip()),), origin, "replay"))
    if not found:
        return []
    leaks.check(str(job.inputs["split"]), training=found)
    new = sum(len(c.answer) * c.weight for c in texts)
    old = sum(len(c.answer) for c in found)
    weight = cfg.replay_share / (1 - cfg.replay_share) * new / old
    job.log(f"{len(found)} replayed paragraphs, each seen {weight:.3g} times as often as a paragraph of weight 1")
    return [Chat(c.id, c.messages, c.origin, c.task, c.language, weight) for c in found]
