"""A model with another tokenizer: old rows stay, new rows know what their spelling meant, and the trained model ships."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from endonym import plugins
from endonym.cli.main import main
from endonym.data.dataset import Dataset
from endonym.data.lexicon import Lexicon
from endonym.errors import EndonymError
from endonym.export.source import Source
from endonym.jobs.job import Job
from endonym.jobs.plan import plan
from endonym.jobs.submit import prepare, submit
from endonym.models.adopt import Material, adopt, bits_per_byte
from endonym.models.compute import flops_per_token
from endonym.models.distil import Distilling, distilled, snippets
from endonym.models.generate import Sampling, generate_batch
from endonym.models.load import load_artifact, load_model
from endonym.models.trial import Trial, num_steps, run_trial
from endonym.models.vocabulary import (
    Change,
    Matrices,
    all_rows,
    change,
    install,
    make_room,
    mean,
    meanings,
    only_rows,
    random,
    weighted,
)
from endonym.project import Project
from endonym.store import events, jobs
from endonym.tokenizer.build import base_bpe, bytes_only, extended, pre_tokens, trained
from endonym.tokenizer.merges import learn
from endonym.train import run
from endonym.train.checkpoint import newest
from endonym.types import Chat, Message

FEW = {
    "steps": 4, "warm_steps": 4, "batch_size": 8, "evaluate_every": 2, "save_every": 2, "valid_rows": 8, "samples": 1,
}  # fmt: skip


def held(texts):
    return [Chat(str(i), (Message("assistant", text),), "x") for i, text in enumerate(texts)]


@pytest.fixture(scope="module")
def learned(tiny_model, tmp_path_factory, tseltal) -> Path:
    """The tiny model after a short training on Tseltal, so that its rows mean something."""
    folder = tmp_path_factory.mktemp("learned")
    loaded = load_model(tiny_model, dtype="float32")
    trial = Trial(flops_per_token(loaded.model) * 60 * 1024, 1024, 3e-3)
    run_trial(loaded, [b for _, b in tseltal[:300]], trial, lambda *a: None, lambda: False)
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def longer(learned, tmp_path, tseltal):
    """The model with its tokenizer, the same tokenizer extended, and what changes between them."""
    loaded = load_model(learned, dtype="float32")
    merges = learn(
        pre_tokens(loaded.tokenizer, [b for _, b in tseltal[:300]]), [], base_bpe(loaded.tokenizer, "x"), 150
    )
    made = extended(loaded.tokenizer, merges, tmp_path)
    return loaded, made, change(loaded.tokenizer, made, 512)


def test_old_rows_stay_and_new_ones_are_means_of_their_pieces(longer):
    loaded, made, changed = longer
    before = Matrices.of(loaded.model)
    install(loaded.model, before, changed, mean(before.input, changed.pieces))
    after = loaded.model.get_input_embeddings().weight
    assert torch.equal(after[:512], before.input) and len(after) == len(made) == 662
    token = made.convert_ids_to_tokens(600)
    pieces = [
        loaded.tokenizer.convert_tokens_to_ids(p.value)
        for p in loaded.tokenizer.backend_tokenizer.model.tokenize(token)
    ]
    assert len(pieces) > 1 and torch.allclose(after[600], before.input[pieces].mean(0), atol=1e-6)
    assert loaded.model.get_output_embeddings().weight is after
    assert loaded.model.config.vocab_size == 662


def test_a_head_of_its_own_gets_rows_too(longer):
    loaded, _, changed = longer
    head = torch.nn.Linear(64, 512, bias=True)
    loaded.model.set_output_embeddings(head)
    before = Matrices.of(loaded.model)
    assert before.output is not None
    install(loaded.model, before, changed, mean(before.input, changed.pieces))
    made = loaded.model.get_output_embeddings()
    assert torch.equal(made.weight[:512], head.weight) and torch.equal(made.bias[:512], head.bias)
    pieces = changed.pieces[changed.fresh.index(600)]
    assert torch.allclose(made.weight[600], head.weight[pieces].mean(0), atol=1e-6)
    assert torch.allclose(made.bias[600], head.bias[pieces].mean(), atol=1e-6)
    assert made.weight is not loaded.model.get_input_embeddings().weight


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_without_numbers_gets_the_same_matrices(longer, tied):
    loaded, made, changed = longer
    model = loaded.model
    if not tied:
        model.set_output_embeddings(torch.nn.Linear(64, 512, bias=True))
    laid = copy.deepcopy(model).to("meta")
    if tied:
        laid.tie_weights()
    make_room(laid, loaded.tokenizer, made)
    install(model, Matrices.of(model), changed, mean(Matrices.of(model).input, changed.pieces))
    assert {n: p.shape for n, p in laid.named_parameters()} == {n: p.shape for n, p in model.named_parameters()}
    assert all(p.is_meta for p in laid.parameters())


def test_spare_rows_of_the_model_are_used_first(longer):
    loaded, made, _ = longer
    assert change(loaded.tokenizer, made, 600).num_rows == 662
    assert change(loaded.tokenizer, made, 1000).num_rows == 1000


def test_auto_takes_the_rows_that_need_the_fewest_bits(longer, tseltal):
    loaded, made, _ = longer
    said: list[str] = []
    pairs = [(b, a) for a, b in tseltal[:300]]
    material = Material([b for b, _ in pairs], pairs, held([b for _, b in tseltal[300:340]]))
    chosen = adopt(loaded, made, "auto", material, Distilling(tokens=4000), said.append)
    found = dict(chosen.bits_per_byte)
    assert bits_per_byte(chosen.loaded, material.held) == pytest.approx(found[chosen.way], rel=1e-3)
    assert found.pop("base") == pytest.approx(
        bits_per_byte(load_model(loaded.base, dtype="float32"), material.held), rel=1e-3
    )
    assert set(found) == {"mean", "weighted", "distil"} and chosen.way == min(found, key=lambda way: found[way])
    assert any("new rows by distil" in line for line in said)
    again = adopt(
        load_model(loaded.base, dtype="float32"), made, "auto", material, Distilling(), said.append, rows=chosen.rows
    )
    assert torch.equal(
        again.loaded.model.get_input_embeddings().weight, chosen.loaded.model.get_input_embeddings().weight
    )


def test_states_after_new_tokens_are_those_after_their_old_spelling(longer, tseltal):
    """On sentences not read before: random rows are farther off than means, and means than distilled rows."""
    loaded, made, changed = longer
    model, cfg = loaded.model, Distilling(tokens=6000, epochs=2, depth=1.0)
    texts = [b for _, b in tseltal]
    found, unseen = (snippets(loaded.tokenizer, made, t, changed.fresh, cfg) for t in (texts[:300], texts[300:]))
    assert found and all(len(s.new) < len(s.old) for s in found)
    before = Matrices.of(model)

    @torch.no_grad()
    def states(rows, places):
        hidden = [
            model.get_decoder()(torch.tensor([row])).last_hidden_state[0, at]
            for row, at in zip(rows, places, strict=True)
        ]
        return torch.cat(hidden)

    def far() -> float:
        return float((states([s.new for s in unseen], [s.ends_new for s in unseen]) - wanted).pow(2).mean())

    wanted = states([s.old for s in unseen], [s.ends_old for s in unseen])
    distances = []
    for rows in (random(before.input, changed.pieces, 1), mean(before.input, changed.pieces)):
        install(model, before, changed, rows)
        distances.append(far())
    install(model, before, Change(512, [(i, i) for i in range(512)], [], []), before.input[:0])
    assert distilled(model, before, changed, found, cfg).shape == (150, 64)
    distances.append(far())
    assert distances[1] < 0.9 * distances[0] and distances[2] < 0.9 * distances[1]
    assert torch.equal(model.get_input_embeddings().weight[:512], before.input)


def test_states_are_matched_where_both_spellings_end(learned, tmp_path, tseltal):
    """SentencePiece sets a space before a text, and byte-level BPE does not: the same letters must stand before both places."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    texts = [b for _, b in tseltal[:200]]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    backend.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>"], show_progress=False))
    old = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>")
    new = load_model(learned).tokenizer
    found = snippets(old, new, texts, list(new.get_vocab().values()), Distilling(tokens=3000))
    assert len(found) > 20
    for s in found:
        for at_old, at_new in zip(s.ends_old, s.ends_new, strict=True):
            spelled = old.decode(s.old[1 : at_old + 1]), new.decode(s.new[1 : at_new + 1])
            assert spelled[0].strip() == spelled[1].strip()


def test_every_snippet_holds_a_token_that_is_wanted(longer, tseltal):
    """Also of texts longer than a snippet, in which the new token may stand behind the cut."""
    loaded, made, changed = longer
    texts = [b if n % 2 else "a b c d e f g h i j " * 3 + b for n, (_, b) in enumerate(tseltal[:100])]
    found = snippets(loaded.tokenizer, made, texts, changed.fresh, Distilling(longest=20))
    assert found and all(set(s.new) & set(changed.fresh) for s in found)


def test_rows_of_a_gpt2_are_distilled(learned, tmp_path, tseltal):
    """Its layers have another name than those of all others, and here its settings name tokens that are not there."""
    from transformers import GPT2Config, GPT2LMHeadModel

    loaded = load_model(learned, dtype="float32")
    texts = [b for _, b in tseltal[:100]]
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=512, n_positions=256, n_embd=32, n_layer=4, n_head=2, pad_token_id=-1)
    ).eval()
    loaded = replace(loaded, model=model)
    made = extended(
        loaded.tokenizer, learn(pre_tokens(loaded.tokenizer, texts), [], base_bpe(loaded.tokenizer, "x"), 30), tmp_path
    )
    adopted = adopt(loaded, made, "distil", Material(texts, [], []), Distilling(tokens=800), print)
    assert len(model.transformer.h) == 4 and model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert model.config.eos_token_id is None and model.config.pad_token_id is None
    means = mean(Matrices.of(model).input, adopted.changed.pieces)
    assert adopted.rows["input"].shape == (30, 32) and not torch.allclose(adopted.rows["input"], means, atol=1e-4)


def test_meaning_comes_from_the_words_that_translate(longer):
    loaded, made, changed = longer
    word = next(
        made.decode([n]).strip() for n in changed.fresh
        if made.convert_ids_to_tokens(n).startswith("Ġ") and len(made.encode(made.decode([n]))) == 1 and made.decode([n]).strip().isalpha()
    )  # fmt: skip
    number = made.encode(" " + word)[0]
    known = meanings(
        made, loaded.tokenizer, [f"x {word} x"], Lexicon({word: {"casa": 0.75, "agua": 0.25}}), changed.fresh
    )
    share, meant = known[number]
    assert share == 1.0 and [p for _, p in meant] == [0.75, 0.25]
    matrix = Matrices.of(loaded.model).input
    row = weighted(matrix, changed.pieces, changed.fresh, known)[changed.fresh.index(number)]
    said = sum(p * matrix[ids].mean(0) for ids, p in meant)
    own = matrix[changed.pieces[changed.fresh.index(number)]].mean(0)
    assert torch.allclose(row, (own + said) / 2, atol=1e-6)


def test_a_replaced_vocabulary_takes_over_what_is_spelled_alike(learned, tmp_path, tseltal):
    loaded = load_model(learned, dtype="float32")
    made = trained(loaded.tokenizer, [b for _, b in tseltal], "bpe", 450, "words", tmp_path)
    before = Matrices.of(loaded.model)
    adopted = adopt(loaded, made, "mean", Material([], [], []), Distilling(), print)
    after = loaded.model.get_input_embeddings().weight
    assert len(after) == len(made)
    for name in ("<|im_end|>", "Ġte", "á"):
        assert torch.equal(
            after[made.convert_tokens_to_ids(name)], before.input[loaded.tokenizer.convert_tokens_to_ids(name)]
        )
    assert loaded.model.config.eos_token_id == made.eos_token_id
    assert adopted.loaded.renderer.stop_ids == [made.convert_tokens_to_ids("<|im_end|>")]
    assert bits_per_byte(adopted.loaded, held([b for _, b in tseltal[300:320]])) < 8


def test_only_new_rows_learn_and_everything_comes_back(longer):
    loaded, _, changed = longer
    model, before = loaded.model, Matrices.of(loaded.model)
    install(model, before, changed, mean(before.input, changed.pieces))
    ids = torch.tensor([[1, 600, 520, 7, 600]])
    whole = model.get_input_embeddings().weight.detach().clone()
    with torch.no_grad():
        wanted = model(ids).logits
    only_rows(model, changed.fresh)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 150 * 64
    assert torch.allclose(model(ids).logits, wanted, atol=1e-5)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(ids).logits.logsumexp(-1).sum().backward()
    optimizer.step()
    with torch.no_grad():
        changed_logits = model(ids).logits
    all_rows(model)
    after = model.get_input_embeddings().weight
    assert torch.equal(after[:512], whole[:512]) and not torch.equal(after[512:], whole[512:])
    with torch.no_grad():
        assert torch.allclose(model(ids).logits, changed_logits, atol=1e-5)
    assert model.get_output_embeddings().weight is after


@pytest.fixture(scope="module")
def project(dictionary_project, learned) -> Project:
    """A project with composed chats and an extended tokenizer."""
    more = "[tokenizer.extend]\nsize = 60\nleast = 3\n"
    return Project(dictionary_project(learned, then=["tokenizer extend"], more=more))


@pytest.fixture(scope="module")
def model(project) -> Path:
    row = submit(project, "train", "embeddings", {**FEW, "distil_tokens": 400}, wait=True)
    return project.output(row.id)


def test_embeddings_trains_new_rows_and_then_all(project, model, learned):
    number = next(r for r in project.db.execute("select id from jobs where verb = 'train'"))[0]
    warm = [value for _, value in events.curve(project.db, number, "warm/valid_loss")]
    main = [value for _, value in events.curve(project.db, number, "valid_loss")]
    assert len(warm) == len(main) == 3
    assert main[0] == pytest.approx(min(warm), abs=2e-3)
    assert min(main) < main[0]
    rows = json.loads((model / "rows.json").read_text(encoding="utf-8"))
    assert rows["new_rows"] == 60 and rows["way"] in rows["bits_per_byte"]
    loaded = load_artifact(model)
    assert len(loaded.tokenizer) == 572 and json.loads((model / "model.json").read_text())["recipe"] == "embeddings"
    assert (
        len(generate_batch(loaded, [loaded.renderer.prompt_ids([Message("user", "x")])], Sampling(max_new_tokens=4)))
        == 1
    )
    old = load_model(learned, dtype="float32").model.get_input_embeddings().weight
    assert not torch.equal(
        load_model(model / "weights", dtype="float32").model.get_input_embeddings().weight[:512], old
    )


def test_the_forecast_knows_the_new_vocabulary_and_both_parts(project, model, capsys):
    words = ["plan", "train", "embeddings", "--steps", "10", "--warm-steps", "5", "--project", str(project.path)]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    trained = load_model(model / "weights", dtype="float32").model
    assert told["model_bytes"] == sum(4 * p.numel() for p in trained.parameters()) and told["steps"] == 15


def test_what_the_new_rows_alone_took_is_counted_in(project, copied, tmp_path):
    project = Project(copied(project.path, tmp_path / "project"))
    recipe = plugins.load("recipe", "embeddings")
    cfg = recipe.Config(**{**FEW, "samples": 0, "rows": "mean"})
    row = jobs.find_or_create(project.db, "train", "embeddings", "counted", cfg.model_dump(mode="json"), {})
    folder = project.runs / row.folder
    (folder / "output").mkdir(parents=True)
    inputs = {name: project.newest(kind) for name, kind in {**run.INPUTS, **recipe.INPUTS}.items()}
    job = Job(project, row.id, "train", "embeddings", folder, inputs, {"embeddings": (recipe, cfg)})
    recipe.train(cfg, Dataset.of(job, "dataset"), job)
    about = json.loads((job.output / "model.json").read_text(encoding="utf-8"))
    ends = [newest(folder / "checkpoints" / part) for part in ("warm", "")]
    states = [json.loads((end / "state.json").read_text(encoding="utf-8")) for end in ends]
    for name in ("tokens", "learned_tokens", "seconds"):
        assert about[name] == sum(state[name] for state in states) > states[1][name], name


def test_extended_model_is_certified_as_gguf(project, model):
    row = submit(project, "export", "gguf", {"parity_rows": 3, "parity_tokens": 6}, wait=True)
    certificate = json.loads((project.output(row.id) / "parity.json").read_text(encoding="utf-8"))
    assert certificate["result"] == "certified"
    assert Source(load_artifact(model), model, "x").is_tied()


def test_the_recipe_takes_the_newest_tokenizer_and_no_other_base(project, model, tiny_model):
    _, resolved, inputs = prepare(project, "train", "embeddings", {}, {}, None)
    assert resolved.inputs["vocabulary"] == "vocabulary" and inputs["vocabulary"]
    assert "vocabulary" not in prepare(project, "train", "lora", {}, {}, None)[2]
    assert [step.state for step in plan(project)] == ["done"] * 6
    module = plugins.load("recipe", "embeddings")
    job = SimpleNamespace(
        inputs={"vocabulary": project.newest("vocabulary")},
        project=SimpleNamespace(base="another", language="tzh", pivot="spa"),
    )
    with pytest.raises(EndonymError, match="was made for"):
        module._adopted(module.Config(), None, job, load_model(tiny_model, dtype="float32"))


def test_decide_compares_all_at_equal_computing(project):
    settings = {"sizes": [20, 60], "new_size": 400, "steps": 3, "batch_tokens": 512, "held": 12}
    row = submit(project, "tokenizer", "decide", settings, wait=True)
    folder = project.output(row.id)
    decision = json.loads((folder / "decision.json").read_text(encoding="utf-8"))
    names = [found["name"] for found in decision["candidates"]]
    assert names == ["keep", "extend 20", "extend 60", "new", "bytes"]
    by_name = dict(zip(names, decision["candidates"], strict=True))
    assert (
        by_name["extend 60"]["tokens_per_word"]
        < by_name["extend 20"]["tokens_per_word"]
        < by_name["keep"]["tokens_per_word"]
    )
    assert by_name["bytes"]["tokens_per_word"] > 4 and by_name["bytes"]["steps"] > by_name["keep"]["steps"]
    assert decision["choice"] in names and decision["advice"] in (folder / "decision.txt").read_text(encoding="utf-8")
    assert project.newest("vocabulary") != folder


def test_computing_not_steps_is_equal(learned, tmp_path):
    loaded = load_model(learned, dtype="float32")
    budget = Trial(flops_per_token(loaded.model) * 40 * 512, 512, 1e-3)
    assert num_steps(loaded.model, budget) == 40
    adopt(loaded, bytes_only(loaded.tokenizer, tmp_path), "mean", Material([], [], []), Distilling(), print)
    few = flops_per_token(loaded.model)
    assert num_steps(loaded.model, budget) == round(budget.flops / few / 512) > 40
