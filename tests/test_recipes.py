"""Every recipe on a real dictionary with a tiny model: it trains what it says, keeps the rest, and its model answers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from endonym import plugins
from endonym.data.dataset import Dataset, DatasetWriter
from endonym.errors import DataError, EndonymError
from endonym.jobs.stage import load_stage
from endonym.jobs.submit import job_key, resolve_job, submit
from endonym.models.generate import Sampling, generate_batch
from endonym.models.load import load_artifact, load_model, load_tokenizer
from endonym.models.render import IGNORE
from endonym.project import Project
from endonym.store import events
from endonym.train.losses import next_token
from endonym.train.network import ready
from endonym.train.preflight import preflight
from endonym.train.rows import prepare
from endonym.train.settings import FitConfig
from endonym.types import Chat, Message

FEW = {"steps": 8, "batch_size": 8, "evaluate_every": 4, "save_every": 4, "valid_rows": 8, "samples": 1}


@pytest.fixture(scope="module")
def project(composed, copied, tmp_path_factory) -> Project:
    return Project(copied(composed, tmp_path_factory.mktemp("recipes") / "project"))


def trained(project: Project, recipe: str, **settings) -> Path:
    row = submit(project, "train", recipe, {**FEW, **settings}, wait=True)
    losses = [value for _, value in events.curve(project.db, row.id, "valid_loss")]
    assert min(losses) < losses[0]
    folder = project.output(row.id)
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert about["recipe"] == recipe and about["steps"] == 8
    loaded = load_artifact(folder)
    chats = list(Dataset(project.newest("chats"), "train").records("valid"))[:3]
    prompts = [loaded.renderer.prompt_ids(chat.prompt) for chat in chats]
    assert len(generate_batch(loaded, prompts, Sampling(max_new_tokens=4))) == 3
    return folder


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in load_model(folder, dtype="float32").model.state_dict().items()}


def test_full_trains_all_weights(project, tiny_model):
    before, after = tensors(tiny_model), tensors(trained(project, "full", canaries=3) / "weights")
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[name], after[name]) for name in before if "layernorm" not in name)


def test_a_model_says_on_how_many_rows_it_was_trained(project):
    about = json.loads((trained(project, "full", canaries=3) / "model.json").read_text(encoding="utf-8"))
    assert about["rows"] == Dataset(project.newest("chats"), "train").count("train") + 3


def test_a_run_is_diagnosed_as_a_job_that_is_done_once(project):
    folder = trained(project, "full", canaries=3)
    run = json.loads((folder.parent / "artifact.json").read_text(encoding="utf-8"))["job"]
    planted = json.loads((folder / "canaries.json").read_text(encoding="utf-8"))
    assert [row["times"] for row in planted["canaries"]] == [1, 4, 16]
    settings = {"run": [str(run)], "samples": 4, "gap": {"texts": 16}, "extraction": {"texts": 16}}
    done = submit(project, "diagnose", "", settings, wait=True)
    assert done.inputs == {"model": run} and done.summary["verdict"] in ("learning", "not enough data")
    assert done.summary["tables"][0]["rows"] and (project.output(done.id) / "diagnosis.json").is_file()
    assert submit(project, "diagnose", "", settings).id == done.id


def prepared(chats: list[Chat], tiny_model, tmp_path, longest: int):
    told: list[str] = []
    job = SimpleNamespace(output=tmp_path, log=told.append, summary=lambda **values: None)
    found = prepare(chats[:1], chats, load_tokenizer(tiny_model).renderer, FitConfig(max_length=longest), job)
    return (*found, told)


def test_long_validation_text_is_divided_as_training_text_is(tiny_model, tmp_path, amharic):
    text = " ".join(pair[1] for pair in amharic[:20])
    chats = [Chat(str(i), (Message("assistant", f"{i}. {text}"),), "x") for i in range(3)]
    _, held, shown, _ = prepared(chats, tiny_model, tmp_path, 600)
    assert len(held) == len(shown) > 3 and all(len(example.ids) <= 600 for example in held)
    assert "".join(chat.answer for chat in shown if chat.id.startswith("1.")) == chats[1].answer


def test_validation_rows_that_are_too_long_are_named_and_none_at_all_is_an_error(tiny_model, tmp_path):
    chats = [Chat("a", (Message("user", "x"), Message("assistant", "k'op")), "x")]
    long = Chat("b", (Message("user", "x"), Message("assistant", "k'op " * 90)), "x")
    *_, told = prepared([*chats, long], tiny_model, tmp_path, 64)
    assert any(line.startswith("1 of 2 validation rows are longer than 64 tokens") for line in told)
    renderer = load_tokenizer(tiny_model).renderer
    job = SimpleNamespace(output=tmp_path, log=print, summary=lambda **values: None)
    with pytest.raises(DataError, match="all 1 are longer than 64 tokens") as error:
        prepare(chats, [long], renderer, FitConfig(max_length=64), job)
    assert "--max-length" in str(error.value)


def test_full_leaves_frozen_layers_as_they_are(project, tiny_model):
    before, after = tensors(tiny_model), tensors(trained(project, "full", first_layer=1) / "weights")
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if "embed" in name or "lm_head" in name or ".layers.0." in name}
    with pytest.raises(EndonymError, match="first_layer 7 leaves nothing"):
        submit(project, "train", "full", {**FEW, "first_layer": 7}, wait=True)


def test_scratch_makes_a_model_of_the_size_asked_for(project, tiny_model):
    folder = trained(project, "scratch", size=0.25)
    size = sum(p.numel() for p in load_artifact(folder).model.parameters())
    assert size == pytest.approx(250_000, rel=0.35)
    with pytest.raises(EndonymError, match="too few for a vocabulary"):
        submit(project, "train", "scratch", {**FEW, "size": 0.01}, wait=True)


def test_continue_learns_plain_text_and_replays_the_old(project):
    old = project.path / "old.txt"
    old.write_text("The house is near the river.\n\nWater is cold in the morning.\n", encoding="utf-8")
    folder = trained(project, "continue", replay=["old.txt"], replay_share=0.3, learning_rate=1e-3)
    assert (folder / "weights" / "config.json").is_file()
    row = submit(
        project, "train", "continue", {**FEW, "replay": ["old.txt"], "replay_share": 0.3, "learning_rate": 1e-3}
    )
    texts = [e.data["text"] for e in events.since(project.db, row.id) if e.kind == "log"]
    assert any(text.startswith("2 replayed paragraphs") for text in texts)
    with pytest.raises(EndonymError, match=r"gone\.txt is not there"):
        submit(project, "train", "continue", {**FEW, "replay": ["gone.txt"]}, wait=True)


def test_long_text_is_divided_at_sentence_ends_and_no_character_of_it_is_lost(project, tiny_model, tmp_path):
    """Only the last part of a text ends, and the checks before step 1 know that."""
    found = [c for c in Dataset(project.newest("chats"), "train").records("train") if c.task == "complete"]
    text = " ".join(c.answer.rstrip(".;,: ") + "." for c in [*found, *found])
    chat = Chat("long", (Message("assistant", text),), "a.txt", "complete", "tzh")
    said: list[str] = []
    job = SimpleNamespace(
        folder=tmp_path, output=tmp_path, log=said.append, event=lambda kind, **data: None, summary=lambda **values: None
    )  # fmt: skip
    cfg = FitConfig(max_length=300, batch_size=4, dtype="float32")
    loaded = load_model(tiny_model, dtype="float32")
    rows, _, _ = prepare([chat], found, loaded.renderer, cfg, job)
    assert [e.goes_on for e in rows.examples] == [True] * (len(rows.examples) - 1) + [False] and len(rows.examples) > 2
    learned = [loaded.renderer.decode([i for i in e.labels if i != IGNORE]) for e in rows.examples]
    assert "".join(learned) == text and all(part.endswith((".", ". ")) for part in learned)
    ready(loaded, loaded.model)
    preflight(loaded.model, rows, next_token, loaded.renderer, cfg, job)
    assert any(f"{len(learned) - 1} go on in another row" in line for line in said)


@pytest.mark.parametrize(("verb", "plugin", "setting"), [("train", "continue", "replay"), ("evaluate", "", "files")])
def test_a_text_that_has_changed_is_read_again(tmp_path, tiny_model, verb, plugin, setting):
    """A job is known by its settings; of a file they would say no more than its name."""
    project = Project.create(tmp_path / "home", language="tzh", base=str(tiny_model))
    settings = {setting: ["old.txt"]} if plugin else {"forgetting": {setting: ["old.txt"]}}
    resolved = resolve_job(project, verb, plugin, settings, None)
    keys = [job_key(project, load_stage(verb), resolved, {})]
    for text in ("Water is cold.\n", "Water is warm.\n", "Water is cold.\n"):
        (project.path / "old.txt").write_text(text, encoding="utf-8")
        keys.append(job_key(project, load_stage(verb), resolved, {}))
    assert len(set(keys)) == 3 and keys[1] == keys[3]


def test_continue_refuses_replay_that_was_held_out(project):
    held = next(
        r
        for r in Dataset(project.newest("split"), "compare").records("test")
        if r.kind == "pair" and len(r.source) > 30
    )
    (project.path / "leak.txt").write_text(held.source + "\n", encoding="utf-8")
    with pytest.raises(EndonymError, match="share text"):
        submit(project, "train", "continue", {**FEW, "replay": ["leak.txt"]}, wait=True)


def test_rows_that_auto_measures_on_are_spread_over_all(tmp_path):
    """100 chats, 60 wanted: a stride of one would take the first 60 and none of what comes after."""
    recipe = plugins.load("recipe", "embeddings")
    with DatasetWriter(tmp_path / "split"):
        pass
    with DatasetWriter(tmp_path / "chats") as out:
        for number in range(100):
            out.keep(Chat(f"{number:03}", (Message("user", "x"), Message("assistant", "y")), "x", "t", "tzh"), "valid")
    about = SimpleNamespace(language="tzh", pivot="spa")
    job = SimpleNamespace(project=about, inputs={"split": tmp_path / "split"}, verb="train")
    material = recipe._material(recipe.Config(measured_rows=60), Dataset(tmp_path / "chats", "train"), job)
    places = [int(chat.id) for chat in material.held]
    assert len(places) == 60 and places[-1] >= 98 and places == sorted(set(places))
