"""Report a run to MLflow: into the project's folder, or to the server whose address is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from endonym.store.events import Event
    from endonym.train.tracking import Run

REQUIRES = {"mlflow": "mlflow"}


class Config(BaseModel):
    """Settings of MLflow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str = Field("", description="Address of the tracking server; empty for the folder tracking/mlflow.")
    experiment: str = Field("", description="Name of the experiment; the project's when empty.")


def track(events: Iterator[Event], cfg: Config, run: Run) -> None:
    """Log settings as parameters, of each up to 500 characters, and every point of a curve as a metric.

    A job that goes on after an interruption is another run of the same name there.
    """
    import os

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # The folder store of MLflow 3 is kept up but no longer extended, and has to be asked for.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow

    mlflow.set_tracking_uri(cfg.uri or run.folder.resolve().as_uri())
    mlflow.set_experiment(cfg.experiment or run.project)
    with mlflow.start_run(run_name=run.name):
        mlflow.log_params({name: str(value)[:500] for name, value in run.settings.items()})
        for event in events:
            if event.kind == "metric":
                mlflow.log_metric(
                    event.data["name"], event.data["value"], step=event.data["step"], timestamp=round(event.time * 1000)
                )
