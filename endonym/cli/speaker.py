"""The newest trained model, ready to answer in the terminal with the prompts and hints it was trained with."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.cli.console import Console
from endonym.errors import MissingError, UsageError
from endonym.types import Chat, Message

if TYPE_CHECKING:
    from endonym.models.dialogue import Dialogues
    from endonym.models.load import Loaded
    from endonym.project import Project
    from endonym.retrieve.context import Context


def add_sampling(parser: argparse.ArgumentParser, temperature: float) -> None:
    """Add the options that say which model answers and how its words are chosen."""
    group = parser.add_argument_group("The answer")
    group.add_argument(
        "--model", type=int, metavar="JOB", help="The train job whose model answers. (default: the newest)"
    )
    group.add_argument(
        "--max-tokens", type=int, default=256, metavar="N", help="Longest answer, in tokens. (default: 256)"
    )
    group.add_argument(
        "--temperature",
        type=float,
        default=temperature,
        metavar="X",
        help=f"0 always takes the likeliest word; higher is more varied. (default: {temperature:g})",
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="Same seed, same answer. (default: 0)")
    group.add_argument("--no-hints", action="store_true", help="Ask without dictionary and nearest-sentence hints.")


SAMPLE_TEMPERATURE = 0.6
DRAFT_VOTES = 2
"""Temperature of several answers when no evaluation says another."""


@dataclass
class Speaker:
    """A loaded model with the context its training prompts came from."""

    loaded: Loaded
    context: Context
    job: int
    sampling: Any
    dialogues: Dialogues

    @classmethod
    def open(cls, project: Project, args: argparse.Namespace, console: Console) -> Speaker:
        """Load the model; raises MissingError when none has been trained."""
        job, folder = _model(project, args.model)
        console.say("loading the model ...")
        # What libraries announce to their developers is nothing that the person who talks here can act on.
        warnings.simplefilter("ignore", FutureWarning)
        from endonym.models.dialogue import Dialogues
        from endonym.models.generate import Sampling
        from endonym.models.load import load_artifact
        from endonym.retrieve.context import Context

        chats = project.ancestry(folder).get("chats")
        if chats is None:
            raise MissingError(f"the chats that model {job} was trained on are gone", "Run the plan again: endonym run")
        context = Context.load(chats, project.path)
        context.without_hints = args.no_hints
        sampling = Sampling(max_new_tokens=args.max_tokens, temperature=args.temperature, top_p=0.95, seed=args.seed)
        loaded = load_artifact(folder)
        return cls(loaded, context, job, sampling, Dialogues(loaded.model))

    def best(self, chat: Chat, num_samples: int, temperature: float, draft_votes: int) -> str:
        """The most agreed with of the greedy answer, `num_samples` others and the draft; see `models.consensus`."""
        from endonym.models.consensus import answer_batch
        from endonym.retrieve.context import draft_of

        ids = self.loaded.renderer.prompt_ids(chat.prompt)
        votes, rows = [draft_of(chat) * draft_votes], 1 + num_samples
        return answer_batch(self.loaded, [ids], self.sampling, num_samples, temperature, rows, further=votes)[0]

    def answer(self, messages: Sequence[Message], state: Path | None = None) -> Iterator[str]:
        """Stream the answer to `messages` in pieces of whole characters; what a model over bytes has read is kept in the file `state`."""
        from endonym.models.generate import stream, whole_characters

        ids = self.loaded.renderer.prompt_ids(messages)
        room = int(getattr(self.loaded.model.config, "max_position_embeddings", 2048))
        if len(ids) >= room:
            raise UsageError(f"the conversation has {len(ids)} tokens, the model takes {room}", "Begin anew: /new")
        yield from whole_characters(
            stream(self.loaded, ids, self.sampling, dialogues=self.dialogues, file=state), self.loaded.renderer
        )


def measured_samples(project: Project, job: int) -> tuple[int, float, int]:
    """How many translations were sampled when model `job` was evaluated last, at which temperature, and the draft's votes.

    So that it answers as the report says. None are sampled when it never was evaluated.
    """
    from endonym.store import jobs

    for row in reversed(jobs.artifacts(project.db, "scores")):
        folder = project.output(int(row["job"]))
        if project.ancestry(folder).get("model") == project.output(job):
            settings = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["settings"]
            if "translate" in settings.get("sampled_tasks", ()):
                return settings["samples"], settings["sample_temperature"], settings.get("draft_votes", 0)
            break
    return 0, SAMPLE_TEMPERATURE, DRAFT_VOTES


def _model(project: Project, wanted: int | None) -> tuple[int, Path]:
    from endonym.store import jobs

    made = [int(row["job"]) for row in jobs.artifacts(project.db, "model")]
    if wanted is not None and wanted not in made:
        raise UsageError(f"job {wanted} made no model", f"Jobs that did: {', '.join(map(str, made)) or 'none yet'}.")
    if not made:
        raise MissingError("no model has been trained here yet", "Train one with: endonym run")
    job = wanted if wanted is not None else made[-1]
    return job, project.output(job)
