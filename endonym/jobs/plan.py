"""A plan is an ordered list of steps; those whose result exists are skipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endonym.config import Layer, read_toml
from endonym.errors import ConfigError, did_you_mean
from endonym.jobs.stage import verbs
from endonym.jobs.submit import based, job_key, prepare, resolve_job, submit
from endonym.project import Project
from endonym.store import events
from endonym.store import jobs as rows

DEFAULT = Path(__file__).with_name("plan.toml")


@dataclass(frozen=True)
class Step:
    """One step of a plan and whether it would run now."""

    verb: str
    plugin: str
    state: str
    """`done`, `will run`, or `resume`."""
    why: str
    job: int | None = None

    @property
    def name(self) -> str:
        return f"{self.verb} {self.plugin}".strip()


def read_plan(project: Project, file: Path | None = None) -> tuple[list[tuple[str, str]], Layer]:
    """Return the steps as (verb, plugin) and the plan's settings by verb; raises ConfigError for unknown verbs."""
    values = read_toml(file) if file else {}
    steps = values.get("steps") or project.settings.get("steps") or read_toml(DEFAULT)["steps"]
    if not isinstance(steps, list) or not all(isinstance(s, str) and s.strip() for s in steps):
        raise ConfigError("'steps' must be a list of texts such as \"train lora\"", "See endonym plan --help.")
    parsed = []
    for step in steps:
        verb, _, plugin = step.strip().partition(" ")
        if verb not in verbs():
            raise ConfigError(f"the plan names an unknown verb '{verb}'", did_you_mean(verb, verbs()))
        parsed.append((verb, plugin.strip()))
    unknown = [k for k in values if k not in ("steps", *verbs())]
    if unknown:
        raise ConfigError(f"{file}: unknown table [{unknown[0]}]", did_you_mean(unknown[0], verbs()))
    return parsed, Layer(file.name if file else "plan", values, file)


def plan(project: Project, file: Path | None = None) -> list[Step]:
    """Say for each step whether it would run now, and why."""
    steps, layer = read_plan(project, file)
    made: dict[str, int] = {}
    changing: dict[str, str] = {}
    result = []
    for verb, plugin in steps:
        resolved = resolve_job(project, verb, plugin, {}, _sub(layer, verb))
        stale = [changing[k] for k in (spec.rstrip("?*") for spec in resolved.inputs.values()) if k in changing]
        if stale:
            step = Step(verb, plugin, "will run", f"what '{stale[0]}' makes will change")
        else:
            given = inputs_from(resolved.inputs, made)
            stage, resolved, inputs = prepare(project, verb, plugin, {}, given, _sub(layer, verb))
            key = job_key(based(project, resolved), stage, resolved, inputs)
            step = _state(project, verb, plugin, key)
        result.append(step)
        if step.state == "done" and step.job is not None:
            made[resolved.produces] = step.job
        else:
            changing[resolved.produces] = step.name
    return result


def run_plan(
    project: Project,
    file: Path | None = None,
    on_step: Callable[[int, int, str, str], None] | None = None,
    on_event: Callable[[events.Event], None] | None = None,
) -> list[rows.JobRow]:
    """Run the plan's steps in order and return their jobs. Stops at the first that fails, raising its error.

    `on_step(number, total, name, state)` is called before a step runs (`running`) and after it (`done` or `skipped`).
    """
    steps, layer = read_plan(project, file)
    made: dict[str, int] = {}
    result = []
    for number, (verb, plugin) in enumerate(steps, 1):
        sub = _sub(layer, verb)
        name = f"{verb} {plugin}".strip()
        given = inputs_from(resolve_job(project, verb, plugin, {}, sub).inputs, made)
        stage, resolved, inputs = prepare(project, verb, plugin, {}, given, sub)
        row = rows.done_with_key(project.db, job_key(based(project, resolved), stage, resolved, inputs))
        skipped = row is not None
        if row is None:
            if on_step:
                on_step(number, len(steps), name, "running")
            row = submit(project, verb, plugin, inputs=given, plan_layer=sub, wait=True, on_event=on_event)
        if on_step:
            on_step(number, len(steps), name, "skipped" if skipped else "done")
        made[resolved.produces] = row.id
        result.append(row)
    return result


def _state(project: Project, verb: str, plugin: str, key: str) -> Step:
    done = rows.done_with_key(project.db, key)
    if done is not None:
        return Step(verb, plugin, "done", f"job {done.id} has the same settings and inputs", done.id)
    rows.notice_dead(project.db)
    begun = rows.open_with_key(project.db, key)
    if begun is not None:
        return Step(
            verb, plugin, "resume", f"job {begun.id} was begun and is {begun.state.replace('_', ' ')}", begun.id
        )
    earlier = [
        r for r in rows.listing(project.db) if r.verb == verb and r.state == "succeeded" and plugin in ("", r.plugin)
    ]
    return Step(verb, plugin, "will run", "its settings or inputs changed" if earlier else "it has not run yet")


def inputs_from(specs: Mapping[str, str], made: dict[str, int]) -> dict[str, Any]:
    """Take inputs from earlier steps of this plan where they make them."""
    given: dict[str, Any] = {}
    for name, spec in specs.items():
        kind = spec.rstrip("?*")
        if kind in made:
            given[name] = [made[kind]] if spec.endswith("*") else made[kind]
    return given


def _sub(layer: Layer, verb: str) -> Layer:
    return Layer(layer.label, layer.values.get(verb, {}), layer.path)
