"""Growing: the same answers before and after, new units that learn, old text that costs no more, and an honest comparison."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from endonym.cli.main import main
from endonym.data.dataset import Dataset
from endonym.errors import EndonymError
from endonym.jobs.job import Job
from endonym.jobs.submit import submit
from endonym.models.compute import flops_per_token
from endonym.models.generate import Sampling, generate_batch
from endonym.models.grow import grow
from endonym.models.grow_shape import NEW, Shape, shape_of, spread_layers, stacked_layers, target_shape, unit_maps
from endonym.models.grow_vocabulary import grow_vocabulary
from endonym.models.load import load_artifact, load_model
from endonym.models.vocabulary import change
from endonym.project import Project
from endonym.store import events, jobs
from endonym.train.equal_compute import run_of
from endonym.train.growth import grown_network, load_small, with_tokenizer
from endonym.train.recipes import grow as recipe
from endonym.train.trials import Outcome
from endonym.train.verdict import between_arms

LLAMA = {
    "vocab_size": 90, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.08,
}  # fmt: skip
GPT2 = {"vocab_size": 90, "n_positions": 64, "n_embd": 48, "n_layer": 3, "n_head": 3, "initializer_range": 0.08}


def network(kind: str, **settings):
    """A random decoder whose norms and biases are not at their neutral values, so that a mistake in one shows."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(3)
        base = GPT2 if kind == "gpt2" else LLAMA
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**base, **settings})).float()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def logits(model, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(ids).logits


IDS = torch.randint(0, 90, (3, 40), generator=torch.Generator().manual_seed(5))


def learn(model, ids: torch.Tensor, steps: int, rate: float) -> list[float]:
    """Train on one batch; returns the loss of every step."""
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=rate, weight_decay=0.0)
    losses = []
    for _ in range(steps):
        loss = model(input_ids=ids, labels=ids).loss
        losses.append(float(loss.detach()))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return losses


TARGETS = {
    "the same groups": {"layers": 4, "hidden_size": 64},
    "larger groups": {"layers": 3, "hidden_size": 64, "kv_heads": 2, "intermediate_size": 111},
    "smaller groups": {"layers": 7, "hidden_size": 96, "heads": 12, "kv_heads": 12},
    "only deeper": {"layers": 5},
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llama", {"tie_word_embeddings": True}),
        ("llama", {"tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True}),
        ("mistral", {"tie_word_embeddings": False}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}),
        ("qwen3", {"tie_word_embeddings": True, "head_dim": 16}),
    ],
)
def test_a_grown_llama_computes_what_it_did(kind, settings, target):
    model = network(kind, **settings)
    shape = target_shape(model.config, **TARGETS[target])
    grown = grow(model, shape)
    assert shape_of(grown.config) == shape
    before = logits(model, IDS)
    assert before.std() > 0.3
    assert (logits(grown, IDS) - before).abs().max() < 1e-5


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("target", [{"layers": 5, "hidden_size": 80}, {"layers": 4, "intermediate_size": 300}])
def test_a_grown_gpt2_computes_what_it_did(tied, target):
    model = network("gpt2", tie_word_embeddings=tied)
    grown = grow(model, target_shape(model.config, **target))
    assert (grown.get_input_embeddings().weight is grown.get_output_embeddings().weight) is tied
    assert (logits(grown, IDS) - logits(model, IDS)).abs().max() < 1e-5


def test_a_grown_model_is_saved_whole(tmp_path):
    model = network("qwen2", tie_word_embeddings=True)
    grow(model, target_shape(model.config, layers=4, hidden_size=72, heads=8, kv_heads=4)).save_pretrained(tmp_path)
    from transformers import AutoModelForCausalLM

    again = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    assert (logits(again, IDS) - logits(model, IDS)).abs().max() < 1e-5


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_every_new_unit_learns(kind):
    """After three steps nothing that was added is where it was, no two new units are the same, and the loss has fallen."""
    model = network(kind, tie_word_embeddings=False)
    grown = grow(model, target_shape(model.config, layers=5, hidden_size=64, intermediate_size=260)).train()
    before = {name: p.detach().clone() for name, p in grown.named_parameters()}
    losses = learn(grown, IDS, 4, 1e-3)
    assert losses[-1] < losses[0] - 0.05
    seen = IDS.unique()
    for name, after in grown.named_parameters():
        moved = (after != before[name]).float()
        if "embed" in name or "wte" in name:
            moved = moved[seen]
        elif "wpe" in name:
            moved = moved[:39]  # the last position predicts nothing
        elif name.endswith(("c_attn.bias", "k_proj.bias")):
            # A bias of all keys shifts every score of a query alike, which softmax does not see: its gradient is rounding.
            if "k_proj" in name:
                continue
            moved = torch.cat([moved[:64], moved[128:]])
        assert moved.mean() > 0.99, f"{name}: only {moved.mean():.3f} of it learns"
    table = grown.get_input_embeddings().weight.detach()[seen][:, 48:]
    assert torch.linalg.matrix_rank(table - table.mean(1, keepdim=True)) >= 14


def test_stacking_repeats_trained_layers_and_says_so():
    assert stacked_layers(12, 24) == [*range(12), *range(12)]
    assert stacked_layers(12, 16) == [*range(8), *range(4, 12)]
    assert stacked_layers(3, 7) == [0, 1, 0, 1, 2, 1, 2]
    assert spread_layers(3, 5) == ([0, 0, 1, 2, 2], [False, True, False, False, True])
    model = network("llama")
    wider = grow(model, target_shape(model.config, hidden_size=64), "stack")
    assert (logits(wider, IDS) - logits(model, IDS)).abs().max() < 1e-5
    deeper = grow(model, target_shape(model.config, layers=6), "stack")
    assert (logits(deeper, IDS) - logits(model, IDS)).abs().max() > 0.1


def test_query_heads_keep_their_key_heads():
    """9 query heads over 3 key heads, as in SmolLM2: each old one must look at the key head it looked at, or a copy of it."""
    old = Shape(1, 9, 1, 9, 3, 1)
    for heads, kv_heads in ((12, 3), (12, 4), (16, 8), (18, 9)):
        maps = unit_maps(old, Shape(1, 18, 1, heads, kv_heads, 1))
        assert sorted(u for u in maps["heads"] if u != NEW) == list(range(9))
        for at, head in enumerate(maps["heads"]):
            if head != NEW:
                assert maps["kv_heads"][at // (heads // kv_heads)] == head // 3


def test_what_cannot_be_grown_is_refused():
    config = network("llama").config
    with pytest.raises(EndonymError, match="layers 2 is less than the 3"):
        target_shape(config, layers=2)
    with pytest.raises(EndonymError, match="need 4 heads for keys and values"):
        target_shape(config, heads=6, kv_heads=3)
    with pytest.raises(EndonymError, match="not 60 wide"):
        target_shape(network("gpt2").config, hidden_size=60, heads=3)
    with pytest.raises(EndonymError, match="each of the 4 heads has its own keys and values"):
        target_shape(network("gpt2").config, hidden_size=64, heads=4, kv_heads=2)
    with pytest.raises(EndonymError, match="bloom cannot be grown"):
        from transformers import BloomConfig

        shape_of(BloomConfig())


@pytest.fixture(scope="module")
def tokenizers(tiny_model, amharic, tmp_path_factory):
    """The tiny model's tokenizer, and a byte-level one with tokens of Amharic words beside those it has."""
    from tokenizers import Tokenizer, pre_tokenizers
    from transformers import AutoTokenizer

    old = AutoTokenizer.from_pretrained(tiny_model)
    content = json.loads(old.backend_tokenizer.to_str())
    vocabulary, merges = content["model"]["vocab"], content["model"]["merges"]
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for text in [b for _, b in amharic][:20]:
        for word, _ in splitter.pre_tokenize_str(text):
            for end in range(2, len(word) + 1):
                if word[:end] not in vocabulary:
                    vocabulary[word[:end]] = max(vocabulary.values()) + 1
                    merges.append([word[: end - 1], word[end - 1]])
    folder = tmp_path_factory.mktemp("tokenizer")
    old.save_pretrained(folder)
    Tokenizer.from_str(json.dumps(content)).save(str(folder / "tokenizer.json"))
    return old, AutoTokenizer.from_pretrained(folder), folder


@pytest.mark.parametrize("tied", [True, False])
def test_a_larger_vocabulary_costs_old_text_next_to_nothing(tied, tokenizers, tseltal):
    old, new, _ = tokenizers
    model = network("llama", vocab_size=len(old), tie_word_embeddings=tied)
    texts = [a for a, _ in tseltal]

    def nats() -> float:
        with torch.no_grad():
            losses = [model(input_ids=i, labels=i).loss for i in (torch.tensor([old.encode(t)]) for t in texts[40:80])]
        return float(torch.stack(losses).mean())

    with torch.no_grad():
        # As in trained models, whose rows point the same way to two thirds of their length, so that hidden states do too.
        model.get_input_embeddings().weight[:, 0] = 2.0
    before, rows = nats(), model.get_input_embeddings().weight.detach().clone()
    done = grow_vocabulary(model.eval(), old, new, texts[:40])
    assert done.new_rows > 100 and done.kept_rows == len(old) and model.config.vocab_size == len(new)
    assert done.nats_unbounded > 0.1 > 0.01 >= done.nats_lost
    assert 0 < nats() - before < 0.02
    table = model.get_input_embeddings().weight.detach()
    assert torch.equal(table[: len(rows)], rows)
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) is tied
    if not tied:
        number = len(old) + 5
        changed = change(old, new, len(old))
        spelled = changed.pieces[changed.fresh.index(number)]
        assert len(spelled) > 1 and torch.allclose(table[number], rows[spelled].mean(0), atol=1e-6)


def test_a_tokenizer_without_special_tokens_gets_a_larger_vocabulary(tokenizers):
    """Without texts the model writes its own, which has to begin with something."""
    from transformers import PreTrainedTokenizerFast

    old, new = (PreTrainedTokenizerFast(tokenizer_object=t.backend_tokenizer) for t in tokenizers[:2])
    assert old.bos_token is None and old.eos_token is None
    model = network("llama", vocab_size=len(old))
    done = grow_vocabulary(model, old, new)
    assert done.kept_rows == len(old) and len(model.get_input_embeddings().weight) == len(new)


def test_pieces_spell_the_token_even_inside_a_character(tokenizers):
    old, new, _ = tokenizers
    changed = change(old, new, len(old))
    assert changed.fresh == list(range(len(old), len(new)))
    for number, spelled in zip(changed.fresh, changed.pieces, strict=True):
        assert "".join(old.convert_ids_to_tokens(spelled)) == new.convert_ids_to_tokens(number)


@pytest.fixture(scope="module")
def project(composed, copied, tmp_path_factory) -> Project:
    return Project(copied(composed, tmp_path_factory.mktemp("grow") / "project"))


FEW = {
    "steps": 8, "batch_size": 8, "evaluate_every": 4, "save_every": 4, "valid_rows": 8, "samples": 1, "learning_rate": 1e-3,
}  # fmt: skip


def logged(project: Project, number: int) -> list[str]:
    return [e.data["text"] for e in events.since(project.db, number) if e.kind == "log"]


def test_the_recipe_grows_trains_and_compares(project, tokenizers):
    row = submit(
        project, "train", "grow", {**FEW, "layers": 3, "width": 96, "tokenizer": str(tokenizers[2])}, wait=True
    )
    folder = project.output(row.id)
    loaded = load_artifact(folder)
    assert shape_of(loaded.model.config) == Shape(3, 96, 192, 6, 3, 16)
    assert loaded.model.config.vocab_size == len(tokenizers[1])
    chats = list(Dataset(project.newest("chats"), "train").records("valid"))[:2]
    prompts = [loaded.renderer.prompt_ids(chat.prompt) for chat in chats]
    assert len(generate_batch(loaded, prompts, Sampling(max_new_tokens=4))) == 2
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    report = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    arms = report["arms"]
    assert set(arms) == {"grown", "continued", "scratch"} and report["answers"] >= 8
    assert arms["grown"]["flops"] == about["flops"] and arms["grown"]["parameters"] == about["parameters"]
    assert arms["grown"]["parameters"] == arms["scratch"]["parameters"] > 2 * arms["continued"]["parameters"]
    assert arms["continued"]["steps"] > 2 * arms["grown"]["steps"] == 2 * arms["scratch"]["steps"]
    for arm in arms.values():
        assert arm["flops"] == pytest.approx(arms["grown"]["flops"], rel=0.15)
        assert 0 < arm["low"] <= arm["bits_per_byte"] <= arm["high"]
    assert report["winner"] in (None, min(arms, key=lambda name: arms[name]["bits_per_byte"]))
    assert any("is not known" in note for note in report["notes"])
    said = logged(project, row.id)
    assert any("new tokens beside" in text for text in said)
    assert any(text.startswith("after: 3 layers of 96") for text in said)
    assert sum("At equal compute" in text for text in said) == 1
    losses = [value for _, value in events.curve(project.db, row.id, "valid_loss")]
    assert len(losses) == 3 and min(losses) < losses[0]
    assert len(events.curve(project.db, row.id, "continued/valid_loss")) > 3


@pytest.mark.parametrize("operator", ["lossless", "stack"])
def test_the_forecast_lays_out_what_is_grown(project, tokenizers, operator, capsys):
    options = {"layers": 3, "width": 96, "tokenizer": str(tokenizers[2]), "operator": operator, "model": project.base}
    words = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    assert main(["plan", "train", "grow", *words, "--steps", "10", "--project", str(project.path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    job = job_for(project, **options)
    cfg = job.plugins["grow"][1]
    grown = grown_network(cfg, with_tokenizer(cfg, load_small(cfg, job), project), Dataset.of(job, "dataset"), job)
    assert told["memory"]["weights"] >= told["model_bytes"] == sum(4 * p.numel() for p in grown.parameters())
    assert told["steps"] == 30


def job_for(project: Project, **settings) -> Job:
    """A job of the recipe `grow` to run in this process."""
    cfg = recipe.Config(**{**FEW, "samples": 0, **settings})
    row = jobs.find_or_create(project.db, "train", "grow", f"test-{settings}", cfg.model_dump(mode="json"), {})
    folder = project.runs / row.folder
    (folder / "output").mkdir(parents=True)
    inputs = {"dataset": project.newest("chats"), "split": project.newest("split")}
    return Job(project, row.id, "train", "grow", folder, inputs, {"grow": (recipe, cfg)})


def comparison(job: Job) -> dict:
    recipe.train(job.plugins["grow"][1], Dataset.of(job, "dataset"), job)
    return json.loads((job.output / "comparison.json").read_text(encoding="utf-8"))


def test_from_scratch_gets_what_the_small_model_cost(project, tiny_model, tmp_path):
    cost = 3e9
    shutil.copytree(tiny_model, tmp_path / "weights")
    renderer = load_model(tiny_model).renderer.hash
    about = {"recipe": "scratch", "base": str(tiny_model), "flops": cost, "renderer": renderer}
    (tmp_path / "model.json").write_text(json.dumps(about), encoding="utf-8")
    report = comparison(job_for(project, layers=3, model=str(tmp_path)))
    arms = report["arms"]
    assert arms["grown"]["earlier_flops"] == arms["continued"]["earlier_flops"] == cost
    assert arms["scratch"]["earlier_flops"] == 0
    assert arms["scratch"]["flops"] == pytest.approx(arms["grown"]["flops"] + cost, rel=0.15)
    assert any("was given 3e+09 FLOPs more" in note for note in report["notes"])


def test_the_run_of_named_weights_is_found(tmp_path):
    """`--model` takes a run's output and the weights in it alike: what they cost is known of both."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "model.json").write_text("{}")
    assert run_of(tmp_path) == run_of(tmp_path / "weights") == tmp_path


def test_an_interrupted_comparison_goes_on_where_it_was(project):
    """Stopped in the last arm: neither the grown model nor the arm before it is trained again, and the last one goes on."""
    job = job_for(project, layers=3, operator="stack")
    metric = job.metric

    def stopping(name: str, value: float, step: int = 0) -> None:
        metric(name, value, step)
        if (name, step) == ("scratch/loss", 3):
            job.stop()

    job.metric = stopping
    with pytest.raises(FileNotFoundError):
        comparison(job)
    assert job.stopped_early and (job.output / "weights").is_dir()
    again = Job(project, job.id, "train", "grow", job.folder, job.inputs, job.plugins)
    arms = comparison(again)["arms"]
    for name, arm in (("loss", "grown"), ("continued/loss", "continued"), ("scratch/loss", "scratch")):
        steps = [step for step, _ in events.curve(project.db, job.id, name)]
        assert steps == list(range(1, arms[arm]["steps"] + 1)), f"{name} was trained twice"
    for arm in ("continued", "scratch"):
        assert [path.name for path in (job.folder / "checkpoints" / arm).iterdir()] == ["outcome.json"]
    unbroken = comparison(job_for(project, layers=3, operator="stack", evaluate_every=4))["arms"]
    assert {n: a["bits_per_byte"] for n, a in arms.items()} == {n: a["bits_per_byte"] for n, a in unbroken.items()}


@pytest.mark.parametrize(
    ("kind", "tied", "looked_up"),
    [
        ("llama", True, 0),
        ("llama", False, 90),
        ("gpt2", True, 64),
        ("gpt2", False, 90 + 64),
        ("gemma3_text", False, 90),
    ],
)
def test_rows_that_are_looked_up_cost_no_compute(kind, tied, looked_up):
    model = network(kind, tie_word_embeddings=tied)
    weights = sum(p.numel() for p in model.parameters())
    assert flops_per_token(model) == 6 * (weights - 48 * looked_up)


def arm(bits: list[float]) -> Outcome:
    return Outcome(1, 1, 1, 1, 1.0, 1.0, 1, [[b, 10.0] for b in bits])


def test_only_a_significant_lead_wins():
    base = [20.0 + n % 7 for n in range(40)]
    better, same = [b - 1 for b in base], [b + (1 if n % 2 else -1.02) for n, b in enumerate(base)]
    report = between_arms({"a": arm(base), "b": arm(better), "c": arm([b + 2 for b in base])}, [])
    assert report["winner"] == "b" and report["verdict"].startswith(
        "b is significantly better than every other, than a"
    )
    report = between_arms({"a": arm(base), "b": arm(same)}, [])
    assert report["winner"] is None and report["verdict"].startswith("no winner: b leads a")
