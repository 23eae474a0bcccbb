"""Show what `endonym run` would do now and why; `plan train RECIPE` tells the memory, time and disk that training would take."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from endonym.cli.console import Console, seconds, size, table
from endonym.cli.parser import open_project
from endonym.cli.stage import given_inputs, stage_command, take_name
from endonym.errors import UsageError

if TYPE_CHECKING:
    from endonym.cli.parser import Command
    from endonym.train.forecast import Forecast


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `endonym plan`."""
    parser.add_argument_group("Options").add_argument(
        "--plan",
        type=Path,
        metavar="FILE",
        help="A TOML file with steps and settings. (default: the project's own, else the usual steps)",
    )
    parser.epilog = (
        'A plan is TOML: steps = ["ingest", "train lora", ...] and a table of settings for each verb, as in endonym.toml. '
        "A project can keep its steps in endonym.toml. `endonym plan train lora --rank 32` takes the options of `train lora`, loads "
        "nothing and trains nothing: it tells what that run would need, and what to change where it does not fit."
    )


def command(words: list[str]) -> Command | None:
    """The command of `plan train RECIPE`, with the options of that recipe; None for `plan` alone."""
    verb, rest = take_name(words)
    if not verb:
        return None
    if verb != "train":
        raise UsageError(f"endonym plan: what is '{verb}'?", "See: endonym plan --help, endonym plan train lora --help")
    made = stage_command("train", rest)
    made.parser.prog = made.parser.prog.replace("endonym train", "endonym plan train")
    made.run = estimate
    return made


def run(args: argparse.Namespace, console: Console) -> None:
    """Print the steps with their state and reason."""
    from endonym.jobs.plan import plan

    steps = plan(open_project(args), args.plan)
    rows = [(number, step.name, step.state, step.why) for number, step in enumerate(steps, 1)]
    data = {"steps": [{"name": step.name, **asdict(step)} for step in steps]}
    console.result(data, table(rows, ("", "step", "state", "why"), right=[0]))
    waiting = sum(step.state != "done" for step in steps)
    console.say(f"\n{waiting} of {len(steps)} steps to run: endonym run" if waiting else "\nnothing to do")


def estimate(args: argparse.Namespace, console: Console) -> int:
    """Print what training would need; returns 3 when it does not fit and nothing that keeps the result would make it."""
    from endonym.data.dataset import Dataset
    from endonym.jobs.submit import based, prepare
    from endonym.train.forecast import planned
    from endonym.train.sharded import count

    project = open_project(args)
    _, resolved, inputs = prepare(
        project, "train", args.plugin_name, args.settings, given_inputs(args.job_inputs), None
    )
    project = based(project, resolved)
    ((name, (module, cfg)),) = resolved.plugins.items()
    data = Dataset(project.output(inputs["dataset"]), "train")
    taken = {key: project.output(one) for key, one in inputs.items() if isinstance(one, int)}
    asked, lighter = planned(name, module, cfg, data, project, taken)
    free = shutil.disk_usage(project.path).free
    disk = asked.checkpoint_bytes + asked.model_bytes
    data_out = {
        "recipe": name, "base": project.base, **asdict(asked), "memory": {**vars(asked.memory), "total": asked.memory.total},
        "fits": asked.fits, "lighter": [{"change": change, "memory": found.memory.total, "fits": found.fits} for change, found in lighter],
        "disk_bytes": disk, "free_disk_bytes": free,
    }  # fmt: skip
    devices = count(cfg.devices)
    each = f" ({devices} of them; memory is what each needs)" if devices > 1 else ""
    lines = [f"train {name} on {asked.device}{each}, base {project.base}", *_told(asked), *_advice(asked, lighter)]
    lines.append(
        f"disk     {size(asked.checkpoint_bytes)} while it runs, {size(asked.model_bytes)} for the model; {size(free)} are free"
    )
    if disk > free:
        lines.append("         it does not fit: make room first, or the run will wait for it")
    console.result(data_out, "\n".join(lines))
    return 0 if asked.fits is not False or any(found.fits for _, found in lighter) else 3


def _told(asked: Forecast) -> list[str]:
    memory = asked.memory
    parts = ", ".join(f"{name} {value / 2**30:.2f}" for name, value in vars(memory).items())
    free = "" if asked.free_bytes is None else f"; {size(asked.free_bytes)} are free"
    return [
        f"time     about {seconds(asked.seconds)} for {asked.steps} steps of {asked.tokens_per_step:,.0f} computed tokens",
        f"memory   {size(memory.total)} at the peak{free}",
        f"         GiB: {parts}",
    ]


def _advice(asked: Forecast, lighter: list[tuple[str, Forecast]]) -> list[str]:
    """What to change where it does not fit."""
    if asked.fits is not False:
        return []
    helps = next((found for found in lighter if found[1].fits), None)
    if helps:
        return [
            f"         it does not fit; it would with {helps[0]}: {size(helps[1].memory.total)}, same result. Training does so by itself."
        ]
    least = f" (even with {lighter[-1][0]} {size(lighter[-1][1].memory.total)})" if lighter else ""
    return [
        f"         it does not fit{least}: take a smaller base (endonym models ls), adapters instead of all weights (train lora),",
        "         a lower --rank or --max-length, or close other programs",
    ]
