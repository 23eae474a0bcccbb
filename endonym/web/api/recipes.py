"""Recipes: what can be trained and with which settings, presets of them, and what a run would need."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from endonym import plugins
from endonym.errors import MissingError
from endonym.jobs.stage import load_stage, sentence, verbs
from endonym.teach import settings as teach
from endonym.web.asked import Body, Opened, Text, Values

router = APIRouter(prefix="/api/v1", tags=["recipes"])
ESTIMATE_SECONDS = 120.0
PRESETS = Path(__file__).parent.parent / "presets.toml"


class Planned(Body):
    """A run whose needs are asked for."""

    verb: Literal["teach", "train"] = "train"
    plugin: Text = Field("", max_length=100, description="The recipe; for `train`, `lora` where none is named.")
    settings: Values = Field({}, description="As for a job of the verb.")


@router.get("/recipes")
def recipes() -> dict[str, Any]:
    """Every verb and recipe a form can be made for: name, help, JSON schema of its settings, presets."""
    found = [_stage(verb) for verb in verbs() if verb not in ("train", "serve") and _is_plain(verb)]
    for name, plugin in plugins.available("recipe").items():
        try:
            module = plugins.load("recipe", name)
        except MissingError as error:
            found.append({"verb": "train", "plugin": name, "help": plugin.help, "missing": error.hint})
            continue
        schema = module.Config.model_json_schema()
        presets = _all_presets().get(name, [])
        found.append({"verb": "train", "plugin": name, "help": plugin.help, "schema": schema, "presets": presets})
    return {"recipes": found}


@router.post("/projects/{project}/estimate")
def estimate(planned: Planned, found: Opened, request: Request) -> dict[str, Any]:
    """The memory, time and disk that training with these settings would take here. Nothing is loaded and nothing trained."""
    request.app.state.home.allow(planned.settings)
    given = {"project": str(found.path), "verb": planned.verb, "plugin": planned.plugin, "settings": planned.settings}
    answer: dict[str, Any] = request.app.state.desk.call("estimate.needed", given, ESTIMATE_SECONDS)
    return answer


def _is_plain(verb: str) -> bool:
    """Whether a verb's own settings are all its form needs: those that choose one plugin have a form for each."""
    return load_stage(verb).choice != "one"


def _stage(verb: str) -> dict[str, Any]:
    schema = load_stage(verb).module.Config.model_json_schema()
    found = _presets_of_teach() if verb == "teach" else []
    return {"verb": verb, "plugin": "", "help": sentence(verb), "schema": schema, "presets": found}


def _presets_of_teach() -> list[dict[str, Any]]:
    """The presets of `teach`, their settings by the names that its schema has."""
    fields = teach.Config.model_fields
    return [
        {"name": name, **one, "settings": {fields[key].alias or key: value for key, value in one["settings"].items()}}
        for name, one in teach.presets().items()
    ]


@cache
def _all_presets() -> dict[str, Any]:
    return tomllib.loads(PRESETS.read_text(encoding="utf-8"))
