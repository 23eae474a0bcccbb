"""Choose the recipe's settings and forecast the run in a process of its own, so that PyTorch does not stay in memory beside the training."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from endonym.data.dataset import Dataset
from endonym.errors import ConfigError, EndonymError, JobError, MissingError
from endonym.jobs.submit import resolve_job
from endonym.project import Project
from endonym.store.jobs import get, newest_artifact
from endonym.teach.mapping import composing, in_parts, look, mapped
from endonym.teach.settings import Config

SECONDS = 900


def request(cfg: Config, project: Project, inputs: dict[str, int] | None = None) -> dict[str, Any]:
    """What to ask for: these settings on the chats and the split of `inputs` (job numbers), else on the newest; raises MissingError
    where there are none. The newest were perhaps made of more records, or of fewer, than these settings take: their rows are counted
    in proportion."""
    kinds = {"dataset": "chats", "split": "split"}
    jobs = inputs or {name: number for name, kind in kinds.items() if (number := newest_artifact(project.db, kind))}
    if len(jobs) < len(kinds):
        raise MissingError("nothing can be told before the material is read", "Run: endonym run, or endonym teach")
    chats = Dataset(project.output(jobs["dataset"]), "teach")
    rows = sum(getattr(chat, "weight", 1.0) for chat in chats.records("train"))
    share = 1.0 if inputs else _share(cfg, project, jobs)
    about = {"project": str(project.path), "base": project.base, "cfg": cfg.model_dump(mode="json")}
    return {**about, "inputs": jobs, "rows": rows * share}


def _share(cfg: Config, project: Project, jobs: dict[str, int]) -> float:
    """How many records the chats are going to be made of, beside those that they were made of."""
    num = Dataset(project.output(jobs["split"]), "teach").count("train")
    then = get(project.db, jobs["dataset"]).settings["stage"]["most"]
    now = resolve_job(project, "compose", "", composing(cfg), None).config.most
    return min(now or num, num) / max(1, min(then or num, num))


def ask(request: dict[str, Any]) -> dict[str, Any]:
    """Recipe, settings, notes and forecast for a `request`.

    Raises ConfigError with the words of what is wrong with the settings.
    """
    command = [sys.executable, "-m", "endonym.teach.apart"]
    done = subprocess.run(
        command,
        input=json.dumps(request),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=SECONDS,
    )
    if done.returncode:
        last = [line for line in done.stderr.strip().splitlines() if line.strip()][-1:]
        raise JobError(
            f"the run could not be forecast: {' '.join(last)}", "The full trace is in log.txt of the run folder."
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    if "error" in answer:
        raise ConfigError(answer["error"]["message"], answer["error"]["hint"])
    return answer


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What `ask` gives back, computed in this process; raises what the recipe raises."""
    from endonym.config import Layer
    from endonym.jobs.stage import load_stage, resolve

    project = Project(request["project"]).with_base(request["base"])
    cfg = Config(**request["cfg"])
    chosen = mapped(cfg, request["rows"], look(project.base))
    stage = load_stage("train")
    layers = [project.layer("train"), Layer("teach", chosen.settings)]
    resolved = resolve(stage, chosen.recipe, layers, project.path)
    forecast = stage.module.foretell(resolved.plugins, project, request["inputs"])
    notes = chosen.notes + in_parts(cfg, chosen.settings, forecast["tokens_per_step"])
    return {"recipe": chosen.recipe, "settings": chosen.settings, "notes": notes, "forecast": forecast}


def main() -> int:
    """Answer the request on standard input."""
    try:
        found = answer(json.load(sys.stdin))
    except EndonymError as error:
        found = {"error": {"message": error.message, "hint": error.hint}}
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
