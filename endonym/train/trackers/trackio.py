"""Keep a run in Trackio, whose dashboard `trackio show` opens on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from endonym.store.events import Event
    from endonym.train.tracking import Run

REQUIRES = {"trackio": "trackio"}


class Config(BaseModel):
    """Settings of Trackio."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: str = Field("", description="Hugging Face Space to send the run to; empty keeps it in tracking/trackio.")


def track(events: Iterator[Event], cfg: Config, run: Run) -> None:
    """Log every point of a curve until there are no more events."""
    import os

    os.environ.setdefault("TRACKIO_DIR", str(run.folder.resolve()))
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import trackio

    trackio.init(
        project=run.project, name=run.name, space_id=cfg.space or None, config=run.settings, resume="allow", embed=False
    )
    for event in events:
        if event.kind == "metric":
            trackio.log({event.data["name"]: event.data["value"]}, step=event.data["step"])
    trackio.finish()
