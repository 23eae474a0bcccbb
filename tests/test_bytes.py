"""Models over bytes are trained, resumed, loaded, asked, evaluated, exported and served like every other model."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import silent_job
from test_nets import latent, tiny

from endonym.cli.main import main
from endonym.data.dataset import Dataset
from endonym.errors import JobError, UsageError
from endonym.export.formats import gguf, merged, onnx, torch_export
from endonym.export.parity import certify
from endonym.export.source import Source
from endonym.jobs.submit import submit
from endonym.models import dialogue
from endonym.models.adapters import speed_up
from endonym.models.byte_tokenizer import OFFSET
from endonym.models.generate import Sampling, answer_nll, generate_batch, stream, whole_characters
from endonym.models.graph import SHORTEST, load_graph
from endonym.models.load import load_artifact, load_model, on_bytes
from endonym.models.nets.hierarchical import HierarchicalConfig, HierarchicalForCausalLM
from endonym.models.render import IGNORE, Example
from endonym.project import Project
from endonym.store import events
from endonym.train.attention import register_attention
from endonym.train.batches import pack
from endonym.train.chunked import Chunked
from endonym.train.fit import Rows, fit
from endonym.train.losses import next_token
from endonym.train.network import ready, standing
from endonym.train.noise import characters, course, noisy
from endonym.train.recipes import bytelatent, hierarchical
from endonym.train.step import adamw, take
from endonym.types import Chat, Message

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
    job, folder = trained(project, recipe, **own, search_steps=int(recipe == "bytelatent"))
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


def test_a_talk_in_the_terminal_goes_on_where_it_was(project, tmp_path, capsys, monkeypatch):
    """Through the model that was trained last; what it has read of the conversation is not read again."""
    monkeypatch.chdir(project.path)
    talk = tmp_path / "talk.jsonl"
    read: list[int] = []
    whole = dialogue.begin
    monkeypatch.setattr(dialogue, "begin", lambda model, prompts: read.append(len(prompts[0])) or whole(model, prompts))
    for text in ("ba'ay", "k'op"):
        assert main(["chat", "--keep", str(talk), "--once", text, "--max-tokens", "5", "--json"]) == 0
    asked = json.loads(capsys.readouterr().out.rpartition("\n{")[2].join(("{", "")))["prompt"]
    said = [json.loads(line) for line in talk.read_text(encoding="utf-8").splitlines()]
    assert [one["role"] for one in said] == ["user", "assistant"] * 2
    assert asked == said[:3]
    assert len(read) == 1
    with talk.open("a", encoding="utf-8") as file:
        file.write('{"role": "wizard", "content": ""}\n')
    assert main(["chat", "--keep", str(talk), "--once", "x"]) == 4
    assert "talk.jsonl:5" in capsys.readouterr().err


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


@pytest.mark.parametrize("dies_at", [2, 4])
@pytest.mark.parametrize("recipe", [hierarchical, bytelatent])
def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(tmp_path, recipe, dies_at):
    """With dropout, a router, noise and a running mean, or with a patcher that learned first."""
    own = (
        {"chunks": "dynamic", "noise": 0.3, "ema": 0.5}
        if recipe is hierarchical
        else {"patcher_width": 16, "patcher_layers": 1, "patcher_steps": 3}
    )
    cfg = recipe.Config(**{**FEW, **own, "width": 32, "save_every": 1, "evaluate_every": 1, "batch_size": 3})
    dice = torch.Generator().manual_seed(5)
    rows = [torch.randint(8, 264, (length,), generator=dice).tolist() for length in (9, 30, 14, 22, 17)]
    examples = [Example(ids, [IGNORE, *ids[1:]]) for ids in rows]

    def run(folder: Path, dies: int = -1) -> dict[str, torch.Tensor]:
        def sample(step: int) -> None:
            if step == dies:
                raise KeyboardInterrupt

        job = silent_job(folder)
        loaded = on_bytes(folder)
        model = recipe.network(cfg)(loaded)
        ready(loaded, model)
        data = Rows(examples, [1.0] * 5, [""] * 5, [""] * 5)
        loss = Chunked(cfg.chunk_bytes if recipe is hierarchical else 4, 0.03, 6, job).loss
        if recipe is bytelatent:
            bytelatent.learn_patches(
                model, lambda own, part: fit(model, data, examples, loss, own, job, part=part), cfg, (data, (), ()), job
            )
        fit(model, data, examples, loss, cfg, job, sample, course=course(cfg))
        return {**model.state_dict(), "threshold": torch.tensor(getattr(model.config, "patching_threshold", 0.0))}

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", dies_at)
    again = run(tmp_path / "broken")
    assert all(tensor.equal(again[name]) for name, tensor in whole.items())


def test_the_threshold_gives_patches_of_the_wanted_length():
    model = bytelatent.network(bytelatent.Config(**{**FEW, "patcher_width": 16}))(on_bytes(Path()))
    dice = torch.Generator().manual_seed(5)
    rows = [torch.randint(8, 264, (90,), generator=dice).tolist() for _ in range(9)]
    for wanted in (2.0, 5.0):
        threshold, length = bytelatent.calibrate(model, rows, wanted)
        model.config.patching_threshold = threshold
        model(torch.tensor(rows))
        begins = model.model.cut.begins.view(9, 90)
        assert begins[:, 0].all() and length == pytest.approx(wanted, rel=0.02)
        assert float(begins[:, 1:].float().mean()) == pytest.approx(1 / wanted, rel=0.02)


def test_an_export_of_a_model_over_bytes_answers_as_it_does(tmp_path):
    """Reloaded in a process that knows the network by the name in its settings alone."""
    loaded = on_bytes(tmp_path)
    model = hierarchical.network(hierarchical.Config(**{**FEW, "chunks": "dynamic", "dropout": 0.0}))(loaded).eval()
    (tmp_path / "model.json").write_text('{"renderer": "", "base_name": "", "recipe": "hierarchical"}')
    source = Source(replace(loaded, model=model), tmp_path, "tiny")
    (out := tmp_path / "out").mkdir()
    merged.export(source, merged.Config(), out)
    chats = [
        Chat(str(n), (Message("user", text), Message("assistant", "ሰላም ነው")), "", "translate")
        for n, text in enumerate("ab")
    ]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "trained from nothing (hierarchical)" in card and "import endonym.models.nets.hierarchical" in card
    found = certify(source.loaded, out, "transformers", merged.tolerance(merged.Config()), chats, 6)
    assert found["max_logit_gap"] == 0.0 and found["text"]["identical"] == 2
    with pytest.raises(UsageError, match="GGUF export knows the Llama family"):
        gguf.export(source, gguf.Config(), tmp_path)


def test_noise_is_of_whole_characters_and_what_is_learned_stays_right():
    """Marks stay, the rest is UTF-8; where a character is read wrongly the right one is told from what is before it; a third are gone."""
    loaded = on_bytes(Path())
    text = "Ñandú ሰላም ለዓለም, kiosk! " * 40
    start, ids = loaded.renderer.prompt_ids(()), loaded.renderer.answer_ids(text)
    example = Example([*start, *ids], [IGNORE] * len(start) + ids)
    seen = [noisy(example, 0.3, random.Random(seed)) for seed in range(30)]
    assert seen == [noisy(example, 0.3, random.Random(seed)) for seed in range(30)]
    changed = [e for e in seen if e != example]
    assert 5 < len(changed) < 25
    lengths = []
    for one in changed:
        assert one.ids[: len(start)] == start and len(one.ids) == len(one.labels)
        read = bytes(i - OFFSET for i in one.ids[len(start) :]).decode()
        lengths.append(len(read) / len(text))
        rest = iter(text)
        told = [one.ids[b:e] if one.labels[b] == one.ids[b] else None for b, e in characters(one.ids)]
        assert all(bytes(i - OFFSET for i in char).decode() in rest for char in told if char and len(char) == 1)
        for first, last in characters(one.ids):
            wrong = one.ids[first:last] != one.labels[first:last]
            assert not wrong or set(one.labels[first + 1 : last]) <= {IGNORE}
    assert sum(lengths) / len(lengths) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(
    ("family", "kind", "format"), [("hierarchical", "dynamic", onnx), ("bytelatent", "char", torch_export)]
)
def test_one_graph_answers_as_the_network_over_bytes_does(tmp_path, family, kind, format):
    """Rows of any length, also shorter than the graph takes, and what is generated."""
    loaded = replace(on_bytes(tmp_path), model=tiny(kind) if family == "hierarchical" else latent(kind))
    (tmp_path / "model.json").write_text(json.dumps({"renderer": "", "base_name": "", "recipe": family}))
    (out := tmp_path / "out").mkdir()
    format.export(Source(loaded, tmp_path, "tiny"), format.Config(), out)
    chats = [Chat(str(n), asked, "", "translate") for n, asked in enumerate((
        (Message("user", "ሰላም, ab"), Message("assistant", "ሰላም ነው")), (Message("assistant", "k'op. it"),),
    ))]  # fmt: skip
    prompts = [loaded.renderer.prompt_ids(chat.prompt) for chat in chats]
    assert len(prompts[1]) < SHORTEST
    few, graph = Sampling(max_new_tokens=6), load_graph(out)
    assert generate_batch(graph, prompts, few) == generate_batch(loaded, prompts, few)
    if format is onnx:
        found = certify(loaded, out, format.RUNTIME, format.tolerance(format.Config()), chats, 5)
        assert found["max_logit_gap"] < 1e-3 and found["text"]["identical"] == 2
        assert '{"input_ids": ids}' in (out / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("recipe", [hierarchical, bytelatent])
def test_embeddings_of_n_grams_learn_faster(recipe, tmp_path):
    """The first step of AdamW moves what it moves at all by the learning rate."""
    cfg = recipe.Config(**{**FEW, "ngram_rate": 7.0, "weight_decay": 0.0, "warmup_steps": 1, "learning_rate": 1e-3})
    loaded = on_bytes(tmp_path)
    model = recipe.network(cfg)(loaded)
    ready(loaded, model)
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    before = {name: p.detach().clone() for name, p in weights.items()}
    rows = [loaded.renderer.example(Chat("1", (Message("assistant", "ሰላም ነው"),), ""))]
    take(model, rows, next_token, adamw(weights, cfg, model.rates), weights, 0, (), cfg)
    moved = {name: float((p.detach() - before[name]).abs().max()) for name, p in weights.items()}
    fast = {name for name in moved if "grams" in name or "hash_tok" in name}
    assert fast and all(moved[name] == pytest.approx(7e-3, rel=1e-2) for name in fast)
    assert all(moved[name] <= 1.01e-3 for name in moved.keys() - fast)


@pytest.mark.parametrize("kind", ["decoder", "hierarchical", "latent"])
def test_fast_norms_and_gates_learn_what_the_plain_ones_do(tiny_model, kind):
    model = {
        "decoder": lambda: load_model(tiny_model, dtype="float32").model,
        "hierarchical": lambda: tiny("space"),
        "latent": lambda: latent("space"),
    }[kind]()
    model.requires_grad_(True)
    dice = random.Random(7)
    texts = [[dice.randrange(200) for _ in range(length)] for length in (9, 30, 17)]
    register_attention()
    rows = pack([Example(ids, ids) for ids in texts], torch.device("cpu"))

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        with standing(model):
            next_token(model, rows).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    before = gradients()
    assert speed_up(model) > 0
    after = gradients()
    assert before.keys() == after.keys() and any("norm" in name for name in after)
    for name, gradient in before.items():
        assert torch.allclose(after[name], gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max())), name
