"""The evaluation itself: sealed test, same questions for every system, honest baselines, and no question asked twice."""

from __future__ import annotations

import itertools
import json
import math
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from endonym import plugins
from endonym.data.dataset import Dataset, DatasetWriter
from endonym.errors import DataError
from endonym.evaluate import run as evaluate
from endonym.evaluate import systems as asking
from endonym.evaluate.items import collect, sealed
from endonym.evaluate.outputs import Outputs
from endonym.models.generate import PASS, alike
from endonym.retrieve.context import Context
from endonym.types import Chat, Entry, Message, Pair, Sense


@pytest.fixture(scope="module")
def split(tmp_path_factory, tseltal) -> Path:
    """A split dataset of real pairs and a few real entries: 300 pairs to learn from, 24 sealed."""
    folder = tmp_path_factory.mktemp("split")
    with DatasetWriter(folder) as out:
        for number, (spanish, tseltal_text) in enumerate(tseltal[:324]):
            where = "train" if number < 300 else "test"
            out.keep(Pair(f"p{number}", spanish, tseltal_text, "spa", "tzh", f"tseltal.tsv:{number + 2}"), where)
        entries = [("na", "casa"), ("k'op", "palabra; asunto"), ("ha'", "agua"), ("winik", "hombre")]
        for number, (headword, meaning) in enumerate(entries):
            entry = Entry(f"e{number}", headword, "tzh", (Sense(meaning, "spa"),), f"entries:{number}")
            out.keep(entry, "train" if number < 2 else "test")
        out.keep_empty("valid")
    return folder


class FakeJob(SimpleNamespace):
    """A job that keeps what it is told; its stage code is the real one."""

    def cancelled(self) -> bool:
        self.asked = getattr(self, "asked", 0) + 1
        return self.asked > getattr(self, "patience", 10**9)

    def log(self, text: str) -> None:
        pass

    def tick(self, done: float, total: float, unit: str = "", **values) -> None:
        self.ticks = (done, total)

    def summary(self, **values) -> None:
        self.results = values


def make_job(verb: str, kind: str, names: list[str], inputs: dict[str, Path], output: Path, base: Path) -> FakeJob:
    modules = {name: plugins.load(kind, name) for name in names}
    project = SimpleNamespace(path=output.parent, language="tzh", pivot="spa", base=str(base), seed=20)
    return FakeJob(
        id=1,
        verb=verb,
        project=project,
        inputs=inputs,
        output=output,
        plugins={n: (m, m.Config()) for n, m in modules.items()},
    )


@pytest.fixture(scope="module")
def chats(tmp_path_factory, split, tiny_model) -> Path:
    from endonym.compose import run as compose

    folder = tmp_path_factory.mktemp("chats")
    compose.run(
        compose.Config(), make_job("compose", "task", ["translate", "lookup"], {"dataset": split}, folder, tiny_model)
    )
    return folder


def evaluation(folder: Path, split: Path, chats: Path, base: Path, **settings) -> FakeJob:
    folder.mkdir(parents=True, exist_ok=True)
    return make_job("evaluate", "metric", evaluate.DEFAULT, {"dataset": split, "chats": chats}, folder, base)


@pytest.fixture(scope="module")
def scores(tmp_path_factory, split, chats, tiny_model) -> Path:
    """A finished evaluation of the tiny model and all baselines."""
    job = evaluation(tmp_path_factory.mktemp("scores"), split, chats, tiny_model)
    evaluate.run(evaluate.Config(max_new_tokens=8, batch_size=8), job)
    return job.output


def test_every_number_has_interval_signature_baseline_and_hashes(scores):
    data = json.loads((scores / "scores.json").read_text(encoding="utf-8"))
    for row in data["rows"]:
        assert row["low"] <= row["value"] <= row["high"], row
        assert "|" in row["signature"] and row["n"] > 0
        assert len(row["data_hash"]) == 64 and row["model_hash"]
    systems = {(row["system"], row["metric"]) for row in data["rows"] if row["task"] == "translate"}
    assert {(s, "chrf") for s in ("base", "copy", "dictionary", "memory")} <= systems
    assert {(s, "bits_per_byte") for s in ("base", "ppm")} <= systems
    assert ("copy", "bits_per_byte") not in systems and ("ppm", "chrf") not in systems
    lookups = {row["system"] for row in data["rows"] if (row["task"], row["metric"]) == ("lookup", "exact")}
    assert {"base", "copy", "dictionary"} <= lookups


def test_baselines_use_what_was_learned_and_only_that(scores, tseltal):
    rows = [json.loads(line) for line in (scores / "outputs.jsonl").read_text(encoding="utf-8").splitlines()]
    memory = [row["text"] for row in rows if row["system"] == "memory"]
    known = {text for pair in tseltal[:300] for text in pair} | {""}
    assert len(memory) == 48 and set(memory) <= known and len(set(memory)) > 20
    assert all(row["text"] == row["source"] for row in rows if row["system"] == "copy")
    data = json.loads((scores / "scores.json").read_text(encoding="utf-8"))
    chrf = {(r["system"], r["direction"]): r["value"] for r in data["rows"] if r["metric"] == "chrf"}
    for direction in ("spa>tzh", "tzh>spa"):
        assert chrf["dictionary", direction] > chrf["copy", direction]
        assert chrf["memory", direction] > chrf["copy", direction]


def test_interrupted_evaluation_goes_on_and_asks_nothing_twice(tmp_path, split, chats, tiny_model, scores, monkeypatch):
    cfg = evaluate.Config(max_new_tokens=8, batch_size=8)
    job = evaluation(tmp_path / "out", split, chats, tiny_model)
    job.patience = 20
    evaluate.run(cfg, job)
    assert not (job.output / "scores.json").exists()
    done = (job.output / "outputs.jsonl").read_bytes()
    assert done
    # A crash leaves half a line behind.
    (job.output / "outputs.jsonl").write_bytes(done + b'{"system": "base", "task"')
    asked: list[str] = []
    original = asking.ask_model

    def counting(loaded, items, asked_, bare):
        asked.extend(item.id for item in items)
        return original(loaded, items, asked_, bare)

    monkeypatch.setattr(asking, "ask_model", counting)
    module = job.plugins["memorisation"][0]
    continued = module.ask

    def counting_own(loaded, items, cfg_):
        asked.extend(item.id for item in items)
        return continued(loaded, items, cfg_)

    monkeypatch.setattr(module, "ask", counting_own)
    job.patience = 10**9
    evaluate.run(cfg, job)
    lines = [json.loads(line) for line in (job.output / "outputs.jsonl").read_text(encoding="utf-8").splitlines()]
    keys = [(row["system"], row["task"], row["id"]) for row in lines]
    assert len(keys) == len(set(keys))
    finished_before = sum(json.loads(line)["system"] == "base" for line in done.decode().splitlines())
    assert len(asked) == sum(key[0] == "base" for key in keys) - finished_before
    assert finished_before > 0
    again = json.loads((job.output / "scores.json").read_text(encoding="utf-8"))
    whole = json.loads((scores / "scores.json").read_text(encoding="utf-8"))
    assert again["data_hash"] == whole["data_hash"]
    for one, two in zip(again["rows"], whole["rows"], strict=True):
        assert one["value"] == two["value"], one


def test_bare_prompts_are_asked_when_wished(tmp_path, split, chats, tiny_model):
    job = evaluation(tmp_path, split, chats, tiny_model)
    cfg = evaluate.Config(max_new_tokens=2, max_items=4, baselines=[], also_without_hints=True, tasks=["translate"])
    evaluate.run(cfg, job)
    rows = [json.loads(line) for line in (tmp_path / "outputs.jsonl").read_text(encoding="utf-8").splitlines()]
    hinted = {row["id"]: row["prompt"] for row in rows if (row["system"], row["task"]) == ("base", "translate")}
    bare = {row["id"]: row["prompt"] for row in rows if row["system"] == "base (no hints)"}
    assert len(hinted) == len(bare) == 8
    assert all(len(bare[i]) < len(hinted[i]) for i in hinted)


def chat(answer: str, source: str = "casa", name: str = "1", **meta) -> Chat:
    messages = (Message("user", f"¿{source}?"), Message("assistant", answer))
    about = {"direction": "spa>tzh", "source": source, **meta}
    return Chat(name, messages, "x:1", "lookup", "tzh", meta=about)


def test_answers_to_the_same_question_are_all_right():
    items = collect(
        [(chat("na", name="1"), None), (chat("ch'uj na", name="2"), None), (chat("ha'", "agua", "3"), None)], 0
    )
    assert items[0].references == ("na", "ch'uj na") and items[1].references == ("ch'uj na", "na")
    assert items[2].references == ("ha'",)
    assert collect([(chat("na", accepted=["na", "nah"]), None)], 0)[0].references == ("na", "nah")


def test_sampling_is_the_same_every_time(split, chats):
    def drawn(seed: int) -> list[str]:
        test = sealed(Dataset(split, "evaluate"), Context.load(chats, split), (), max_items=5, seed=seed)
        return [item.id for item in test]

    assert drawn(20) == drawn(20) != drawn(1)


def test_ppm_is_the_difference_in_compressed_size(tmp_path):
    import pyppmd

    train = ["te winik la sman ixim", "te ants la schon ixim", "la yil te na te winik"] * 5
    answers = ["te winik la yil te ants", "la sman te na", "te ants la sman ixim"]
    with DatasetWriter(tmp_path) as out:
        for number, text in enumerate(train):
            out.keep(Pair(str(number), "x", text, "spa", "tzh", "a:1"), "train")
    module = plugins.load("baseline", "ppm")
    cfg = module.Config(order=4, memory_mib=1)
    nats = module.prepare(Dataset(tmp_path, "evaluate"), cfg)([chat(answer) for answer in answers])

    def compressed(text: str) -> int:
        encoder = pyppmd.Ppmd7Encoder(4, 1 << 20)
        return len(encoder.encode(text.encode()))

    read = "".join(f"{line}\n" for line in train)
    bytes_spent = [value / math.log(2) / 8 for value in nats]
    assert bytes_spent[0] == pytest.approx(compressed(read + answers[0]) - compressed(read))
    whole = compressed(read + "".join(f"{answer}\n" for answer in answers)) - compressed(read)
    assert sum(bytes_spent) <= whole <= sum(bytes_spent) + len(answers) + 1
    unprimed = sum(len(answer.encode()) for answer in answers)
    assert sum(bytes_spent) < 0.5 * unprimed


def test_outputs_keep_text_with_any_line_separator(tmp_path):
    """U+2028 and U+0085 are text, not ends of lines."""
    [item] = collect([(chat("na"), None)], 0)
    path = tmp_path / "outputs.jsonl"
    Outputs(path).add("base", [item], [{"text": "uno\u2028dos\u0085tres\ncuatro"}])
    assert Outputs(path).get("base", item)["text"] == "uno\u2028dos\u0085tres\ncuatro"


def test_an_answer_may_be_as_long_as_the_longest_learned_one(split, chats, tiny_model):
    from endonym.models.load import load_model

    loaded = load_model(tiny_model)
    lengths = asking.answer_lengths(Dataset(chats, "evaluate"))
    longest = max(len(r.answer) for r in Dataset(chats, "evaluate").records("train") if r.task == "translate")
    [item] = collect([(chat("na"), None)], 0)
    asked = asking.Asked({("lookup", "spa>tzh"): 20}, 96, 8, frozenset(), {}, 0.6, 0, lambda: False)
    rate = len(loaded.renderer.answer_ids("na")) / 2
    assert asking.token_limit(loaded, [item], asked) == 20 * rate + 8
    assert max(lengths["translate", "spa>tzh"], lengths["translate", "tzh>spa"]) == longest
    unknown = asking.Asked({}, 96, 8, frozenset(), {}, 0.6, 0, lambda: False)
    assert asking.token_limit(loaded, [item], unknown) == 96


@pytest.mark.parametrize("seed", range(3))
def test_batches_cost_as_little_as_any_division_of_the_sorted_rows(seed):
    dice = random.Random(seed)
    lengths = [dice.choice([3, 20, 40, 200]) + dice.randrange(9) for _ in range(9)]
    cpu, limit = torch.device("cpu"), 150
    batches = alike(lengths, limit, cpu)
    in_order = sorted(lengths)
    assert [lengths[i] for batch in batches for i in batch] == in_order
    assert sorted(i for batch in batches for i in batch) == list(range(9))

    def cost(parts):
        if any(max(part) * len(part) > limit and len(part) > 1 for part in parts):
            return math.inf
        return sum(max(part) * len(part) + PASS for part in parts)

    def division(cuts):
        ends = [0, *(n for n in range(1, 9) if cuts >> n & 1), 9]
        return [in_order[a:b] for a, b in itertools.pairwise(ends)]

    least = min(cost(division(cuts)) for cuts in range(0, 2**9, 2))
    assert cost([[lengths[i] for i in batch] for batch in batches]) == least


def test_batches_of_a_gpu_are_filled():
    batches = alike([5, 300, 10, 7, 290], 1200, torch.device("cuda"))
    assert [len(batch) for batch in batches] in ([1, 4], [2, 3], [3, 2], [4, 1])


def test_questions_that_share_an_id_are_refused_and_pairs_of_one_language_make_none():
    there = Chat("same", (Message("user", "one"), Message("assistant", "two")), "raw/a.tsv:1", "embed")
    back = Chat("same", (Message("user", "two"), Message("assistant", "one")), "raw/a.tsv:1", "embed")
    with pytest.raises(DataError, match="two questions of the task 'embed' have the id 'same'"):
        collect([(there, None), (back, None)], 0)
    embed = plugins.load("task", "embed")
    pairs = [Pair("p", "Who came?", "Juan came.", "eng", other, "raw/a.tsv:1") for other in ("eng", "tzh")]
    asked = [[c.meta["source"] for c in embed.compose(pair, embed.Config(), None)] for pair in pairs]
    assert asked == [["Who came?"], ["Who came?", "Juan came."]]
