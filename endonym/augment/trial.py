"""Train shortly with and without the records of each augmenter, and measure what that changes on validation text.

Where the project's model takes part (back-translation), both trainings go on from it: it has read every training pair and text, and one
that had read a part of them would learn of the others from what it made. They read the texts, too, as many to a pair as there are.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.augment.report import HELD, WITHOUT, each_run
from endonym.augment.sift import Sieve, grown_by
from endonym.data.augmented import cap
from endonym.errors import DataError, Problem
from endonym.jobs.submit import resolve_job
from endonym.retrieve import hints
from endonym.retrieve.context import Context as Prompts
from endonym.retrieve.context import read_prompts
from endonym.store.files import write_json
from endonym.types import Chat, Doc, Pair, Record

if TYPE_CHECKING:
    from endonym.augment.material import Context
    from endonym.augment.run import Config
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job


@dataclass(frozen=True)
class Miniature:
    """A part of the training data, large enough to learn from and small enough to be learned by heart as a small corpus is."""

    records: Sequence[Record]
    pairs: Sequence[Pair]
    texts: Sequence[Doc]
    """Of the texts among the records, a part like that of the pairs."""


def miniature(records: Sequence[Record], pairs: Sequence[Pair], num_pairs: int, seed: int) -> Miniature:
    """`num_pairs` of the pairs, chosen at random, with everything that is no pair; all of them where it is 0."""
    texts = [record for record in records if isinstance(record, Doc)]
    if not num_pairs or len(pairs) <= num_pairs:
        return Miniature(records, pairs, texts)
    draw = random.Random(f"{seed}:trial")
    kept = {pairs[i].id for i in draw.sample(range(len(pairs)), num_pairs)}
    chosen = [pair for pair in pairs if pair.id in kept]
    few = draw.sample(texts, round(len(texts) * num_pairs / len(pairs)))
    return Miniature([r for r in records if not isinstance(r, Pair) or r.id in kept], chosen, few)


class Trials:
    """One base, one set of real rows, one set of questions; made rows come and go."""

    def __init__(self, cfg: Config, job: Job, small: Miniature, valid: Sequence[Record], model: Path | None):
        self.cfg, self.job, self.model = cfg, job, model
        self.prompts = _prompts(job, small.records)
        self.real = self._chats(small.pairs, training=True)
        if model is not None:
            self.real += self._chats(small.texts, training=True)
        asked = _evenly([r for r in valid if isinstance(r, Pair)], cfg.trial_valid)
        self.valid = asked
        self.sets: dict[str, list[Chat]] = {HELD: self._chats(asked, training=False)}
        if not self.real or not self.sets[HELD]:
            where = "training" if not self.real else "validation"
            raise DataError(
                Problem(
                    "the split", 0, "", f"no {where} pair gives a chat to try augmenters with",
                    "check [compose] plugins, or leave the trial out with --trial-steps 0",
                )
            )  # fmt: skip
        self.done = 0
        self.total = 1

    def ask_also(self, name: str, records: Sequence[Record]) -> None:
        """Ask the validation pairs as an augmenter has spoiled them, too."""
        if chats := self._chats(records, training=False):
            self.sets[name] = chats

    def run(self, made: Mapping[str, Sequence[Record]]) -> dict[str, Any] | None:
        """For each name in `made`, and without: `[bits, bytes]` of every answer of each set after every training; None when asked to stop.

        All must be better: what was not in one training (`stopped`) is not trained again. What is done stays in the job's folder and is
        not done again after an interruption.
        """
        rows = {name: [*self.real, *self._chats(found, training=True)] for name, found in {WITHOUT: [], **made}.items()}
        results: dict[str, Any] = {}
        for name, chats in rows.items():
            asked = {
                key: [chat.meta.get("direction", "") for chat in found] for key, found in self._asked(name).items()
            }
            of_them = {"rows": len(chats), "made_rows": len(chats) - len(self.real), "directions": asked}
            results[name] = {**of_them, "runs": [], "stopped": False}
        for number in range(self.cfg.trial_runs):
            going = [name for name in rows if not results[name]["stopped"]]
            self.total = self.done + len(going) * (self.cfg.trial_runs - number) * self.cfg.trial_steps
            for name in going if len(going) > 1 else []:
                found = None if self.job.cancelled() else self._once(name, number, rows[name], self._asked(name))
                if found is None:
                    return None
                results[name]["runs"].append(found)
                results[name]["stopped"] = name != WITHOUT and not any(
                    each_run(results, name, key)[-1] < 0 for key in self._asked(name)
                )
        return results

    def _asked(self, name: str) -> dict[str, list[Chat]]:
        """What is asked after a training: the validation text, and as its augmenter spoils it; after one without, all there is."""
        return {key: found for key, found in self.sets.items() if name == WITHOUT or key in (HELD, name)}

    def _once(self, name: str, number: int, chats: Sequence[Chat], sets: Mapping[str, Sequence[Chat]]) -> Any:
        from endonym.models.generate import answer_nll
        from endonym.models.lesson import Lesson, learn
        from endonym.models.load import load_artifact, load_model

        kept = self.job.folder / "trials" / f"{name}-{number}.json"
        if not kept.is_file():
            cfg = self.cfg
            loaded = load_artifact(self.model) if self.model is not None else load_model(self.job.project.base)
            lesson = Lesson(
                cfg.trial_steps, cfg.trial_batch_tokens, cfg.trial_learning_rate, seed=self.job.project.seed + number
            )
            learned = learn(
                loaded, chats, lesson,
                lambda step, _, loss: self.job.tick(self.done + step, self.total, f"steps, {name}", loss=round(loss, 4)),
                self.job.cancelled,
            )  # fmt: skip
            if learned.cancelled:
                return None
            bits = {
                key: [[nats / math.log(2), float(size)] for nats, size in answer_nll(loaded, asked)]
                for key, asked in sets.items()
            }
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(kept, {**asdict(learned), "bits": bits})
        self.done += self.cfg.trial_steps
        return json.loads(kept.read_text(encoding="utf-8"))

    def _chats(self, records: Sequence[Record], training: bool) -> list[Chat]:
        self.prompts.training = training
        return [
            chat for record in records for task in self.prompts.tasks for chat in self.prompts.compose(record, task)
        ]


@dataclass(frozen=True)
class Compared:
    """What was made for the trial, and the trainings without it and with each augmenter's part, by name."""

    made: dict[str, int]
    results: dict[str, Any]


def compare(
    cfg: Config, job: Job, dataset: Dataset, train: Sequence[Record], pairs: Sequence[Pair], context: Context
) -> Compared | None:
    """Grow a part of the training data, and train without and with what each augmenter made; None when the user asked to stop."""
    small = miniature(train, pairs, cfg.trial_pairs, job.project.seed)
    if context.model is not None:
        job.log(f"the trials go on from the model of {context.model.parent.name}")
    fewer = replace(context, most=cap(cfg.share, len(small.pairs)))
    trials = Trials(cfg, job, small, list(dataset.records("valid")), context.model)
    sieve = Sieve(dataset.folder, small.records)
    made: dict[str, list[Record]] = {}
    for name, (module, settings) in job.plugins.items():
        made[name] = grown_by(name, job, small.records, fewer, sieve)[0]
        if hasattr(module, "spoil"):
            trials.ask_also(name, [one for pair in trials.valid for one in module.spoil(pair, settings, context)])
    results = trials.run({name: found for name, found in made.items() if found})
    if results is None:
        return None
    return Compared({name: len(found) for name, found in made.items()}, results)


def _prompts(job: Job, records: Sequence[Record]) -> Prompts:
    """The tasks as the project's settings have them, with hints from `records` alone."""
    folder = job.folder / "trials"
    hints.build(list(records), folder / "index")
    tasks = resolve_job(job.project, "compose", "", {}, None).plugins
    texts = {name: read_prompts(name, module, job.project.path) for name, (module, _) in tasks.items()}
    return Prompts(folder, job.project.language, job.project.pivot, tasks, texts)


def _evenly(records: Sequence[Pair], number: int) -> list[Pair]:
    number = min(number, len(records))
    return [records[i * len(records) // number] for i in range(number)]
