"""Report a run to Weights & Biases: to its servers, to one of your own, or into a folder to be sent later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from endonym.store.events import Event
    from endonym.train.tracking import Run

REQUIRES = {"wandb": "wandb"}


class Config(BaseModel):
    """Settings of Weights & Biases; who you are is known from `wandb login`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["online", "offline"] = Field(
        "online", description="offline writes to tracking/wandb, for `wandb sync`."
    )
    project: str = Field("", description="Name of the project there; this project's name when empty.")
    entity: str = Field("", description="User or team it belongs to; your own when empty.")


def track(events: Iterator[Event], cfg: Config, run: Run) -> None:
    """Log every point of a curve against its own step; a job that goes on later is another run of the same name there."""
    import os

    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    with wandb.init(
        project=cfg.project or run.project, entity=cfg.entity or None, name=run.name, dir=str(run.folder),
        config=run.settings, mode=cfg.mode,
    ) as remote:  # fmt: skip
        remote.define_metric("*", step_metric="step")
        for event in events:
            if event.kind == "metric":
                remote.log({event.data["name"]: event.data["value"], "step": event.data["step"]})
