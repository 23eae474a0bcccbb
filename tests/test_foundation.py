"""Foundation, then applications: what a run made is the base of the next, and modules stay under what is trained over them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import silent_job

from endonym.data.dataset import Dataset
from endonym.errors import EndonymError
from endonym.jobs.submit import submit
from endonym.models.bases import known_base, origin
from endonym.models.generate import Sampling, answer_nll, generate_batch
from endonym.models.load import load_artifact, load_model
from endonym.models.nets.banked import attach, hash_of
from endonym.models.nets.domain_bank import About, Shape
from endonym.models.render import Example
from endonym.project import Project
from endonym.serve.answer import Params
from endonym.serve.backends import transformers as backend
from endonym.train.fit import Rows, fit
from endonym.train.judged import Judged
from endonym.train.network import ready
from endonym.train.recipes import modules

FEW = {
    "steps": 4,
    "batch_size": 8,
    "evaluate_every": 2,
    "save_every": 2,
    "valid_rows": 8,
    "samples": 0,
    "learning_rate": 1e-2,
}
PARITY = {"parity_rows": 2, "parity_tokens": 4}


def number(output: Path) -> int:
    return int(output.parent.name[:4])


def held(project: Project) -> list:
    return [c for c in Dataset(project.newest("chats"), "train").records("valid") if c.answer][:6]


def certified(project: Project, model: int) -> dict:
    row = submit(project, "export", "merged", PARITY, inputs={"model": model}, wait=True)
    return json.loads((project.output(row.id) / "parity.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("recipe", ["lora", "full"])
def test_a_model_with_modules_is_the_base_of_an_application(field, recipe):
    """Named by its number or folder it is trained on, and what comes of it is loaded, exported and served; bank and router stay."""
    project, foundation = field
    named = str(number(foundation)) if recipe == "lora" else foundation.parent.name
    own = FEW if recipe == "lora" else {**FEW, "steps": 20, "learning_rate": 2e-3, "evaluate_every": 10}
    row = submit(project, "train", recipe, {**own, "base": named}, wait=True)
    output = project.output(row.id)
    before, after = load_artifact(foundation, "float32"), load_artifact(output, "float32")
    bank = after.model.bank
    assert bank.names == ["law", "sentences"] and not bank.taught
    for part in ("members", "router", "general"):
        assert hash_of(getattr(bank, part)) == hash_of(getattr(before.model.bank, part))
    assert hash_of(after.model) != hash_of(before.model)
    # What the router reads is what it read, so every text goes where it went.
    table = [m.model.get_input_embeddings().weight for m in (before, after)]
    assert torch.equal(*table) and bank.shape.base_hash != before.model.bank.shape.base_hash
    chats = held(project)
    nats = [sum(n for n, _ in answer_nll(loaded, chats)) for loaded in (before, after)]
    assert nats[1] < nats[0]
    with bank.without(*bank.names):
        assert sum(n for n, _ in answer_nll(after, chats)) != nats[1]
    about = json.loads((output / "model.json").read_text(encoding="utf-8"))
    assert about["base"] == f"../../{foundation.parent.name}/output/weights"
    if recipe == "lora":
        narrow = load_artifact(output, "bfloat16")
        near = sum(n for n, _ in answer_nll(narrow, chats))
        assert narrow.model.bank.names == bank.names and near == pytest.approx(nats[1], rel=0.02)
        certificate = certified(project, row.id)
        assert certificate["text"]["identical"] == 2 and certificate["max_logit_gap"] < 1e-4
    else:
        engine = backend.load(output, backend.Config(dtype="float32"))
        (text,) = generate_batch(engine.loaded, [engine.encode("buenos días")], Sampling(max_new_tokens=4))[0]
        assert "".join(engine.generate("buenos días", Params(max_tokens=4)).pieces).strip() == text


def test_an_adapter_over_modules_learns_what_is_served(field, tiny_model):
    """Its fused forward and the plain one of peft agree: the modules under an adapter are not passed over."""
    from peft import LoraConfig, get_peft_model

    from endonym.models.adapters import speed_up

    _, foundation = field
    ids = torch.randint(512, (2, 11), generator=torch.Generator().manual_seed(3))

    def built(fast: bool) -> torch.Tensor:
        torch.manual_seed(5)
        settings = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
        model = get_peft_model(load_artifact(foundation, "float32").model, settings)
        assert not fast or speed_up(model)
        return model(input_ids=ids).logits

    assert torch.allclose(built(True), built(False), atol=1e-5)


def test_a_base_that_is_no_model_is_refused(field, tmp_path):
    project, foundation = field
    chats = next(folder.name for folder in project.runs.iterdir() if folder.name.endswith("compose"))
    with pytest.raises(EndonymError, match="holds no whole weights"):
        submit(project, "train", "lora", {**FEW, "base": chats}, wait=True)
    with pytest.raises(EndonymError, match="no base model 'nothing'"):
        submit(project, "train", "lora", {**FEW, "base": "nothing"}, wait=True)
    assert known_base(str(foundation), project) == str(foundation / "weights")
    other = Project.create(tmp_path / "other", language="tzh")
    assert known_base(str(foundation.parent), other) == str(foundation / "weights"), "a run of another project"
    assert origin(foundation / "weights") == Path(project.base).resolve()


def test_a_model_over_bytes_is_trained_further(field):
    project, _ = field
    few = {**FEW, "width": 32, "layers": 3, "ngram_rows": 64, "ngrams": [2], "max_length": 256}
    first = submit(project, "train", "hierarchical", few, wait=True)
    second = submit(project, "train", "full", {**FEW, "max_length": 256, "base": str(first.id)}, wait=True)
    one, two = (load_artifact(project.output(row.id), "float32") for row in (first, second))
    chats = held(project)
    assert sum(n for n, _ in answer_nll(two, chats)) < sum(n for n, _ in answer_nll(one, chats))
    assert generate_batch(two, [[5, 6, 7]], Sampling(max_new_tokens=4))


@pytest.mark.parametrize("dies_at", [2, 4])
def test_a_killed_run_of_modules_ends_with_the_weights_of_an_unbroken_one(tiny_model, tmp_path, dies_at):
    """37 of them, with a router that is tuned too."""
    names = [f"m{n:02}" for n in range(37)]
    cfg = modules.Config(
        **{
            **FEW,
            "steps": 6,
            "save_every": 1,
            "evaluate_every": 1,
            "only": names[:36],
            "tune_router": True,
            "samples": 0,
        }
    )
    dice = torch.Generator().manual_seed(5)
    lengths = torch.randint(6, 24, (74,), generator=dice).tolist()
    examples = []
    for n, length in enumerate(lengths):
        ids = torch.randint(512, (length,), generator=dice).tolist()
        examples.append(Example(ids, list(ids), domain=n % 36))

    def run(folder: Path, dies: int = -1) -> dict[str, torch.Tensor]:
        def sample(step: int) -> None:
            if step == dies:
                raise KeyboardInterrupt

        job = silent_job(folder)
        loaded = load_model(tiny_model, dtype="float32")
        bank = attach(loaded.model, Shape(router_layer=1))
        for n, name in enumerate(names):
            member = bank.add(About(name=name, layers=[1], rank=2))
            texts = torch.randn(12, bank.width, generator=torch.Generator().manual_seed(n))
            member.evidence.learn(texts[4:], texts[:4])
        bank.solve()
        model = modules.network(cfg)(loaded)
        ready(loaded, model)
        loss = Judged(1.0, 0.01, 0.001, torch.full((37,), 1 / 37), True)
        fit(model, Rows(examples, [1.0] * 74, [""] * 74, [""] * 74), examples[:8], loss, cfg, job, sample)
        return model.state_dict()

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", dies_at)
    again = run(tmp_path / "broken")
    assert all(tensor.equal(again[name]) for name, tensor in whole.items())
    learned = [name for name in names if any(whole[f"bank.members.{name}.b.{t}"].any() for t in ("mlp_up_proj",))]
    assert len(learned) > 8 and names[36] not in learned
