"""Write curves and sampled answers as TensorBoard files, to be looked at with `tensorboard --logdir tracking/tensorboard`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from endonym.store.events import Event
    from endonym.train.tracking import Run

REQUIRES = {"tensorboardX": "tensorboard"}


class Config(BaseModel):
    """TensorBoard has no settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def track(events: Iterator[Event], cfg: Config, run: Run) -> None:
    """Write until there are no more events, into a folder of the run's name."""
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(run.folder / run.name)) as writer:
        writer.add_text("settings", "\n".join(f"    {name} = {value}" for name, value in run.settings.items()))
        for event in events:
            data = event.data
            if event.kind == "metric":
                writer.add_scalar(data["name"], data["value"], data["step"], event.time)
            elif event.kind == "sample":
                text = f"{data['source']}\n\n{data['answer']}\n\n({data['reference']})"
                writer.add_text(f"{data['task']} {data['direction']}".strip(), text, data["step"], event.time)
