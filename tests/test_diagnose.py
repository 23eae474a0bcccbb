"""The diagnosis: what was learned by heart is called so, what was read once is not, and every number of it means what it says."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from endonym import plugins
from endonym.data import canaries
from endonym.data.dataset import DatasetWriter
from endonym.data.portion import portion
from endonym.data.verbatim import Spans
from endonym.diagnose import run as diagnose
from endonym.diagnose.finding import Finding, Sign
from endonym.diagnose.probes import extraction, learning_curve
from endonym.diagnose.verdict import decide
from endonym.models.load import load_tokenizer
from endonym.train import planted
from endonym.train.settings import FitConfig
from endonym.types import Chat, Message

PROBES = {name: plugins.load("probe", name) for name in diagnose.DEFAULT}


class FakeJob(SimpleNamespace):
    """A job that keeps what it is told; its stage code is the real one."""

    verb = "diagnose"

    def cancelled(self) -> bool:
        self.asked = getattr(self, "asked", 0) + 1
        return self.asked > getattr(self, "patience", 10**9)

    def log(self, text: str) -> None:
        pass

    def tick(self, done: float, total: float, unit: str = "", **values) -> None:
        pass

    def summary(self, **values) -> None:
        self.results = values


def chat(number: int, text: str) -> Chat:
    return Chat(f"c{number}", (Message("assistant", text),), f"text:{number}", "complete", "tzh")


@pytest.fixture(scope="module")
def chats(tmp_path_factory, tseltal) -> Path:
    """Texts of four real sentences each: 16 to learn from, 16 held out."""
    folder = tmp_path_factory.mktemp("chats")
    with DatasetWriter(folder) as out:
        for number in range(32):
            text = " ".join(pair[1] for pair in tseltal[4 * number : 4 * number + 4])
            out.keep(chat(number, text), "train" if number < 16 else "valid")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, chats, tiny_model):
    """Train a small model on the texts and three canaries for about so many passes; returns what a training job leaves."""
    from endonym.data.dataset import Dataset
    from endonym.models.compute import flops_per_token
    from endonym.models.load import load_model
    from endonym.models.trial import Trial, run_trial
    from endonym.train.finish import save_weights

    def make(passes: float, seed: int) -> Path:
        folder = tmp_path_factory.mktemp("run") / "output"
        folder.mkdir()
        cfg = FitConfig(canaries=3, seed=seed)
        rows = planted.taught(Dataset(chats, "train").records("train"), cfg)
        planted.note(rows, cfg, folder)
        loaded = load_model(tiny_model, dtype="float32")
        texts = [row.answer for row in rows for _ in range(int(row.weight))]
        size = sum(len(loaded.renderer.answer_ids(text)) + 1 for text in texts)
        flops = passes * size * flops_per_token(loaded.model)
        done = run_trial(loaded, texts, Trial(flops, 512, 1e-2, seed), lambda *told: None, lambda: False)
        save_weights(loaded.model, loaded.tokenizer, folder / "weights")
        about = {
            "recipe": "full", "base_hash": "", "settings": cfg.model_dump(), "renderer": loaded.renderer.hash,
            "bytes_per_token": {"loss": 2.0, "valid_loss": 2.0}, "passes": done.epochs,
        }  # fmt: skip
        (folder / "model.json").write_text(json.dumps(about))
        (folder.parent / "artifact.json").write_text(json.dumps({"job": 7, "hash": "0" * 64}))
        return folder

    return make


def diagnosed(run: Path, chats: Path, output: Path, **more) -> dict | None:
    project = SimpleNamespace(path=None, runs=run.parent.parent, ancestry=lambda folder: {"chats": chats, "model": run})
    found = {name: (module, module.Config()) for name, module in PROBES.items()}
    diagnose.run(
        diagnose.Config(samples=8),
        FakeJob(project=project, inputs={"model": run}, output=output, plugins=found, **more),
    )
    file = output / "diagnosis.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def test_a_run_that_learned_by_heart_is_flagged_and_one_pass_is_not(trained, chats, tmp_path):
    by_heart, once = (diagnosed(trained(passes, 1), chats, made(tmp_path / str(passes))) for passes in (50, 1))
    assert by_heart["verdict"] == "memorising" and by_heart["text"].startswith("memorising: ")
    assert once["verdict"] in ("learning", "not enough data")
    values = {m["name"]: m for finding in by_heart["findings"].values() for m in finding["measures"]}
    assert values["bits/byte, train"]["high"] < 0.5 * values["bits/byte, held out"]["low"]
    assert values["repeated, training less held out"]["low"] > 0.5 and values["repeated, held out"]["value"] == 0
    assert values["exposure of canaries seen 16 x a pass"]["value"] == 8
    assert all(m["low"] <= m["value"] <= m["high"] for m in values.values() if m["low"] is not None)
    assert by_heart["findings"]["extraction"]["about"]["examples"]


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_diagnosis_that_was_stopped_goes_on_where_it_was(trained, chats, tmp_path, monkeypatch):
    run = trained(1, 2)
    assert diagnosed(run, chats, made(tmp_path / "out"), patience=12) is None
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "findings").iterdir()}
    assert 0 < len(done) < len(PROBES)
    assert diagnosed(run, chats, tmp_path / "out")["findings"].keys() == PROBES.keys()
    assert all((tmp_path / "out" / "findings" / name).stat().st_mtime_ns == time for name, time in done.items())


def test_a_byte_model_is_measured_in_the_same_way(trained, chats, tmp_path, tiny_model):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={letter: n for n, letter in enumerate([*letters, "<s>", "</s>"])}, merges=[]))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    run = trained(0.1, 3)
    shape = LlamaConfig(
        vocab_size=258, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=1,
        bos_token_id=256, eos_token_id=257, pad_token_id=257,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(run / "weights")
    tokenizer.save_pretrained(run / "weights")
    about = json.loads((run / "model.json").read_text())
    about |= {
        "renderer": load_tokenizer(run / "weights").renderer.hash,
        "bytes_per_token": {"loss": 1.0, "valid_loss": 1.0},
    }
    (run / "model.json").write_text(json.dumps(about))
    found = diagnosed(run, chats, made(tmp_path / "out"))
    values = {m["name"]: m["value"] for finding in found["findings"].values() for m in finding["measures"]}
    assert values["bits/byte, held out"] == pytest.approx(math.log2(258), abs=0.3)
    # What it writes is noise, and no better than counting bytes.
    assert found["verdict"] == "not enough data" and "counting bytes" in found["text"]


def test_runs_on_less_text_make_a_learning_curve(trained, chats, tmp_path):
    runs = [trained(passes, 4) for passes in (2, 6, 16)]
    home = tmp_path / "runs"
    for run, share in zip(runs, (0.25, 0.5, 1.0), strict=True):
        about = json.loads((run / "model.json").read_text())
        about["settings"]["data_share"] = share
        (run / "model.json").write_text(json.dumps(about))
        made(home) if not home.is_dir() else None
        (home / str(share)).symlink_to(run.parent)
    found = diagnosed(home / "1.0" / "output", chats, made(tmp_path / "out"))["findings"]["learning_curve"]
    whole, half, quarter, first, last = (m["value"] for m in found["measures"])
    assert (first, last) == (pytest.approx(quarter - half), pytest.approx(half - whole))
    assert "twice the text brought" in found["text"]


def test_missing_runs_of_the_curve_are_trained_like_the_one_that_is_diagnosed(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(learning_curve, "_like", lambda subject, share: tmp_path if share == 1 else None)
    monkeypatch.setattr(
        learning_curve.rows, "get", lambda db, job: SimpleNamespace(plugin="scratch", inputs={"dataset": 5})
    )
    monkeypatch.setattr(
        learning_curve,
        "submit",
        lambda *told, **more: asked.append((told[1:], more)) or SimpleNamespace(state="succeeded"),
    )
    project = SimpleNamespace(db=None, job=lambda name: 7)
    subject = SimpleNamespace(
        job=FakeJob(project=project, id=9),
        folder=tmp_path / "0007-train" / "output",
        settings={"steps": 8, "data_share": 0.8},
    )
    learning_curve.before(subject, learning_curve.Config())
    assert not asked
    learning_curve.before(subject, learning_curve.Config(train=True))
    assert [told[2]["data_share"] for told, _ in asked] == [0.4, 0.2]
    assert all(told[:2] == ("train", "scratch") and told[2]["steps"] == 8 for told, _ in asked)
    assert all(more == {"inputs": {"dataset": 5}, "parent": 9} for _, more in asked)


def test_the_curve_asks_for_what_a_power_law_says():
    # L = 1 + 1.6, 1.8, 2.6: gains of 0.8, then 0.4; each doubling gains half as much, the floor is 1.4.
    assert learning_curve.asked(0.8, 0.4, 1.8, 0.02) == 8  # further gains 0.2, 0.1, 0.05, then 0.025 < 2 % of 1.45
    assert learning_curve.asked(0.4, 0.4, 1.8, 0.02) is None
    assert learning_curve.asked(0.8, -0.1, 1.8, 0.02) == 1


def test_spans_are_what_looking_at_every_span_finds():
    dice = random.Random(3)

    def some(most: int) -> list[str]:
        return ["".join(dice.choice("abቋ") for _ in range(dice.randint(0, 12))) for _ in range(dice.randint(1, most))]

    for _ in range(150):
        texts, others = some(3), some(3)
        spans = Spans(texts)
        spans.read(others)
        known = [other.encode() for other in others]
        for text, sizes, longest, covered in zip(
            [t.encode() for t in texts], spans.ending(), spans.longest(), spans.covered(3), strict=True
        ):
            shared = {
                (i, j) for j in range(len(text) + 1) for i in range(j) if any(text[i:j] in other for other in known)
            }
            assert sizes == [max([j - i for i, j in shared if j == end], default=0) for end in range(1, len(text) + 1)]
            assert len(longest) == max((j - i for i, j in shared), default=0)
            assert covered == len({at for i, j in shared if j - i >= 3 for at in range(i, j)})


def test_exposure_is_that_of_the_paper():
    # Rank 1 of 8: all 3 bits; rank 4: 1 bit; a tie counts against the canary.
    others = [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    assert [canaries.exposure(cost, others) for cost in (1.0, 4.5, 9.0)] == [3.0, 1.0, 0.0]
    assert canaries.exposure(2.0, others) == 2.0
    assert canaries.by_chance(7) == pytest.approx(sum(3 - math.log2(rank) for rank in range(1, 9)) / 8)
    assert canaries.p_value([3.0] * 4, 7, 1) == pytest.approx(8**-4, abs=5e-4)
    assert canaries.p_value([1.0], 7, 1) == pytest.approx(0.5, abs=0.02)


def test_canaries_are_planted_as_often_as_they_say_and_others_are_never_there():
    words = [f"w{n}" for n in range(20)]
    rows = planted.taught([chat(n, " ".join(words)) for n in range(4)], FitConfig(canaries=4, seed=5))
    assert [row.weight for row in rows if row.task == "canary"] == [1, 4, 16, 1]
    lines = canaries.draw(canaries.vocabulary([" ".join(words)]), 40, 5)
    assert [row.answer for row in rows if row.task == "canary"] == lines[:4] and len(set(lines)) == 40
    with pytest.raises(Exception, match="too few for canaries"):
        planted.taught([chat(0, "one two")], FitConfig(canaries=1))


def test_a_smaller_share_of_the_data_is_part_of_a_larger():
    rows = [
        Chat(f"{n}-{side}", (Message("assistant", "x"),), "x", meta={"record": str(n)})
        for n in range(40)
        for side in "ab"
    ]
    quarter, half = (portion(rows, share, 7) for share in (0.25, 0.5))
    assert (len(quarter), len(half)) == (20, 40) and {c.id for c in quarter} < {c.id for c in half}
    assert portion(rows, 1, 7) == rows and portion(rows, 0.25, 8) != quarter


@pytest.mark.parametrize("lot", range(5))
def test_a_text_is_cut_fifty_bytes_after_fifty(lot, amharic):
    text = " ".join(pair[1] for pair in amharic[:4])
    cfg = extraction.Config()
    cut = extraction.cut(chat(0, text), cfg, lot)
    assert cut.given + cut.rest in text and cut.rest.startswith(" ")
    assert all(50 <= len(part.encode()) < 54 for part in (cut.given, cut.rest))
    asked = Chat("a", (Message("user", "?"), Message("assistant", text)), "x")
    assert text.startswith((cut := extraction.cut(asked, cfg, lot)).given + cut.rest)
    assert extraction.cut(chat(0, "k" * 99), cfg, lot) is None


def test_repeating_weighs_more_than_doing_well():
    signs = {
        name: Finding("", signs=[Sign(says, f"why {name}")]) for name, says in (("a", "learning"), ("b", "memorising"))
    }
    assert decide(signs).text.startswith("memorising: why b. Train for fewer steps")
    assert decide({"a": signs["a"]}).text == "learning: why a."
    assert decide({"c": Finding("not measured")}).verdict == "cannot be told"
