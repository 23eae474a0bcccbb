"""What is exported answers as what was trained: in transformers, in llama.cpp, and a damaged export is never published."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from endonym import plugins
from endonym.data.dataset import Dataset, DatasetWriter
from endonym.errors import ParityError, UsageError
from endonym.export import run as stage
from endonym.export.formats import gguf as gguf_format
from endonym.export.modelfile import chatml_system
from endonym.export.source import Source
from endonym.models.load import Loaded, load_artifact, load_model
from endonym.types import Chat, Message


@pytest.fixture(scope="session")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `model` artifact: the tiny model with an adapter that changes it audibly."""
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("trained")
    loaded = load_model(tiny_model, dtype="float32")
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model: Any = get_peft_model(
            loaded.model, LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM")
        )
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder / "adapter")
    about = {"base": str(tiny_model), "renderer": loaded.renderer.hash, "recipe": "lora", "dtype": "float32"}
    (folder / "model.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def chats(
    tseltal: list[tuple[str, str]],
    amharic: list[tuple[str, str]],
    sanskrit: list[tuple[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Held-out chats in three scripts."""
    folder = tmp_path_factory.mktemp("chats")
    with DatasetWriter(folder) as out:
        for number, (source, target) in enumerate([*tseltal[:2], *amharic[:2], *sanskrit[:2]]):
            chat = Chat(str(number), (Message("user", source), Message("assistant", target)), "tiny", "translate")
            out.keep(chat, split="valid")
    return folder


@dataclass
class FakeJob:
    """The parts of a job the stage uses, without a database."""

    folder: Path
    inputs: dict[str, Path]
    plugins: dict[str, tuple[Any, Any]]
    results: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.output = self.folder / "output"
        self.output.mkdir(parents=True)
        self.project = type(
            "P",
            (),
            {
                "about": {"licence": "CC-BY-4.0"},
                "name": "Bats'il k'op",
                "language": "tzh",
                "pivot": "spa",
                "sources": [],
            },
        )

    def dataset(self, name: str) -> Dataset:
        return Dataset(self.inputs[name], verb="export")

    def log(self, text: str) -> None: ...

    def tick(self, *args: Any, **values: Any) -> None: ...

    def summary(self, **values: Any) -> None:
        self.results.update(values)


def run_export(tmp_path: Path, trained: Path, chats: Path, name: str, **settings: Any) -> FakeJob:
    module = plugins.load("format", name)
    job = FakeJob(tmp_path / "job", {"model": trained, "chats": chats}, {name: (module, module.Config(**settings))})
    stage.run(stage.Config(parity_rows=6, parity_tokens=12), job)  # type: ignore[arg-type]
    return job


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("adapter", {}),
        ("merged", {"dtype": "float32"}),
        ("gguf", {"type": "f32"}),
        ("gguf", {"type": "f16"}),
    ],
)
def test_an_export_answers_as_the_live_model(tmp_path, trained, chats, name, settings):
    job = run_export(tmp_path, trained, chats, name, **settings)
    certificate = json.loads((job.output / "parity.json").read_text(encoding="utf-8"))
    assert certificate["result"] == "certified"
    assert (
        certificate["prompt_ids"]["identical"] == certificate["answer_ids"]["identical"] == certificate["num_rows"] == 6
    )
    assert certificate["greedy"]["disagreements"] == []
    assert certificate["greedy"]["positions"] >= 30
    assert certificate["text"]["different"] == []
    assert set(certificate["files"]) == {p.name for p in job.output.iterdir()} - {"parity.json"}
