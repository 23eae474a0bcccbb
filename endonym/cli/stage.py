"""A stage as a verb: its options come from its Config and its plugins, and running it is submitting a job."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from endonym import plugins
from endonym.cli.console import Console, flat, near, table
from endonym.cli.options import add_fields, nest, unknown
from endonym.cli.parser import Command, Parser, add_common, open_project
from endonym.errors import EndonymError, MissingError, UsageError, did_you_mean
from endonym.jobs.stage import Stage, load_stage, sentence

COMMON = ("project", "json", "quiet", "detach", "plugin_name", "job_inputs")


def stage_command(verb: str, words: list[str]) -> Command:
    """Build the command of a stage; for a stage with one plugin, its name is the first word."""
    stage = load_stage(verb)
    project = _project_folder(words)
    name = ""
    if stage.choice == "one":
        known = plugins.available(stage.kind, project)
        name, words = take_name(words)
        name = name if name in known else name.replace("-", "_")
        if name and name not in known:
            raise UsageError(f"there is no {stage.kind} '{name}'", did_you_mean(name, known))
    parser = stage_parser(stage, name, project)

    def parse(words: list[str]) -> argparse.Namespace:
        args, extra = parser.parse_known_args(words)
        strange, left = unknown(extra)
        left += [value for key, value in vars(args).items() if key.startswith("_") and value]
        words_of = _words_of(stage)
        if words_of and left:
            strange, left = {words_of: left, **strange}, []
        if left:
            raise UsageError(f"{parser.prog}: what is '{left[0]}'?", f"See: {parser.prog} --help")
        args.settings = settings(stage, {k: v for k, v in vars(args).items() if k not in COMMON}, strange)
        args.plugin_name = name
        return args

    def run(args: argparse.Namespace, console: Console) -> int:
        return run_stage(verb, args, console)

    return Command(parser, words, run, parse)


def stage_parser(stage: Stage, name: str, project: Path | None) -> Parser:
    """The parser of a stage, its options grouped by plugin."""
    kind, choice = stage.kind, stage.choice
    found = plugins.available(kind, project) if kind else {}
    shown = f"{stage.verb} {name}".strip()
    words = found[name].help if name else sentence(stage.verb)
    positional = _words_of(stage)
    usage = f"endonym {stage.verb} " + (
        f"[{kind.upper()}] " if choice == "one" and not name else f"{name} " if name else ""
    )
    usage += f"[{positional.upper().removesuffix('S')} ...] " if positional else ""
    parser = Parser(f"endonym {shown}", words, usage=usage.strip() + " [options]")
    module = _module(stage, name, project)
    parser.epilog = _epilog(stage, name, module)
    if choice == "one" and not name:
        group = parser.add_argument_group(
            f"{kind.capitalize()}s (the first word; default: {', '.join(stage.defaults)})"
        )
        for plugin in found.values():
            # Shown for reading only: the name was taken before the parser sees the words.
            group.add_argument(f"_{plugin.name}", metavar=plugin.name, nargs="?", help=plugin.help.replace("%", "%%"))
    if choice == "many":
        group = parser.add_argument_group(f"{kind.capitalize()}s")
        default = ",".join(stage.defaults) or "as the stage finds fit"
        action = group.add_argument(
            f"--{kind}s",
            f"--{kind}",
            "--plugins",
            dest="plugins",
            metavar="A,B",
            default=argparse.SUPPRESS,
            help=f"Which {kind}s, in order (default: {default}).",
        )
        action.shown = f"--{kind}s A,B"  # type: ignore[attr-defined]
    own = parser.add_argument_group(f"Settings of {stage.verb}")
    add_fields(own, stage.module.Config)
    chosen = list(found) if choice == "many" else [name or stage.defaults[0]] if choice == "one" else []
    for plugin_name in chosen:
        _add_plugin(parser, stage, found[plugin_name], project, f"{plugin_name}." if choice == "many" else "")
    argument = getattr(module, "ARGUMENT", "")
    if argument:
        own.add_argument(argument, nargs="?", default=argparse.SUPPRESS, help=f"The same as --{argument} {argument}.")
    job = parser.add_argument_group("The job")
    if specs := {**stage.inputs, **getattr(module, "INPUTS", {})}:
        job.add_argument(
            "--input",
            dest="job_inputs",
            action="append",
            default=[],
            metavar="NAME=JOB",
            help=f"Take what job JOB made, not the newest; NAME is one of {', '.join(specs)}.",
        )
    parser.set_defaults(job_inputs=[])
    job.add_argument(
        "--detach", action="store_true", help="Start it and return at once; follow it with: endonym jobs logs."
    )
    add_common(parser)
    return parser


def settings(stage: Stage, given: Mapping[str, Any], strange: Mapping[str, Any]) -> dict[str, Any]:
    """The command line as the nearest layer of settings."""
    known = {k: v for k, v in given.items() if not k.startswith("_") and k != "settings"}
    values = nest({**known, **strange})
    if isinstance(values.get("plugins"), str):
        values["plugins"] = [name.strip() for name in values["plugins"].split(",") if name.strip()]
    return values


def given_inputs(words: list[str]) -> dict[str, Any]:
    """`["model=7", "scores=3", "scores=4"]` as `{"model": 7, "scores": [3, 4]}`; raises UsageError for anything else."""
    found: dict[str, Any] = {}
    for word in ",".join(words).split(",") if words else ():
        name, _, job = word.partition("=")
        if not name or not job.isdecimal():
            raise UsageError(f"--input: what is '{word}'?", "Write it as NAME=JOB, for example --input model=7.")
        found[name] = [*_listed(found[name]), int(job)] if name in found else int(job)
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def run_stage(verb: str, args: argparse.Namespace, console: Console) -> int:
    """Submit the job, follow it unless detached, and print what it made."""
    from endonym.cli.follow import follow_job, last_event
    from endonym.jobs.submit import submit

    project = open_project(args)
    if hasattr(load_stage(verb).module, "serve"):
        return _serve(verb, args, project)
    before = last_event(project)
    row = submit(project, verb, args.plugin_name, args.settings, inputs=given_inputs(args.job_inputs))
    skipped = row.state == "succeeded"
    if skipped:
        console.say(f"nothing to do: job {row.id} has the same settings and inputs")
    elif args.detach:
        data = {"job": row.id, "name": row.name, "state": row.state, "folder": str(project.runs / row.folder)}
        console.result(data, f"job {row.id} ({row.name}) started; follow it with: endonym jobs logs {row.id}")
        return 0
    else:
        row = follow_job(project, row.id, console, before)
    output = project.output(row.id)
    data = {
        "job": row.id,
        "name": row.name,
        "state": row.state,
        "skipped": skipped,
        "output": str(output),
        "summary": row.summary,
    }
    shown = _tables(row.summary.get("tables", []))
    console.result(data, f"{shown}{row.name}: {flat(row.summary)}\n{near(output)}")
    return 0


def _tables(tables: list[dict[str, Any]]) -> str:
    """Tables that a stage put into its summary (`title`, `header`, `rows`), as a terminal shows them."""
    shown = [f"{t['title']}\n{table(t['rows'], t['header'], wrap=False)}\n\n" for t in tables]
    return "".join(shown)


def _serve(verb: str, args: argparse.Namespace, project: Any) -> int:
    """Run a server in the foreground: it makes no artifact, so it is no job."""
    from endonym.jobs.submit import prepare

    stage, resolved, _ = prepare(project, verb, args.plugin_name, args.settings, given_inputs(args.job_inputs), None)
    name, (_, settings) = next(iter(resolved.plugins.items()))
    stage.module.serve(project, name, resolved.config, settings)
    return 0


def _add_plugin(parser: Parser, stage: Stage, plugin: plugins.Plugin, project: Path | None, prefix: str) -> None:
    title = f"{stage.kind.capitalize()} {plugin.name}"
    try:
        module = plugins.load(stage.kind, plugin.name, project)
    except MissingError as error:
        parser.add_argument_group(title, f"{plugin.help} ({error.message}. {error.hint})".replace("%", "%%"))
        return
    words = plugin.help.replace("%", "%%") if plugin.help != parser.description else None
    group = parser.add_argument_group(title, words)
    add_fields(group, module.Config, prefix)


def _module(stage: Stage, name: str, project: Path | None) -> Any:
    """The plugin named first, for what it says beside its Config: `INPUTS`, `PRODUCES`, and `ARGUMENT`, the setting that may
    stand behind the name without an option. None when no plugin is named or it is not installed."""
    try:
        return plugins.load(stage.kind, name, project) if name else None
    except MissingError:
        return None


def _words_of(stage: Stage) -> str:
    """The list setting that plain words behind a verb stand for (`ARGUMENT` of a stage without a plugin as first word)."""
    return str(getattr(stage.module, "ARGUMENT", "")) if stage.choice != "one" else ""


def _epilog(stage: Stage, name: str, module: Any) -> str:
    specs = {**stage.inputs, **getattr(module, "INPUTS", {})}
    takes = ", ".join(
        f"{spec.rstrip('?*')}" + (" (if there is one)" if spec[-1] in "?*" else "") for spec in specs.values()
    )
    makes = getattr(module, "PRODUCES", stage.produces)
    line = f"Takes the newest {takes}; makes {makes}." if takes else f"Makes {makes}."
    tables = f"[{stage.verb}]" + (f" or [{stage.verb}.{name or 'PLUGIN'}]" if stage.kind else "")
    return f"{line} Every setting can also stand in endonym.toml under {tables}, or in a plan."


def take_name(words: list[str]) -> tuple[str, list[str]]:
    """The plugin's name when it is the first word that is neither an option nor the value of `--project`."""
    for i, word in enumerate(words):
        if word == "--project" or (i and words[i - 1] == "--project"):
            continue
        if word in ("--json", "--quiet", "--detach"):
            continue
        return ("", words) if word.startswith("-") else (word, words[:i] + words[i + 1 :])
    return "", words


def _project_folder(words: list[str]) -> Path | None:
    """The project whose own plugins the help should show; None outside a project."""
    from endonym.project import SETTINGS_FILE, Project

    given = next((Path(words[i + 1]) for i, w in enumerate(words[:-1]) if w == "--project"), None)
    if given is not None:
        return given if (given / SETTINGS_FILE).is_file() else None
    try:
        return Project.find().path
    except EndonymError:
        return None
