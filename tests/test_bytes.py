"""Models over bytes are trained, resumed, loaded, asked, evaluated, exported and served like every other model."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from endonym.data.dataset import Dataset
from endonym.errors import JobError
from endonym.jobs.submit import submit
from endonym.models.generate import Sampling, answer_nll, generate_batch, stream, whole_characters
from endonym.models.load import load_artifact
from endonym.models.nets.hierarchical import HierarchicalConfig, HierarchicalForCausalLM
from endonym.models.render import IGNORE, Example
from endonym.project import Project
from endonym.store import events
from endonym.train.attention import register_attention
from endonym.train.batches import pack
from endonym.train.chunked import Chunked
from endonym.train.losses import next_token
from endonym.types import Chat

FEW = {
    "steps": 6, "batch_size": 8, "evaluate_every": 3, "save_every": 3, "valid_rows": 8, "samples": 1, "width": 32, "layers": 3,
    "ngram_rows": 64, "dtype": "float32", "max_length": 400,
}  # fmt: skip


@pytest.fixture(scope="module")
def project(composed, copied, tmp_path_factory) -> Project:
    return Project(copied(composed, tmp_path_factory.mktemp("bytes") / "project"))


def trained(project: Project, recipe: str, **settings) -> tuple[int, Path]:
    row = submit(project, "train", recipe, {**FEW, **settings}, wait=True)
    losses = [value for _, value in events.curve(project.db, row.id, "valid_loss")]
    assert min(losses) < losses[0]
    return row.id, project.output(row.id)


@pytest.mark.parametrize("recipe", ["hierarchical", "bytelatent"])
def test_a_model_over_bytes_is_trained_and_answers(project, recipe):
    own = {"chunks": "dynamic"} if recipe == "hierarchical" else {"patcher_width": 32, "patcher_layers": 1}
    job, folder = trained(project, recipe, **own)
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert about["base_name"] == "" and about["bytes_per_token"]["loss"] == pytest.approx(1, abs=0.1)
    assert events.curve(project.db, job, "bytes_per_chunk")
    loaded = load_artifact(folder, "float32")
    chats = [c for c in Dataset(project.newest("chats"), "train").records("valid") if isinstance(c, Chat)][:3]
    prompts = [loaded.renderer.prompt_ids(chat.prompt) for chat in chats]
    answers = generate_batch(loaded, prompts, Sampling(max_new_tokens=9))
    streamed = "".join(whole_characters(stream(loaded, prompts[1], Sampling(max_new_tokens=9)), loaded.renderer))
    assert answers[1] == [streamed.strip()]
    for (nats, size), chat in zip(answer_nll(loaded, chats), chats, strict=True):
        assert size == len(chat.answer.encode()) and 0 < nats < 8 * size


def test_chunks_of_a_wrong_length_are_told_and_end_a_run_that_is_not_young():
    said: dict[str, list] = {"warning": [], "metric": []}
    job = SimpleNamespace(
        metric=lambda name, value, step: said["metric"].append((name, round(value, 3), step)),
        log=lambda text: None, event=lambda kind, text: said[kind].append(text),
    )  # fmt: skip
    register_attention()
    torch.manual_seed(3)
    shape = HierarchicalConfig(hidden_size=32, head_size=16, trunk=1, trunk_size=32, chunks="dynamic", ngram_rows=64)
    network = HierarchicalForCausalLM(shape).train()
    chunked = Chunked(3.0, 0.5, 400, job)
    rows = [Example([1, *range(20, 20 + n)], [IGNORE, *range(20, 20 + n)]) for n in (9, 17)]
    batch = pack(rows, torch.device("cpu"))
    with torch.no_grad():
        value = chunked.loss(network, batch)
        cut = network.model.cut
        shares = [cut.begun[:2], cut.expected[:2]]
        # By hand, in the order in which the rows lie in the pack: N / (N - 1) ((N - 1) F G + (1 - F) (1 - G)), 9 or 17 bytes each.
        learned = torch.tensor([float(len(e.ids) - 1) for e, _, _ in batch.laid if e is not None])
        ratio = 1.5 * (2 * shares[0] * shares[1] + (1 - shares[0]) * (1 - shares[1]))
        assert value.item() == pytest.approx(
            (next_token(network, batch) + 0.5 * (learned * ratio).sum()).item(), rel=1e-5
        )
        assert chunked.loss(network.eval(), batch).item() == next_token(network, batch).item()
    length = 26 / float((learned * shares[0]).sum())
    chunked.watch(50)
    assert said["metric"][0] == ("bytes_per_chunk", round(length, 3), 50) and not said["warning"]
    network.train()
    for step, target, outcome in ((199, 9.0, 0), (200, 1.5, 1), (250, 1.1, 1)):
        chunked._target = length * target
        chunked.loss(network, batch)
        chunked.watch(step)
        assert len(said["warning"]) == outcome
    chunked._target = length * 2.5
    chunked.loss(network, batch)
    with pytest.raises(JobError, match="the router makes chunks of"):
        chunked.watch(300)
