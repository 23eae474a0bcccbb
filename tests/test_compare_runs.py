"""Runs side by side: facts of training, honest winners, refusal of unlike tests, and the metrics of forgetting and memorisation."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from endonym import plugins
from endonym.cli.main import main
from endonym.cli.stage import given_inputs
from endonym.compare import beside, page, runs, winners
from endonym.compare.significance import Comparison
from endonym.data.dataset import Dataset, DatasetWriter
from endonym.data.statistics import Difference, holm, share_difference, wilson
from endonym.errors import EndonymError, MissingError, UsageError
from endonym.evaluate import systems as asking
from endonym.evaluate.items import Item, make_run
from endonym.evaluate.own import Material
from endonym.jobs.submit import submit
from endonym.models.generate import decoder
from endonym.models.load import load_model
from endonym.models.render import IGNORE
from endonym.project import Project
from endonym.store import jobs
from endonym.types import Chat, Message, Pair, record_id

FEW = {"steps": 6, "batch_size": 8, "evaluate_every": 3, "save_every": 6, "valid_rows": 8, "samples": 0}
ASKED = {"samples": 0, "max_new_tokens": 12, "baselines": ["copy"], "max_items": 12}
TEXTS = page.strings("en", Path("nowhere"))
forgetting, memorisation = plugins.load("metric", "forgetting"), plugins.load("metric", "memorisation")


@pytest.fixture(scope="module")
def project(split_project, tseltal) -> Project:
    """A project with two trained models of one test, the first of them evaluated."""
    project = split_project(tseltal[:160])
    submit(project, "compose", settings={"plugins": ["translate"]}, wait=True)
    lora = submit(project, "train", "lora", FEW, wait=True)
    submit(project, "train", "scratch", {**FEW, "size": 0.25}, wait=True)
    submit(project, "evaluate", settings=ASKED, inputs={"model": lora.id}, wait=True)
    return project


def words(project: Project, *given: str) -> list[str]:
    return [*given, "--project", str(project.path), "--quiet"]


def test_runs_stand_side_by_side_in_terminal_page_and_data(project, capsys):
    lora, scratch = (row["job"] for row in jobs.artifacts(project.db, "model"))
    command = f"endonym evaluate --input model={scratch}"
    with pytest.raises(MissingError) as refused:
        submit(project, "compare", settings={"runs": [lora, scratch]}, wait=True)
    assert refused.value.hint == f"Evaluate it with: {command}"
    options = [f"--{key.replace('_', '-')}={'copy' if value == ['copy'] else value}" for key, value in ASKED.items()]
    assert main(words(project, *command.split()[1:], *options)) == 0
    folder = jobs.get(project.db, scratch).folder
    capsys.readouterr()
    assert main(words(project, "compare", str(lora), "--resamples", "200", folder)) == 0
    shown = capsys.readouterr().out.splitlines()
    assert any(line.split() == [str(lora), "lora", str(scratch), "scratch"] for line in shown)
    assert any(line.split()[:3] == ["Recipe", "lora", "scratch"] for line in shown)
    output = project.newest("report")
    found = json.loads((output / "comparisons.json").read_text(encoding="utf-8"))["runs"]
    first, second = found["runs"]
    check_facts(first, second)
    measured = {(m["metric"], m["direction"]) for m in found["measures"]}
    assert {("chrf", "spa>tzh"), ("bleu", "tzh>spa"), ("bits_per_byte", "spa>tzh"), ("forgetting", "spa")} <= measured
    for measure in found["measures"]:
        assert set(measure["values"]) == {f"{lora} lora", f"{scratch} scratch"}
        assert bool(measure["winner"]) == (not measure["unbeaten"])
    html = (output / "report.html").read_text(encoding="utf-8")
    assert "Runs side by side" in html and 'class="line run1 valid"' in html and 'class="line run0 train"' in html
    assert "no correction for several is needed" in html


def check_facts(lora, scratch):
    """What `FEW` steps on the tiny model must have left."""
    assert (lora["recipe"], scratch["recipe"]) == ("lora", "scratch") and lora["steps"] == scratch["steps"] == 6
    assert lora["trained_parameters"] < lora["parameters"] and scratch["trained_parameters"] == scratch["parameters"]
    assert lora["tokens"] == scratch["tokens"] > lora["learned_tokens"] == scratch["learned_tokens"] > 100
    assert lora["tokens_per_second"] == pytest.approx(lora["tokens"] / lora["seconds"])
    assert lora["vocabulary"] == scratch["vocabulary"] == 512
    assert 1.5 < lora["tokens_per_word"] == scratch["tokens_per_word"] < 5
    assert lora["base_bytes"] > 100_000 and scratch["base_bytes"] is None and lora["peak_memory_bytes"] > 10**8
    for run in (lora, scratch):
        assert 1 < run["train_bits_per_byte"] < 8 and 1 < run["valid_bits_per_byte"] < 8
        change = run["forgetting"]
        assert change["after"] - change["before"] == pytest.approx(change["difference"])
        assert change["low"] <= change["difference"] <= change["high"]
        for systems in run["memorisation"].values():
            assert set(systems) == {"tuned", "base"} and 0 <= systems["tuned"]["train"] <= 100


def test_runs_tested_on_other_items_are_refused(project):
    lora = jobs.artifacts(project.db, "model")[0]["job"]
    usual = runs.find([lora_word := str(lora)], project)[0].evaluation
    other = submit(
        project, "evaluate", inputs={"model": lora}, wait=True,
        settings={"plugins": ["bits_per_byte"], "systems": ["tuned"], "baselines": [], "max_items": 3},
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"tested on other items.*data_hash") as refused:
        submit(project, "compare", settings={"runs": [usual, lora_word]}, wait=True)
    assert f"--input model={lora}," in refused.value.hint
    assert runs.find([lora_word], project)[0].evaluation == other.id, "the newest evaluation speaks for a run"
    with pytest.raises(UsageError, match="neither a finished training run"):
        submit(project, "compare", settings={"runs": [1]}, wait=True)
    with pytest.raises(UsageError, match="there is no run 'nowhere'"):
        submit(project, "compare", settings={"runs": ["nowhere"]}, wait=True)


def test_words_are_those_of_the_tokenizer_report(project, tmp_path):
    """Ethiopic words parted by their own separator, and Thai, which has no spaces: both are one word to `split()`."""
    from transformers import AutoTokenizer

    from endonym.tokenizer.measure import measure

    texts = ["ሰላም፡ለዓለም፡ሁሉ፡ይሁን።", "ภาษาไทย", "k'op yu'un"]
    rows = [{"reference": text, "direction": "spa>tzh"} for text in texts]
    (tmp_path / "outputs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    side = runs.Side(1, "", "base", tmp_path, {})
    runs._measure_tokenizer(side, None, project)
    tokenizer = AutoTokenizer.from_pretrained(project.base)
    assert side.tokens_per_word == pytest.approx(measure(tokenizer, texts, "tzh").tokens_per_word)


@pytest.mark.parametrize("text", ["", "{}", '{"rows": [{"system": "tuned"}]}', '{"data_hash": "d", "rows": []}'])
def test_an_empty_or_old_evaluation_is_named_with_its_repair(tmp_path, text):
    if text:
        (tmp_path / "scores.json").write_text(text, encoding="utf-8")
    with pytest.raises(EndonymError) as refused:
        runs.read_scores(tmp_path)
    said = str(refused.value)
    assert str(tmp_path / "scores.json") in said and "endonym evaluate" in said and "--seed" in said
    fine = {"rows": [{"system": "tuned"}], "data_hash": "d"}
    (tmp_path / "scores.json").write_text(json.dumps(fine), encoding="utf-8")
    assert runs.read_scores(tmp_path) == fine


def test_inputs_can_be_named_and_are_checked(project):
    assert given_inputs(["model=7,chats=2", "scores=3", "scores=4"]) == {"model": 7, "chats": 2, "scores": [3, 4]}
    with pytest.raises(UsageError, match="what is 'model'"):
        given_inputs(["model"])
    with pytest.raises(UsageError, match="job 1 made nothing that 'evaluate' takes as its 'model'"):
        submit(project, "evaluate", inputs={"model": 1}, wait=True)


def test_holm_corrects_as_published():
    # The example of Holm's procedure: smallest times four, next times three, and never below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([0.03]) == [0.03] and holm([]) == []


def test_a_winner_must_beat_all_others_after_correction():
    def result(value: float, p: float) -> Difference:
        return Difference(value, value - 0.5, value + 0.5, p, 50)

    def judged(results: dict, higher: bool = True) -> list[Comparison]:
        return winners.judged_together(("lookup", "spa", "exact", "exact %"), results, higher, 0.05, "x")

    three = {("a", "b"): result(4, 0.001), ("a", "c"): result(1, 0.03), ("b", "c"): result(-3, 0.001)}
    values = {"a": 9.0, "b": 5.0, "c": 8.0}
    assert winners.decide(values, judged(three), True) == ("a", "a", ())
    close = three | {("a", "c"): result(0.6, 0.03), ("b", "c"): result(-3, 0.03)}
    pairs = judged(close)
    assert [round(pair.p_adjusted, 3) for pair in pairs] == [0.003, 0.06, 0.06]
    assert winners.decide(values, pairs, True) == ("", "a", ("c",))
    assert winners.decide(values, judged({("a", "b"): result(4, 0.001)}), True)[2] == ("c",)
    # The same numbers where lower is better: b has the best value and beats both.
    assert winners.decide(values, judged(three, False), False)[:2] == ("b", "b")


def rows_of(system: str, right: list[bool]) -> tuple[dict, dict]:
    """Table row and statistics of an exactness measure with known answers."""
    key = {"system": system, "task": "lookup", "direction": "spa", "metric": "exact", "name": "exact %"}
    share = 100 * sum(right) / len(right)
    number = {"value": share, "low": share, "high": share, "n": len(right), "higher_is_better": True}
    values = [float(x) for answer in right for x in (answer, 1)]
    return key | number, key | {"ids": [str(i) for i in range(len(right))], "values": values}


def test_winners_come_from_paired_answers():
    rng = random.Random(3)
    answers = {"good": [rng.random() < 0.8 for _ in range(200)], "same": [rng.random() < 0.5 for _ in range(200)]}
    first_wrong = answers["same"].index(False)
    answers["same2"] = answers["same"]
    answers["like"] = [x or i == first_wrong for i, x in enumerate(answers["same"])]

    def measure(*names: str) -> winners.Measure:
        rows = {name: rows_of("tuned", answers[name]) for name in names}
        scores, sums = ({name: [pair[i]] for name, pair in rows.items()} for i in (0, 1))
        [found] = winners.measures(scores, sums, 0.05, 1000, 1, Path("nowhere"))
        return found

    assert measure("same", "good", "like").winner == "good"
    whole = measure("same", "good", "like")
    assert winners.overall([whole], ["same", "good", "like"]) == ("", ""), "exactness is no chief measure"
    tie = measure("same", "like")
    assert tie.winner == "" and tie.pairs[0].p_value == tie.pairs[0].p_adjusted > 0.05
    assert "the same number" in beside.reason(measure("same", "same2"), TEXTS, str)
    assert "nobody wins" in beside.reason(tie, TEXTS, str) and "p = " in beside.reason(tie, TEXTS, str)


def test_shares_have_published_intervals():
    # Newcombe 1998, table II, example (a): 56/70 against 48/80, method 10.
    assert share_difference((56, 70), (48, 80)) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    # Newcombe, Two-Sided Confidence Intervals for the Single Proportion (1998), table I, method 3.
    for hits, trials, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson(hits, trials) == pytest.approx((low, high), abs=5e-5)


def learn(loaded, texts: list[Chat], rate: float, steps: int) -> None:
    """Train all weights on whole rendered chats, without any of the care the trainer takes."""
    torch.manual_seed(1)
    model = loaded.model
    examples = [loaded.renderer.example(chat) for chat in texts]
    longest = max(len(e.ids) for e in examples)
    ids = torch.tensor([e.ids + [0] * (longest - len(e.ids)) for e in examples])
    labels = torch.tensor([e.labels + [IGNORE] * (longest - len(e.labels)) for e in examples])
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    for _ in range(steps):
        logits = model.get_output_embeddings()(decoder(model)(input_ids=ids).last_hidden_state[:, :-1])
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()


def said(text: str, origin: str, prompt: str = "") -> Chat:
    messages = (*((Message("user", prompt),) if prompt else ()), Message("assistant", text))
    meta = {"direction": "spa>tzh"} if prompt else {}
    return Chat(record_id(text), messages, origin, "translate" if prompt else "complete", "tzh", meta=meta)


@pytest.fixture(scope="module")
def material(tmp_path_factory, tseltal) -> Material:
    """Ten long sentences to learn by heart, ten unseen ones, and a test of twenty pairs."""
    threes = [tseltal[i : i + 3] for i in range(0, 180, 3)]
    joined = ((" ".join(a for a, _ in three), " ".join(b for _, b in three)) for three in threes)
    long = [pair for pair in joined if len(pair[1]) >= 72][:20]
    learned = [said(text, "learned", prompt) for prompt, text in long[:10]]
    folder = tmp_path_factory.mktemp("material")
    with DatasetWriter(folder / "chats") as out:
        for chat in learned:
            out.keep(chat, "train")
    with DatasetWriter(folder / "split") as out:
        for i, (source, target) in enumerate(tseltal[-24:]):
            out.keep(Pair(str(i), source, target, "spa", "tzh", f"x:{i}"), "test")
    unseen = [said(text, "unseen", prompt) for prompt, text in long[10:]]
    items = [Item(c.id, c.task, "spa>tzh", c.prompt[0].content, (c.answer,), c) for c in unseen]
    return Material(items, Dataset(folder / "split", "evaluate"), Dataset(folder / "chats", "evaluate"), folder, "tzh", "spa", 3)  # fmt: skip


def shares(loaded, material: Material) -> dict[tuple[str, str], float]:
    cfg = memorisation.Config()
    items = list(memorisation.questions(material, cfg))
    found = {}
    for side in ("train", "test"):
        own = [item for item in items if item.direction == side]
        assert len(own) == 10
        for score in memorisation.score(make_run("x", own, memorisation.ask(loaded, own, cfg)), cfg):
            found[side, score.name.split()[1]] = score.value
    return found


def general_bits(loaded, material: Material) -> dict:
    """The statistics row of `forgetting` of a model."""
    cfg = forgetting.Config()
    items = list(forgetting.questions(material, cfg))
    asked = asking.Asked({}, 8, 8, frozenset(), {}, 0.6, 0, lambda: False)
    [score] = forgetting.score(make_run("x", items, asking.ask_model(loaded, items, asked, False)), cfg)
    return {"metric": "forgetting", "ids": [i.id for i in items], "values": list(score.per_item), "value": score.value}


def test_what_is_learned_by_heart_is_seen_and_what_is_not_is_not(tiny_model, material):
    loaded = load_model(tiny_model, dtype="float32")
    assert set(shares(loaded, material).values()) == {0.0}
    learn(loaded, [c for c in material.chats.records("train") if isinstance(c, Chat)], 6e-3, 80)
    found = shares(loaded, material)
    assert found["train", "tokens"] >= 80 and found["train", "characters"] >= 80
    assert found["test", "tokens"] <= 10 and found["test", "characters"] <= 10


def test_forgetting_grows_with_the_learning_rate(tiny_model, material, tseltal):
    spanish = [said(pair[0], "general") for pair in tseltal[:24]]
    learned = [c for c in material.chats.records("train") if isinstance(c, Chat)]
    loaded = load_model(tiny_model, dtype="float32")
    learn(loaded, spanish, 4e-3, 40)
    knows = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    base = general_bits(loaded, material) | {"system": "base"}
    side = SimpleNamespace(system="tuned")
    found = {}
    for rate in (1e-5, 1e-2):
        loaded.model.load_state_dict(knows)
        learn(loaded, learned, rate, 30)
        tuned = general_bits(loaded, material) | {"system": "tuned"}
        found[rate] = beside.forgetting(side, [tuned, base], 500, 1, Path("nowhere"))
        assert found[rate]["before"] == pytest.approx(base["value"]) and found[rate]["n"] == 24
    assert abs(found[1e-5]["difference"]) < 0.03
    assert found[1e-2]["low"] > 0.15 and found[1e-2]["p_value"] < 0.01


def test_general_text_can_be_named(material):
    (material.project / "general.txt").write_text("One line.\n\nAnother line.\n", encoding="utf-8")
    items = list(forgetting.questions(material, forgetting.Config(files=["general.txt"])))
    assert sorted(item.references[0] for item in items) == ["Another line.", "One line."]
    with pytest.raises(EndonymError, match=r"gone\.txt is not there"):
        list(forgetting.questions(material, forgetting.Config(files=["gone.txt"])))


def test_the_given_part_ends_at_a_word_and_leaves_enough(tseltal):
    for prompt, text in tseltal:
        at = memorisation.cut(said(text, "x", prompt), 48)
        if at is None:
            assert len(text) < 48
        else:
            assert at == 0 or (text[at].isspace() and at <= len(text) / 2)
            assert len(text) - at >= 48
