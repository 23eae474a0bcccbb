"""Train adapters from easy rows to hard ones, and measure over several seeds whether that order helped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from endonym.train.recipes import lora

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job
    from endonym.models.load import Loaded
    from endonym.train.fit import Course, Rows
    from endonym.train.recipe import Prepared
    from endonym.train.trials import Outcome

REQUIRES = {"torch": "train", "transformers": "train", "peft": "train"}
INPUTS = {"difficulty": "difficulty"}
LOADS = lora.LOADS
network = lora.network


class Config(lora.Config):
    """Settings of LoRA training in an order of difficulty."""

    pacing: Literal["warmup", "strict", "cumulative"] = Field(
        "warmup",
        description="warmup: stage after stage for a share of the steps, then random order; strict: stage after stage to the "
        "end; cumulative: each stage joins those before it.",
    )
    share: float = Field(0.3, gt=0, le=1, description="Share of the steps that follow the stages, with pacing warmup.")
    seeds: int = Field(
        3,
        ge=0,
        le=10,
        description="Seeds of the verdict against random order, two runs each; 0 trains once and judges nothing.",
    )


def train(cfg: Config, data: Dataset, job: Job) -> Path:
    """Train through the stages, write the adapter and one for each stage's end, then judge the order against a random one.

    Zhang and others, Beyond Random Sampling (2025): of the pacings, only a warm-up before random order keeps a gain to the end.
    Raises ConfigError when the difficulty was scored on other chats.
    """
    import torch

    from endonym.models.load import load_model
    from endonym.store.files import write_json
    from endonym.train import recipe
    from endonym.train.finish import amend, save_adapter
    from endonym.train.fit import Course
    from endonym.train.rows import chats_of, prepare
    from endonym.train.verdict import between_ways

    stage_of = graded(data, job)
    torch.manual_seed(cfg.seed)
    loaded = load_model(job.project.base, dtype=cfg.dtype)
    prepared = prepare(chats_of(data, "train"), chats_of(data, "valid"), loaded.renderer, cfg, job)
    stages, ends = plan(cfg, stage_of, prepared[0], job)

    def ended(model: Any, name: str) -> None:
        save_adapter(model, job.output / "stages" / name)
        job.log(f"the stage {name} ends here; its adapter is in stages/{name}")

    recipe.run(
        "curriculum", cfg, data, job, loaded, lora.network(cfg), lambda model, out: save_adapter(model, out / "adapter"),
        prepared=prepared, course=lambda model: course(cfg, cfg.seed, prepared[0], stages, ends, partial(ended, model)),
    )  # fmt: skip
    # The verdict loads models of its own: this one would stand beside them.
    del loaded
    if job.stopped_early:
        return job.output
    amend(job, {"curriculum": {"pacing": cfg.pacing, "stages": _ends(ends, job)}})
    if cfg.seeds:

        def staged(seed: int) -> Course:
            return course(cfg, seed, prepared[0], stages, ends, lambda name: None)

        def rival(seed: int) -> Course:
            # Evaluated at the same steps: the best of more evaluations would be better by chance alone.
            return Course(None, staged(seed).ends)

        ways = {"curriculum": staged, "random order": rival}
        if outcomes := over_seeds(cfg, prepared, ways, job):
            found = between_ways(outcomes)
            write_json(job.output / "verdict.json", found)
            amend(job, {"verdict": found})
            job.log(found["text"])
            job.summary(verdict=found["verdict"], difference=round(found["difference"], 5))
    return job.output


def all_steps(cfg: Config) -> int:
    """Steps of all runs: two for each seed of the verdict, of which one is the job's own."""
    return max(1, 2 * cfg.seeds) * cfg.last_step


def graded(data: Dataset, job: Job) -> dict[str, str]:
    """The stage of each chat by its id; raises ConfigError when others were scored than are trained on."""
    from endonym.data import difficulty
    from endonym.errors import ConfigError

    folder = Path(str(job.inputs["difficulty"]))
    if difficulty.about(folder)["dataset"] != data.hash:
        raise ConfigError(
            "the difficulty was scored on other chats than these", "Score these: endonym score; then train again."
        )
    return {row.id: row.stage for row in difficulty.read(folder)}


def plan(
    cfg: Config, stage_of: Mapping[str, str], rows: Rows, job: Job
) -> tuple[list[list[int]], list[tuple[int, str]]]:
    """The rows that each stage draws from, and the step at which it ends with its name; stages without rows are left out."""
    from endonym.data.difficulty import STAGES

    members: dict[str, list[int]] = {name: [] for name in STAGES}
    for i, (chat, weight) in enumerate(zip(rows.chats, rows.weights)):
        if weight > 0:
            # A canary is graded by nobody: it is there from the beginning.
            members[stage_of.get(chat, STAGES[0])].append(i)
    members = {name: found for name, found in members.items() if found}
    staged = cfg.last_step * (cfg.share if cfg.pacing == "warmup" else 1.0)
    ends = [(round(staged * number / len(members)), name) for number, name in enumerate(members, 1)]
    if cfg.pacing == "cumulative":
        stages = [[i for found in list(members.values())[: n + 1] for i in found] for n in range(len(members))]
    else:
        stages = list(members.values())
    told = ", ".join(f"{name} ({len(members[name])} rows) to step {step}" for step, name in ends)
    job.log(f"the stages: {told}" + ("; then all rows in random order" if cfg.pacing == "warmup" else ""))
    return stages, ends


def course(
    cfg: Config,
    seed: int,
    rows: Rows,
    stages: Sequence[Sequence[int]],
    ends: Sequence[tuple[int, str]],
    ended: Callable[[str], object],
) -> Course:
    """The order of rows, with what is done where a stage ends."""
    from endonym.train.batches import by_stages
    from endonym.train.fit import Course

    lengths = [cfg.batch_size * (step - before) for (step, _), before in zip(ends, [0, *(step for step, _ in ends)])]
    names: dict[int, list[str]] = {}
    for step, name in ends:
        if step:
            names.setdefault(step, []).append(name)

    def all_ended(those: Sequence[str]) -> None:
        for name in those:
            ended(name)

    # In a run of a few steps several stages end at the same one.
    done = {step: partial(all_ended, those) for step, those in names.items()}
    return Course(partial(by_stages, stages, lengths, rows.weights, seed), done)


def over_seeds(
    cfg: Config, prepared: Prepared, ways: Mapping[str, Callable[[int], Course]], job: Job
) -> dict[str, list[Outcome]] | None:
    """Train each way with each seed, from the project's base anew; None when that was cancelled.

    `ways` gives the course for a seed. The first way with the seed of `cfg` is the run that made the job's own model.
    """
    from endonym.models.load import load_model
    from endonym.train.network import ready
    from endonym.train.trials import outcome

    def build(own: Config) -> Loaded:
        loaded = load_model(job.project.base, dtype=own.dtype)
        return ready(loaded, lora.network(own)(loaded))

    outcomes: dict[str, list[Outcome]] = {way: [] for way in ways}
    runs = [(way, seed) for seed in range(cfg.seed, cfg.seed + cfg.seeds) for way in ways]
    for number, (way, seed) in enumerate(runs, 1):
        part = f"{way.replace(' ', '-')}-{seed}" if number > 1 else ""
        job.log(f"for the verdict, run {number} of {len(runs)}: {way}, seed {seed}")
        own = cfg.model_copy(update={"seed": seed})
        found = outcome(part, own, partial(build, own), prepared, job, ways[way](seed))
        if found is None:
            return None
        outcomes[way].append(found)
    return outcomes


def _ends(ends: Sequence[tuple[int, str]], job: Job) -> list[dict[str, Any]]:
    """Each stage with its last step and the validation loss there."""
    from endonym.store import events

    curve = dict(events.curve(job.project.db, job.id, "valid_loss"))
    return [{"name": name, "last_step": step, "valid_loss": curve.get(step)} for step, name in ends]
