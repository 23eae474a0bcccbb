"""What a metric asks beside the sealed test: questions of its own, put to every model and scored by it alone.

Such a metric has `questions(material, settings)`, which makes items whose task is the metric's name. Models give the probability
of their references, unless the metric asks in its own way with `ask(loaded, items, settings)`. These items do not count in the
test's hash: evaluations with and without the metric stay comparable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from endonym.data.dataset import Dataset
from endonym.evaluate import systems as asking
from endonym.evaluate.items import Item
from endonym.evaluate.outputs import Outputs

if TYPE_CHECKING:
    from endonym.jobs.job import Job
    from endonym.models.load import Loaded

Metrics = Mapping[str, tuple[ModuleType, Any]]


@dataclass(frozen=True)
class Material:
    """What a metric may make its questions of."""

    items: Sequence[Item]
    """The questions of the sealed test that are asked."""
    split: Dataset
    chats: Dataset
    """What the model was trained on."""
    project: Path
    language: str
    pivot: str
    seed: int


@dataclass(frozen=True)
class OwnItems:
    """The items of the metrics that have their own, by metric."""

    metrics: Metrics
    items: Mapping[str, list[Item]]

    @classmethod
    def of(cls, metrics: Metrics, material: Material, job: Job) -> OwnItems:
        """Let every metric that has questions make them."""
        found = {}
        for name, (module, settings) in metrics.items():
            if hasattr(module, "questions"):
                found[name] = list(module.questions(material, settings))
                job.log(f"{name}: {len(found[name])} texts" + ("" if found[name] else ", so it is not measured"))
        return cls(metrics, found)

    def __len__(self) -> int:
        return sum(map(len, self.items.values()))

    @property
    def all(self) -> list[Item]:
        return [item for items in self.items.values() for item in items]

    def ask(self, loaded: Loaded, system: str, outputs: Outputs, asked: asking.Asked) -> None:
        """Put all items to a model; what it was asked before an interruption is not asked again."""
        for name, items in self.items.items():
            module, settings = self.metrics[name]
            for chunk in asking.chunks(items, asked.batch_size, False):
                missing = outputs.missing(system, chunk)
                if not missing or asked.cancelled():
                    continue
                own = getattr(module, "ask", None)
                answers = own(loaded, missing, settings) if own else asking.ask_model(loaded, missing, asked, False)
                outputs.add(system, missing, answers)
