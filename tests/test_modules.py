"""Domain modules: adding and removing leaves no trace, the router is exact, what is frozen stays, and a run is used like every model."""

from __future__ import annotations

import io
import json
import math
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from endonym.cli.main import main
from endonym.data.dataset import Dataset
from endonym.errors import EndonymError
from endonym.jobs.submit import submit
from endonym.models.generate import Sampling, answer_nll, generate_batch
from endonym.models.load import Loaded, load_artifact, load_model
from endonym.models.nets.banked import attach, hash_of, load_module, save_module
from endonym.models.nets.domain_bank import About, DomainBank, Shape
from endonym.models.nets.router import Evidence, Router, terms
from endonym.models.nets.words import KEYS, bag, keys_of_row, log_odds, summed
from endonym.models.render import IGNORE, Example
from endonym.models.weights import weights_hash
from endonym.project import Project
from endonym.store import events
from endonym.store import jobs as rows
from endonym.train import preflight
from endonym.train.batches import pack
from endonym.train.domains import declared, label
from endonym.train.forecast import planned
from endonym.train.network import arithmetic, computing, ready
from endonym.train.recipes import modules
from endonym.types import Chat, Message

NAMES = ("law", "river", "song")
IDS = torch.randint(512, (3, 19), generator=torch.Generator().manual_seed(3))


def banked(folder: Path, names=NAMES, trained: bool = True) -> Loaded:
    """The tiny model with a bank of modules that change something, each made of its name alone."""
    loaded = load_model(folder, dtype="float32")
    bank = attach(loaded.model, Shape(router_layer=1, base_hash="x", unknown=0.0))
    for name in names:
        dice = torch.Generator().manual_seed(sum(map(ord, name)))
        member = bank.add(About(name=name, layers=[1], rank=4))
        texts = torch.randn(60, bank.width, generator=dice) * 0.1 + torch.randn(bank.width, generator=dice) * 0.02
        # Words of its own in four of five places.
        own = 90 * len(name) - 90 + torch.randint(90, (60, 24), generator=dice)
        ids = torch.where(torch.rand(60, 24, generator=dice) < 0.8, own, torch.randint(512, (60, 24), generator=dice))
        member.evidence.learn(texts[10:], texts[:10], ids[10:].tolist(), ids[:10].tolist())
        bank.note(name, held=10)
        for p in member.b.parameters() if trained else ():
            p.data.normal_(0, 0.3, generator=dice)
    bank.solve()
    loaded.model.eval()
    loaded.model.requires_grad_(False)
    return loaded


def logits(loaded: Loaded, ids: torch.Tensor = IDS) -> torch.Tensor:
    return loaded.model(input_ids=ids).logits


def test_new_modules_change_nothing_and_trained_ones_do(tiny_model):
    base = logits(load_model(tiny_model, dtype="float32"))
    assert torch.equal(logits(banked(tiny_model, trained=False)), base)
    loaded = banked(tiny_model)
    assert not torch.equal(logits(loaded), base) and loaded.model.bank.router.word_weight > 0
    with loaded.model.bank.without(*NAMES):
        assert torch.equal(logits(loaded), base)


def test_checks_before_training_are_not_rounded_where_a_router_chooses(tiny_model):
    """In bf16 a router may choose otherwise in a pack than alone: a head of vectors could not be trained on 15 modules for that."""
    found = []
    for model in (banked(tiny_model).model, load_model(tiny_model, dtype="float32").model):
        model.compute_dtype = torch.bfloat16
        check = preflight._unrounded(model, lambda m=model: preflight.Check(str(arithmetic(m)), True, ""))
        found.append((check.name, arithmetic(model)))
    assert found == [("torch.float32", torch.bfloat16), ("torch.bfloat16", torch.bfloat16)]


def test_a_module_that_is_off_or_removed_never_was(tiny_model):
    """Router included: it is solved anew from what is known of the modules that are left."""
    never = logits(banked(tiny_model, ("law", "song")))
    loaded = banked(tiny_model)
    bank: DomainBank = loaded.model.bank
    before = logits(loaded)
    with bank.without("river"):
        assert torch.equal(logits(loaded), never)
    assert torch.equal(logits(loaded), before) and not torch.equal(before, never)
    bank.remove("river")
    bank.solve()
    assert torch.equal(logits(loaded), never)


def test_modules_may_come_in_any_order(tiny_model):
    assert torch.equal(logits(banked(tiny_model, NAMES[::-1])), logits(banked(tiny_model)))


def test_saved_and_loaded_it_computes_bit_for_bit_the_same(tiny_model, tmp_path):
    loaded = banked(tiny_model)
    loaded.model.save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    again = load_model(tmp_path, dtype="float32")
    assert torch.equal(logits(again), logits(loaded)) and again.model.bank.shape == loaded.model.bank.shape
    narrow = load_model(tmp_path, dtype="bfloat16").model.bank
    assert {narrow.router.weight.dtype, narrow.member("law").evidence.mean.dtype} == {torch.float32}
    prompts = [[5, 6, 7, 8, 9], [7, 8], [9, 3, 4]]
    together = generate_batch(again, prompts, Sampling(max_new_tokens=8), batch_size=3)
    assert together == [generate_batch(again, [p], Sampling(max_new_tokens=8))[0] for p in prompts]


def test_token_by_token_the_router_sees_what_it_sees_at_once(tiny_model):
    """The mean of what was read goes with the cache of attention, also where rows are padded, repeated and picked."""
    from transformers import DynamicCache

    loaded = banked(tiny_model)
    loaded.model.bank.router.table.normal_()  # no two runs of words say the same
    model, whole = loaded.model, logits(loaded)
    cache = DynamicCache(config=model.config)
    parts = [model(input_ids=IDS[:, :7], past_key_values=cache, use_cache=True).logits]
    cache.batch_select_indices(torch.tensor([2, 0]))
    rows = IDS[[2, 0]]
    later = [model(input_ids=rows[:, t : t + 1], past_key_values=cache, use_cache=True).logits for t in range(7, 19)]
    assert torch.allclose(parts[0], whole[:, :7], atol=1e-5)
    assert torch.allclose(torch.cat(later, 1), whole[[2, 0], 7:], atol=1e-5)


def heard(loaded: Loaded, **given) -> torch.Tensor:
    """What the router is given of a pass, (rows, tokens, D + N + 1)."""
    bank: DomainBank = loaded.model.bank
    bank.tap = []
    with torch.no_grad():
        loaded.model.model(use_cache=False, **given)
    (flat,), bank.tap = bank.tap, None
    return flat.view(*given["input_ids"].shape, -1)


def test_the_router_never_looks_ahead(tiny_model):
    loaded = banked(tiny_model)
    other = IDS.clone()
    other[:, 12:] = 1
    assert torch.allclose(logits(loaded, other)[:, :12], logits(loaded)[:, :12], atol=1e-5)
    whole, changed = heard(loaded, input_ids=IDS), heard(loaded, input_ids=other)
    assert torch.equal(whole[:, :12], changed[:, :12]) and not torch.equal(whole[:, 12:], changed[:, 12:])


def test_a_row_says_the_same_alone_padded_and_in_a_pack(tiny_model):
    """Also where a pack has a beginning that rows share, and a text begins inside a row."""
    loaded = banked(tiny_model)
    loaded.model.bank.router.table.normal_()  # no two runs of words say the same
    own = torch.arange(4, 512, 7).tolist()
    rows = [own[:12] + own[20:29], own[:12] + own[40:44], own[30:47]]
    alone = [heard(loaded, input_ids=torch.tensor([row]))[0] for row in rows]
    for row, features in zip(rows, alone, strict=True):
        mask = torch.tensor([[0] * 5 + [1] * len(row)])
        places = (mask.cumsum(1) - 1).clamp(min=0)
        padded = heard(loaded, input_ids=torch.tensor([[9] * 5 + row]), attention_mask=mask, position_ids=places)
        assert torch.allclose(padded[0, 5:], features, atol=1e-5)
    labels = [[IGNORE] * 12 + rows[0][12:], [IGNORE] * 12 + rows[1][12:], rows[2]]
    examples = [Example(row, given) for row, given in zip(rows, labels, strict=True)]
    examples.append(Example(rows[1] + rows[2], rows[1] + rows[2], cuts=(len(rows[1]),)))
    ready(loaded, loaded.model)
    made = pack(examples, torch.device("cpu"))
    with computing(loaded.model):
        packed = heard(loaded, input_ids=made.ids, position_ids=made.positions, pieces=made.pieces)[0]
    assert any(piece.before for piece in made.pieces)
    wanted = [*zip(examples, alone, strict=False), (examples[3], torch.cat([alone[1], alone[2]]))]
    for example, features in wanted:
        for (of, first, last), piece in zip(made.laid, made.pieces, strict=True):
            if of is example:
                assert torch.allclose(packed[piece.start : piece.end], features[first:last], atol=1e-5)


def no_words(states: list[float], number: int) -> torch.Tensor:
    """Features of one state each that say nothing of words."""
    return torch.nn.functional.pad(torch.tensor(states)[:, None], (0, number + 1))


def test_ridge_regression_by_hand():
    """Two modules on one feature: means 1 and -1, variance 1 inside, so 2 in all; standardised means ±1/√2, correlation 1 + ridge."""
    texts = torch.tensor([[0.0], [2.0]])
    evidence = []
    for sign in (1.0, -1.0):
        made = Evidence(1, 0)
        made.learn(sign * texts, sign * texts)
        evidence.append(made)
    router = Router(2, 1)
    router.solve(evidence, ridge=1.0, unknown=0.0)
    weight = (1 / math.sqrt(2)) / 2 / (1 + 1)
    assert router.weight[:, 0].tolist() == pytest.approx([weight, -weight])
    assert router.scores(torch.tensor([[2.0, 0, 0, 0]]))[0].tolist() == pytest.approx(
        [0.5 + weight * 2**0.5, 0.5 - weight * 2**0.5]
    )
    router.solve(evidence, ridge=1.0, unknown=0.5)
    both = torch.ones(2, dtype=torch.bool)
    gates = router.gates(no_words([2.0, 0.0], 2), 1, both)
    assert gates.tolist() == [[1.0, 0.0], [0.0, 0.0]]  # in the middle between both it is of neither
    general = Evidence(1, 0)
    general.learn(9 * texts, texts)
    router.solve(evidence, ridge=1.0, unknown=0.0, general=general)
    assert router.gates(no_words([18.0, -2.0], 2), 1, both).tolist() == [[0.0, 0.0], [0.0, 1.0]]


def test_what_words_say_by_hand():
    """A has 5 twice of 3 tokens and B never of 1: the mean share is 1/3, and A has it 6 times as often as n = 1 would, smoothed by 1000."""
    counts = torch.stack([torch.bincount(keys_of_row([5, 6]).flatten(), minlength=KEYS) for _ in range(2)])
    counts[0] += torch.bincount(keys_of_row([5]).flatten(), minlength=KEYS)
    counts[1] -= torch.bincount(keys_of_row([5]).flatten(), minlength=KEYS)
    counts[1, keys_of_row([5, 6])[1, 1]] = 0  # B holds 6 after 5 in another way: never
    table = log_odds(counts)
    five, six = keys_of_row([5, 6])
    assert table[five[0]].tolist() == pytest.approx([math.log(1006 / 1003), math.log(1000 / 1001)], rel=1e-4)
    # 6 is a third of A and all of B: the mean is 2/3, and each has it once.
    assert table[six[0]].tolist() == pytest.approx([math.log(1001.5 / 1003), math.log(1001.5 / 1001)], rel=1e-4)
    # 6 after 5 is a third of A's pairs, and B has none at all.
    assert table[six[1]].tolist() == pytest.approx([math.log((1 / (1 / 6) + 1000) / 1003), 0.0], rel=1e-4)
    nobody = keys_of_row([7])[0, 0]
    assert table[nobody].tolist() == pytest.approx([math.log(1000 / 1003), math.log(1000 / 1001)], rel=1e-4)
    sums, lengths = summed(table, torch.stack([bag([6, 5]), bag([])]))
    assert lengths.tolist() == [2, 0] and not sums[1].any()
    kept = bag(range(90, 50, -1)).tolist()
    assert kept[:80] == sorted(kept[:80]) and set(kept[80:]) == {-1}  # no order of words is given away
    assert torch.allclose(sums[0], table[keys_of_row([6, 5]).flatten()].sum(0))


def test_a_score_of_states_and_words_by_hand():
    router = Router(2, 1)
    router.weight.data = torch.tensor([[2.0], [-2.0]])
    router.word_weight.fill_(0.5)
    router.word_power.fill_(0.5)
    # Of four tokens the mean state is 3, and the sums of words are 8, -4 and, for general text, 2; over the root of 4.
    features = router.features(torch.tensor([12.0, 8.0, -4.0, 2.0]), torch.tensor(4))
    assert features.tolist() == [3.0, 4.0, -2.0, 1.0]
    assert router.scores(features).tolist() == [6 + 2, -6 - 1]
    router.general_bias.fill_(7.0)
    assert router.floor(features) == 7.5


def test_words_tell_modules_apart_where_states_cannot_and_unseen_words_are_of_none():
    """All states are alike. Of each module's held texts at most one falls below the threshold, and of others every one."""
    dice = torch.Generator().manual_seed(5)
    often = {n: torch.rand(9, generator=dice).cumsum(0) for n in (1, 2, 3)}
    rows = {n: (10 * n + torch.multinomial(often[n], 120, True, generator=dice).view(6, 20)).tolist() for n in often}
    rows[1][0][3], rows[2][0][3] = 20, 10
    evidence = [Evidence(1, 0), Evidence(1, 0)]
    for n, made in enumerate(evidence, 1):
        made.learn(torch.zeros(6, 1), torch.zeros(6, 1), rows[n], rows[n])
    router = Router(2, 1)
    router.solve(evidence, ridge=0.1, unknown=0.05)
    sent = []
    for n in (1, 2, 3):
        sums = torch.stack([router.table[keys_of_row(row).flatten()].sum(0) for row in rows[n]])
        features = router.features(torch.cat([torch.zeros(6, 1), sums], dim=-1), torch.full((6,), 20))
        sent.append(router.gates(features, 1, torch.ones(2, dtype=torch.bool)).sum(0).tolist())
    assert sent[0][0] + sent[1][1] >= 11 and sent[0][1] == sent[1][0] == 0 and sent[2] == [0, 0]


def test_general_texts_are_kept_from_the_modules_as_far_as_is_asked_for():
    """Of four held general features that are like a module's, half may pass, and a feature that leads by more than they do goes on to it."""
    evidence = [Evidence(1, 0), Evidence(1, 0), Evidence(1, 0)]
    for made, centre in zip(evidence, (8.0, -8.0, 0.0), strict=True):
        made.learn(centre + torch.tensor([[-1.0], [1.0]]), torch.tensor([[5.0], [6.0], [7.0], [8.0]]))
    router, both = Router(2, 1), torch.ones(2, dtype=torch.bool)
    sent = []
    for passed in (1.0, 0.5, 0.01):
        router.solve(evidence[:2], 0.1, 0.0, evidence[2], passed)
        gates = router.gates(no_words([5.0, 6.0, 7.0, 8.0, 12.0, -12.0], 2), 1, both)
        sent.append(gates.sum(-1).tolist())
    assert sent == [[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1]]


def test_several_modules_share_a_token_as_their_scores_say():
    router = Router(3, 1)
    router.bias.data = torch.tensor([0.0, math.log(3), -9.0])
    router.threshold.fill_(-9)
    gates = router.gates(torch.zeros(1, 5), 2, torch.tensor([True, True, True]))
    assert gates[0].tolist() == pytest.approx([0.25, 0.75, 0.0])
    gates = router.gates(torch.zeros(1, 5), 2, torch.tensor([True, False, True]))
    assert gates[0, 1] == 0 and gates[0].sum() == 1


def test_the_terms_of_the_router_by_hand():
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0], [0.0, math.log(3)]])
    found = terms(logits, torch.tensor([0, -1, 0]), torch.tensor([0.75, 0.25]))
    assert float(found.alignment) == pytest.approx(-math.log(3 / 4) - math.log(1 / 4))
    # Given to the first 3/4, 1/2 and 1/4 and to the second the rest: 2 (0.75 (3/2) + 0.25 (3/2)).
    assert float(found.balance) == pytest.approx(3.0)
    assert float(found.z) == pytest.approx(2 * math.log(4) ** 2 + math.log(2) ** 2)
    skewed = terms(logits[:1], torch.tensor([0]), torch.tensor([0.75, 0.25]))
    assert float(skewed.balance) == pytest.approx(2 * (0.75 * 0.75 + 0.25 * 0.25))


def test_balance_punishes_a_router_that_gives_all_to_a_large_module():
    shares = torch.tensor([0.8, 0.2])
    weight = torch.zeros(2, requires_grad=True)
    terms(weight[None], torch.tensor([-1]), shares).balance.backward()
    assert weight.grad[0] > 0 > weight.grad[1]


def test_a_module_as_a_file_of_its_own(tiny_model, tmp_path):
    loaded = banked(tiny_model)
    bank: DomainBank = loaded.model.bank
    whole, before = logits(loaded), hash_of(bank.member("river"))
    save_module(bank, "river", tmp_path / "river.safetensors")
    other = banked(tiny_model, ("law", "song"))
    load_module(other.model.bank, tmp_path / "river.safetensors")
    other.model.bank.solve()
    assert torch.equal(logits(other), whole) and hash_of(other.model.bank.member("river")) == before
    with pytest.raises(EndonymError, match="'river' already"):
        load_module(other.model.bank, tmp_path / "river.safetensors")
    stranger = load_model(tiny_model, dtype="float32")
    strange = attach(stranger.model, Shape(router_layer=1, base_hash="y"))
    with pytest.raises(EndonymError, match="another base: x"):
        load_module(strange, tmp_path / "river.safetensors")
    with pytest.raises(EndonymError, match="Did you mean 'river'"):
        bank.member("rivr")


def test_what_an_earlier_version_wrote_is_refused(tiny_model, tmp_path):
    """Its router would be read as one that knows no words."""
    loaded = banked(tiny_model)
    loaded.model.save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    about = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    del about["domain_bank"]["version"]
    (tmp_path / "config.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(EndonymError, match="earlier version of Endonym") as error:
        load_model(tmp_path, dtype="float32")
    assert "endonym train modules" in str(error.value)
    file = tmp_path / "river.safetensors"
    save_file({"x": torch.zeros(1)}, file, metadata={"format": "endonym domain module 1"})
    with pytest.raises(EndonymError, match="earlier version of Endonym"):
        load_module(loaded.model.bank, file)


def test_a_tuned_router_only_loses_the_words_of_a_module_that_is_removed(tiny_model):
    bank: DomainBank = banked(tiny_model).model.bank
    bank.shape = bank.shape.model_copy(update={"router": "tuned"})
    before = bank.router.table.clone()
    bank.remove("river")
    bank.solve()
    assert torch.equal(bank.router.table, before[:, [0, 2, 3]])


def chat(text: str, origin: str) -> Chat:
    return Chat(f"{origin} {text}", (Message("assistant", text),), origin)


def test_texts_are_labelled_by_source_then_by_keywords(tmp_path):
    (tmp_path / "modules.toml").write_text(
        '[[module]]\nname = "law"\nsources = ["raw/law*.txt"]\nkeywords = ["court", "judge"]\n'
        '[[module]]\nname = "river"\nkeywords = ["water", "boat"]\n[[module]]\nname = "trade"\nsources = ["raw/law2.txt"]\nkeywords = ["boat"]\n',
        encoding="utf-8",
    )
    found = declared(["modules.toml"], tmp_path)
    texts = [
        chat("the boat", "raw/law1.txt:3"), chat("The Courts and the boat", "raw/law2.txt:1"), chat("waterfalls", "a.txt:1"),
        chat("the boat", "a.txt:2"), chat("underwater", "a.txt:3"),
    ]  # fmt: skip
    found = label(texts, found)
    # The second is claimed by two, and the words of both say nothing; the fourth has a keyword of two; the last has one inside a word.
    assert [found.module.get(t.id) for t in texts] == ["law", None, "river", None, None]
    assert found.counted() == "1 by keywords, 1 by source"
    (tmp_path / "bad.toml").write_text(
        '[[module]]\nname = "a b"\nkeyword = ["x"]\n[[module]]\nname = "c"\n', encoding="utf-8"
    )
    with pytest.raises(EndonymError) as error:
        declared(["bad.toml"], tmp_path)
    assert all(words in str(error.value) for words in ("unknown setting 'keyword'", "neither sources nor keywords"))


FEW = {
    "steps": 8,
    "batch_size": 8,
    "evaluate_every": 4,
    "save_every": 4,
    "valid_rows": 8,
    "samples": 1,
    "learning_rate": 1e-2,
}


@pytest.fixture
def project(field) -> Project:
    return field[0]


@pytest.fixture
def foundation(field) -> Path:
    return field[1]


def told(project: Project, text: str) -> bool:
    row = max(row.id for row in rows.listing(project.db))
    return any(text in e.data["text"] for e in events.since(project.db, row) if e.kind == "log")


def test_a_run_trains_modules_on_a_base_that_stays_as_it_is(project, foundation, tiny_model):
    loaded, base = load_artifact(foundation, "float32"), load_model(tiny_model, dtype="float32")
    bank: DomainBank = loaded.model.bank
    assert bank.names == ["law", "sentences"] and hash_of(loaded.model) == hash_of(base.model)
    chats = [c for c in Dataset(project.newest("chats"), "train").records("valid") if c.answer][:9]
    whole, without = answer_nll(loaded, chats), answer_nll(base, chats)
    assert sum(n for n, _ in whole) < sum(n for n, _ in without)
    with bank.without(*bank.names):
        assert answer_nll(loaded, chats) == without
    about = json.loads((foundation / "model.json").read_text(encoding="utf-8"))
    assert about["trained_parameters"] == bank.num_weights == 2 * 2 * 4 * sum(map(sum, bank.sizes.values()))
    assert about["recipe"] == "modules" and bank.shape.base_hash == weights_hash(tiny_model)
    found = json.loads((foundation / "modules.json").read_text(encoding="utf-8"))
    assert found["bits_per_byte"] < found["bits_per_byte_without_modules"]
    assert {m["name"]: m["verdict"] for m in found["modules"]}["sentences"] == "earns"


def test_what_was_trained_is_exported_and_asked_as_every_model(project, foundation):
    """Exports answer as the live model, `serve` answers from the artifact, and what no runtime can do is refused in words."""
    from endonym.serve.answer import Params
    from endonym.serve.backends import transformers as backend

    model = int(foundation.parent.name[:4])
    few = {"parity_rows": 2, "parity_tokens": 4}
    for form in ("merged", "onnx"):
        row = submit(project, "export", form, few, inputs={"model": model}, wait=True)
        certificate = json.loads((project.output(row.id) / "parity.json").read_text(encoding="utf-8"))
        assert certificate["text"]["identical"] == 2 and certificate["max_logit_gap"] < 1e-4
    engine = backend.load(foundation, backend.Config(dtype="float32"))
    assert "".join(engine.generate("buenos días", Params(max_tokens=4)).pieces)
    with pytest.raises(EndonymError, match="Llama family"):
        submit(project, "export", "gguf", few, inputs={"model": model}, wait=True)


def test_a_module_is_added_to_a_trained_model_and_the_others_stay(project, foundation):
    row = submit(project, "train", "modules", {**FEW, "model": str(foundation)}, wait=True)
    assert told(project, "unchanged, by their hashes: law, sentences, the base")
    before, after = load_artifact(foundation, "float32").model, load_artifact(project.output(row.id), "float32").model
    assert after.bank.names == ["law", "sentences", "words"]
    assert all(hash_of(after.bank.member(n)) == hash_of(before.bank.member(n)) for n in before.bank.names)
    after.bank.remove("words")
    after.bank.solve()
    assert torch.equal(after(input_ids=IDS).logits, before(input_ids=IDS).logits)
    ledger = [json.loads(line) for line in (project.output(row.id) / "ledger.jsonl").read_text().splitlines()]
    assert {line["detail"] for line in ledger} >= {"of the module sentences, which does not learn"}


def test_a_module_alone_and_a_tuned_router(project, foundation):
    """A module begins alike and has the same texts whoever else learns; every term of the loss is told."""
    (project.path / "general.txt").write_text("The river is long.\nWater is cold.\nWho sings?\n", encoding="utf-8")
    own = {
        **FEW,
        "declared": ["two.toml"],
        "router_layer": 0,
        "general": ["general.txt"],
        "only": ["sentences"],
        "tune_router": True,
    }
    row = submit(project, "train", "modules", own, wait=True)
    for name in ("language", "alignment", "balance", "z"):
        assert [step for step, _ in events.curve(project.db, row.id, f"{name}_loss")] == [4, 8]
    before, after = (load_artifact(f, "float32").model.bank for f in (foundation, project.output(row.id)))
    assert not any(p.any() for p in after.member("law").b.parameters())
    assert any(p.any() for p in after.member("sentences").b.parameters())
    assert hash_of(after.member("sentences").evidence) == hash_of(before.member("sentences").evidence)
    assert after.shape.general > 0 == before.shape.general
    assert after.shape.router == "tuned" and not torch.equal(after.router.weight, before.router.weight)
    with pytest.raises(EndonymError, match="no module 'sung' to train"):
        submit(project, "train", "modules", {**own, "only": ["sung"]}, wait=True)


def test_what_a_run_needs_is_told_before_it_starts(project):
    data = Dataset(project.newest("chats"), "train")
    found, _ = planned("modules", modules, modules.Config(**FEW, router_layer=0), data, project, {})
    assert found.memory.activations > 0 and found.checkpoint_bytes > 0


def command(*words: str) -> dict:
    """What `endonym modules` prints as JSON."""
    said = io.StringIO()
    with redirect_stdout(said):
        assert main(["modules", *words, "--json"]) == 0
    return json.loads(said.getvalue())


def refused(*words: str) -> str:
    """What `endonym modules` says when it refuses."""
    said = io.StringIO()
    with redirect_stdout(said):
        assert main(["modules", *words, "--json"]) != 0
    return json.loads(said.getvalue())["error"]["message"]


def test_a_module_leaves_a_model_and_comes_back_worth_what_it_was(project, foundation, tmp_path):
    where = ("--project", str(project.path))
    assert [m["name"] for m in command("ls", "--model", str(foundation), *where)["modules"]] == ["law", "sentences"]
    assert command("ls", "--model", foundation.parent.name, *where)["model"] == str(foundation), "as a run"
    command("export", "sentences", "--model", str(foundation), "--to", str(tmp_path / "files"), *where)
    command("remove", "sentences", "--model", str(foundation), "--to", str(tmp_path / "less"), *where)
    file = str(tmp_path / "files" / "sentences.safetensors")
    command("import", file, "--model", str(tmp_path / "less"), "--to", str(tmp_path / "again"), *where)
    found = [command("ablate", "--model", str(folder), *where) for folder in (foundation, tmp_path / "again")]
    written = json.loads((foundation / "modules.json").read_text(encoding="utf-8"))
    assert found[0]["modules"] == found[1]["modules"] and found[0]["routing"] == found[1]["routing"]
    assert found[0]["modules"][1]["worth"]["value"] == pytest.approx(written["modules"][1]["worth"]["value"], rel=5e-3)
    assert "there already" in refused(
        "remove", "law", "--model", str(foundation), "--to", str(tmp_path / "less"), *where
    )
    assert "no model with modules" in refused("ls", "--model", str(tmp_path), *where)
