"""The one way in: resolve settings and inputs, skip what is already done, start a worker, wait if asked."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from endonym import __version__, plugins
from endonym.config import Layer
from endonym.errors import JobError, MissingError, UsageError
from endonym.jobs.begin import start
from endonym.jobs.stage import Resolved, Stage, load_stage, resolve
from endonym.project import Project
from endonym.store import events
from endonym.store import jobs as rows
from endonym.store.files import file_hash, hash_folder

POLL_SECONDS = 0.1


def submit(
    project: Project,
    verb: str,
    plugin: str = "",
    settings: Mapping[str, Any] | None = None,
    *,
    inputs: Mapping[str, Any] | None = None,
    plan_layer: Layer | None = None,
    wait: bool = False,
    on_event: Callable[[events.Event], None] | None = None,
    parent: int | None = None,
) -> rows.JobRow:
    """Return the finished job with the same key, go on with one that was begun, or start one.

    `settings` are the nearest layer, as in `[verb]` of endonym.toml (for a verb with one plugin, its settings flat).
    `inputs` names job ids of input artifacts; the newest of the kind is taken where none is given. With `wait`, blocks until
    the job ended and raises its error when it failed. `parent` is the job that starts this one and waits for it: pausing or
    cancelling it reaches this one.
    """
    stage, resolved, found = prepare(project, verb, plugin, settings or {}, inputs or {}, plan_layer)
    project = based(project, resolved)
    key = job_key(project, stage, resolved, found)
    row = rows.done_with_key(project.db, key)
    if row is not None:
        return row
    rows.notice_dead(project.db)
    chosen = plugin or (next(iter(resolved.plugins)) if stage.choice == "one" else "")
    asked = {"base": project.base, **resolved.as_json()}
    row = rows.find_or_create(project.db, verb, chosen, key, asked, found, parent=parent)
    return _go_on(project, row, wait=wait, on_event=on_event)


def resume(
    project: Project, job: int, *, wait: bool = False, on_event: Callable[[events.Event], None] | None = None
) -> rows.JobRow:
    """Let a job that did not succeed go on from its last checkpoint; one that failed or was cancelled does so as a new job."""
    rows.notice_dead(project.db)
    row = rows.continued(project.db, job)
    if row.state in ("succeeded", "running"):
        raise JobError(f"job {row.id} is {row.state}: there is nothing to resume", "See: endonym jobs ls")
    return _go_on(project, row, wait=wait, on_event=on_event)


def _go_on(
    project: Project, row: rows.JobRow, *, wait: bool, on_event: Callable[[events.Event], None] | None
) -> rows.JobRow:
    after = 0
    if row.state in ("paused", "needs_recovery"):
        after = max((e.id for e in events.since(project.db, row.id)), default=0)
        rows.requeue(project.db, row.id)
    row = rows.get(project.db, row.id)
    if row.state == "queued":
        start(project, row)
    return wait_for(project, row.id, on_event, after) if wait else rows.get(project.db, row.id)


def prepare(
    project: Project,
    verb: str,
    plugin: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, Any],
    plan_layer: Layer | None,
) -> tuple[Stage, Resolved, dict[str, Any]]:
    """Resolve what a job would be, without starting it: stage, settings, input job ids.

    A stage with `choose_inputs(cfg, project)` names inputs itself, by what its settings ask for.
    """
    resolved = resolve_job(project, verb, plugin, settings, plan_layer)
    choose = getattr(resolved.stage.module, "choose_inputs", None)
    chosen = choose(resolved.config, project) if choose else {}
    return resolved.stage, resolved, find_inputs(project, resolved, {**inputs, **chosen})


def based(project: Project, resolved: Resolved) -> Project:
    """The project as the job works with it: on the base that its settings name (`base(cfg, project)` of the stage), else on the project's."""
    chosen = getattr(resolved.stage.module, "base", None)
    return project.with_base(chosen(resolved.config, project)) if chosen else project


def resolve_job(
    project: Project, verb: str, plugin: str, settings: Mapping[str, Any], plan_layer: Layer | None
) -> Resolved:
    """The stage, plugins and settings of a job, whether its inputs are there or not."""
    layers = [project.layer(verb)]
    if plan_layer is not None:
        layers.append(plan_layer)
    layers.append(Layer("command line", settings))
    return resolve(load_stage(verb), plugin, layers, project.path)


def find_inputs(project: Project, resolved: Resolved, given: Mapping[str, Any]) -> dict[str, Any]:
    """Job ids of a job's inputs: as given, else the newest artifact of the kind. Raises MissingError."""
    stage, specs = resolved.stage, resolved.inputs
    found: dict[str, Any] = {}
    for name, job in given.items():
        if name not in specs:
            raise UsageError(f"'{stage.verb}' has no input '{name}'", f"It has: {', '.join(specs) or 'none'}.")
        made = [row["job"] for row in rows.artifacts(project.db, specs[name].rstrip("?*"))]
        for number in job if isinstance(job, list) else [job]:
            if number not in made:
                hint = f"Jobs that did: {', '.join(map(str, made)) or 'none yet'}."
                raise UsageError(f"job {number} made nothing that '{stage.verb}' takes as its '{name}'", hint)
    for name, spec in specs.items():
        kind, optional, many = spec.rstrip("?*"), spec.endswith("?"), spec.endswith("*")
        if name in given:
            found[name] = [given[name]] if many and not isinstance(given[name], list) else given[name]
        elif many:
            found[name] = [row["job"] for row in rows.artifacts(project.db, kind)]
        else:
            newest = rows.newest_artifact(project.db, kind)
            if newest is not None:
                found[name] = newest
        if not optional and not found.get(name):
            raise MissingError(
                f"'{stage.verb}' needs a '{kind}' artifact and there is none", f"Make it with: endonym {_maker(kind)}"
            )
    return found


def job_key(project: Project, stage: Stage, resolved: Resolved, inputs: Mapping[str, Any]) -> str:
    """SHA-256 of everything that decides a job's result: verb, settings, input hashes, sources, version."""
    hashes: dict[str, Any] = {
        name: [rows.artifact_hash(project.db, i) for i in ids]
        if isinstance(ids, list)
        else rows.artifact_hash(project.db, ids)
        for name, ids in inputs.items()
    }
    about = {k: project.about[k] for k in ("language", "pivot", "base", "seed")}
    parts: dict[str, Any] = {
        "verb": stage.verb, "settings": resolved.as_json(), "inputs": hashes, "project": about, "version": __version__,
        "own_plugins": {n: _own_code(m, project) for n, (m, _) in resolved.plugins.items()},
    }  # fmt: skip
    if read := {n: _contents(m, cfg, project) for n, (m, cfg) in resolved.plugins.items() if hasattr(m, "READS")}:
        parts["read"] = read
    if hasattr(stage.module, "depends"):
        parts["depends"] = stage.module.depends(resolved.config, project)
    if not stage.inputs:
        parts["sources"] = [_source_hash(project, source) for source in project.sources]
        if (review := project.path / "review.jsonl").is_file():
            parts["review"] = file_hash(review)
        parts["readers"] = [file_hash(path) for path in sorted((project.path / "plugins" / "reader").glob("*.py"))]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def follow(project: Project, job: int, after: int = 0, family: bool = False) -> Iterator[events.Event]:
    """Yield the events of a job as they come, until it has ended; with `family`, those of the jobs it starts too."""
    since = events.family_since if family else events.since
    while True:
        ended = look_after(project, job).state not in rows.ACTIVE
        for event in since(project.db, job, after):
            after = event.id
            yield event
        if ended:
            return
        time.sleep(POLL_SECONDS)


def wait_for(
    project: Project,
    job: int,
    on_event: Callable[[events.Event], None] | None = None,
    after: int = 0,
    family: bool = False,
) -> rows.JobRow:
    """Block until the job ended; raises its error when it did not succeed."""
    for event in follow(project, job, after, family):
        if on_event is not None:
            on_event(event)
    row = rows.get(project.db, job)
    if row.state != "succeeded":
        raise job_error(row)
    return row


def job_error(row: rows.JobRow) -> JobError:
    """The error a job ended with, as an exception that keeps its exit code."""
    what = row.error.get("message") or row.state.replace("_", " ")
    hint = row.error.get("hint") or f"Go on with: endonym jobs resume {row.id}"
    error = JobError(f"job {row.id} ({row.name}): {what}", hint)
    error.exit_code = int(row.error.get("exit_code", JobError.exit_code))
    return error


def look_after(project: Project, job: int) -> rows.JobRow:
    """The row of a job that somebody waits for: a dead worker is noticed, and one that was killed in the queue gets another."""
    rows.notice_dead(project.db)
    row = rows.get(project.db, job)
    if row.state == "queued" and row.lost and not row.worker:  # it waited, and its worker was killed
        start(project, row)
    return row


def _maker(kind: str) -> str:
    from endonym.jobs.stage import verbs

    for stage in map(load_stage, verbs()):
        if getattr(stage.module, "PRODUCES", "") == kind:
            return stage.verb
        for name in plugins.available(stage.kind) if stage.choice == "one" else ():
            try:
                module = plugins.load(stage.kind, name)
            except MissingError:
                continue
            if getattr(module, "PRODUCES", "") == kind:
                return f"{stage.verb} {name}"
    return kind


def _own_code(module: Any, project: Project) -> str:
    """Hash of a plugin that lives in the project itself: editing it must run its step again."""
    path = Path(module.__file__)
    return file_hash(path) if project.path in path.parents else ""


def _contents(module: Any, cfg: Any, project: Project) -> dict[str, str | None]:
    """By name the hashes of the files and folders that a plugin's settings name; None for one that is not there, of which the plugin
    will tell."""
    found: dict[str, str | None] = {}
    for value in (getattr(cfg, setting) for setting in module.READS):
        for name in ([value] if isinstance(value, str) else value) if value else ():
            path = project.path / Path(name).expanduser()
            found[name] = file_hash(path) if path.is_file() else hash_folder(path) if path.is_dir() else None
    return found


def _source_hash(project: Project, source: Mapping[str, Any]) -> list[Any]:
    table = {k: v for k, v in source.items() if k != "files"}
    files = []
    for name in source["files"]:
        path = project.path / name
        if not path.is_file():
            raise MissingError(
                f"the source file {name} is not there", "Put it back, or: endonym sources remove " + str(name)
            )
        files.append([name, file_hash(path)])
    return [table, files]
