"""Made records say what they are made of, keep to their share, touch nothing held out, and are kept where they help."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from endonym import plugins
from endonym.augment import report
from endonym.augment.augmenters import back_translate, inflect, noise, recombine, substitute
from endonym.augment.material import Context, made_pair
from endonym.augment.sift import Sieve
from endonym.augment.trial import Trials
from endonym.data.augmented import cap
from endonym.data.dataset import Dataset, DatasetWriter
from endonym.errors import LeakError
from endonym.types import Chat, Doc, Drop, Entry, Pair, Record, Sense, record_id

NOUNS = [
    ("na", "casa"),
    ("te'", "mesa"),
    ("kereme", "puerta"),
    ("nit", "nube"),
    ("pak", "tela"),
    ("tul", "cama"),
    ("mut", "rama"),
]
VERBS = [("nop", "aprende"), ("tek", "mira")]


def pair(own: str, pivot: str, **meta: Any) -> Pair:
    return Pair(record_id(own, pivot), own, pivot, "tzh", "spa", "raw/x.csv:2", meta)


def entry(headword: str, gloss: str, part: str) -> Entry:
    return Entry(record_id(headword, part), headword, "tzh", (Sense(gloss, "spa"),), "raw/e.csv:2", part)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """A made-up language with a dictionary: nouns bare, and with `j` for mine and `s` for his."""
    made: list[Record] = [entry(a, b, "n.") for a, b in NOUNS] + [entry(a, b, "v.") for a, b in VERBS]
    for word, gloss in NOUNS:
        made.append(pair(f"lek te {word} ta ora", f"la {gloss} es buena ahora", headwords=[word], licence="CC BY 4.0"))
    for word, gloss in NOUNS[:4]:
        made.append(pair(f"j{word}", f"mi {gloss}"))
        made.append(pair(f"la kil j{word} ta be", f"vi mi {gloss} en el camino"))
        made.append(pair(f"ma xkil j{word} ta witz", f"no veo mi {gloss} en el cerro"))
    for word, gloss in VERBS:
        made.append(pair(f"ya s{word} te winik", f"el hombre {gloss}"))
    return made


def context(tmp_path: Path = Path("nowhere"), **more: Any) -> Context:
    return Context(tmp_path, "tzh", "spa", 20, 1000, **more)


def check_provenance(made: Pair, records: list[Record], name: str) -> None:
    assert made.meta["augmented"] == name
    assert set(made.meta["made_from"]) <= {record.id for record in records}
    assert made.meta["exchanged"]
    assert made.id not in {record.id for record in records}


def test_substitution_exchanges_a_word_and_its_translation_alone(records):
    made = list(substitute.grow(records, substitute.Config(), context()))
    assert made == list(substitute.grow(records, substitute.Config(), context()))
    assert len(made) >= 8
    by_id = {record.id: record for record in records}
    for one in made:
        check_provenance(one, records, "substitute")
        first = by_id[one.meta["made_from"][0]]
        ((old, old_gloss), (new, new_gloss)) = (one.meta["exchanged"][0][key] for key in ("from", "to"))
        assert first.source.replace(old, new, 1) == one.source
        assert first.target.replace(old_gloss, new_gloss, 1) == one.target
        parts = {record.headword: record.part_of_speech for record in records if isinstance(record, Entry)}
        assert parts[old] == parts[new] == "n."
        assert set(first.meta.get("headwords", [])) <= set(one.meta.get("headwords", []))
    assert any(one.meta.get("licence") == "CC BY 4.0" for one in made)


def test_inflection_gives_unseen_words_the_affix_that_others_have(records):
    made = list(inflect.grow(records, inflect.Config(alone=0.5), context()))
    texts = {one.source: one.target for one in made}
    assert "jtul" not in " ".join(r.source for r in records if isinstance(r, Pair))
    # `n` and `t` are letters that the prefix was seen at, `p` and `m` are not.
    assert texts["jtul"] == "mi cama"
    assert not any(own.startswith("jpak") or " jpak" in own or " jmut" in own for own in texts)
    assert not any("snit" in own or "sna" in own.split() for own in texts), "an affix of two verbs is not one of nouns"


def test_recombination_needs_the_same_words_on_both_sides(records):
    pairs = [
        pair("te ants xbajt ta snah", "el mujer va a casa"), pair("te winik xbajt ta chiwich", "el hombre va a mercado"),
        pair("te ants xhul ta witz", "el mujer llega a cerro"), pair("xhul", "llega"), pair("winik", "hombre"),
    ]  # fmt: skip
    made = list(recombine.grow(pairs, recombine.Config(per_pair=9), context()))
    assert made
    for one in made:
        check_provenance(one, pairs, "recombine")
        assert len(one.meta["made_from"]) == 2
        own, other = one.meta["exchanged"][0]["to"]
        assert own in one.source and other in one.target
    said = {(one.source, one.target) for one in made}
    assert {
        ("te winik xbajt ta snah", "el hombre va a casa"),
        ("te ants xhul ta snah", "el mujer llega a casa"),
    } <= said
    assert not any("winik xhul" in own for own, _ in said), "never seen beside each other"


def test_noise_spoils_what_is_asked_and_never_the_answer(records, amharic, tmp_path):
    pairs = [pair(a, b) for b, a in amharic[:20]]
    made = list(noise.grow(pairs, noise.Config(rate=0.1), context()))
    by_id = {one.id: one for one in pairs}
    for one in made:
        check_provenance(one, pairs, "noise")
        asked, answer = one.meta["direction"].split(">")
        first = by_id[one.meta["made_from"][0]]
        assert one.text(answer) == first.text(answer)
        assert one.text(asked) != first.text(asked)
        assert abs(len(one.text(asked)) - len(first.text(asked))) <= 0.1 * len(first.text(asked)) + 2
    assert {one.meta["direction"] for one in made} == {"tzh>spa", "spa>tzh"}
    rows = [{"verdict": "correct", "was": "xa bcjt", "text": "xa bejt"}, {"verdict": "accept", "was": "x", "text": "x"}]
    (tmp_path / "review.jsonl").write_text("\n".join(map(json.dumps, rows * 30)) + "\nnot json\n", encoding="utf-8")
    learned = list(noise.grow([pair("te merex sjelel", "el precio de eso")], noise.Config(), context(tmp_path)))
    assert {(row["from"][0], row["to"][0]) for one in learned for row in one.meta["exchanged"]} == {("e", "c")}


@pytest.fixture
def split(tmp_path, records) -> Path:
    folder = tmp_path / "split"
    with DatasetWriter(folder) as out:
        for record in records:
            out.keep(record, "train")
        out.keep(
            pair("Lek te te' ta yajk'ol witz ta k'inal!", "La mesa es buena arriba en el cerro de la tierra."), "test"
        )
        out.keep(pair("te wale", "la caña"), "test")
        out.keep(pair("ay k'inal li'i", "aquí hay terreno"), "valid")
    return folder


def test_the_seal_holds_without_the_stage_opening_the_test(split, records):
    with pytest.raises(LeakError):
        list(Dataset(split, verb="augment").records("test"))
    of, exchanged = [records[0]], [{"from": ["a"], "to": ["b"]}]
    like = pair("", "")
    offered = [
        made_pair("x", like, {"tzh": own, "spa": other}, of, exchanged)
        for own, other in (
            ("lek te te' ta yajk'ol witz ta k'inal", "otra cosa muy distinta"),
            ("¡Te wale!", "algo"),
            ("AY K'INAL LI'I", "algo más"),
            ("ma lek te nuevo ta ora", "no es buena la nueva"),
            ("Ma lek te nuevo, ta ora.", "no es buena la nueva"),
            ("lek te na ta ora", "la casa es buena ahora"),
            ("lek te na ta ora", "la casa es mala ahora"),
        )
    ]
    found = list(Sieve(split, records).sifted(offered, 10))
    reasons = [one.reason.removeprefix("augment.") if isinstance(one, Drop) else "kept" for one in found]
    expected = ["held_out", "held_out", "held_out", "kept", "twice", "known", "contradicts"]
    assert reasons[: len(expected)] == expected
    assert not any("yajk'ol" in one.detail for one in found if isinstance(one, Drop)), "the ledger would tell the test"
    assert len([one for one in Sieve(split, records).sifted(offered * 3, 1) if not isinstance(one, Drop)]) == 1


@dataclass
class FakeJob:
    """What a stage sees of a job."""

    verb: str
    project: Any
    inputs: dict[str, Path]
    output: Path
    plugins: dict[str, Any]
    results: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.output.parent

    def log(self, text: str) -> None:
        self.said.append(text)

    def tick(self, *done: Any, **values: Any) -> None:
        return None

    def cancelled(self) -> bool:
        return False

    def summary(self, **values: Any) -> None:
        self.results = values


def stage(verb: str, kind: str, names: list[str], inputs: dict[str, Path], output: Path, base: Any = "") -> FakeJob:
    modules = {name: plugins.load(kind, name) for name in names}
    layer = SimpleNamespace(label="", values={"plugins": ["translate"]}, path=None)
    project = SimpleNamespace(
        path=output.parent, language="tzh", pivot="spa", base=str(base), seed=20, settings={}, layer=lambda verb: layer,
        ancestry=lambda folder: {"split": folder / "of", "chats": folder},
    )  # fmt: skip
    return FakeJob(verb, project, inputs, output, {name: (module, module.Config()) for name, module in modules.items()})


def augmented(split: Path, output: Path, names: list[str], base: Any = "", **settings: Any) -> FakeJob:
    from endonym.augment import run as augment

    job = stage("augment", "augmenter", names, {"dataset": split}, output, base)
    augment.run(augment.Config(**settings), job)
    return job


def composed(split: Path, output: Path, made: Path, **settings: Any) -> tuple[list[Chat], list[str]]:
    from endonym.compose import run as compose

    job = stage("compose", "task", ["translate"], {"dataset": split, "augmented": made}, output)
    compose.run(compose.Config(**settings), job)
    return [chat for chat in Dataset(output).records("train") if isinstance(chat, Chat)], job.said


def test_compose_takes_its_share_marked_weighted_and_of_this_split_alone(split, records, tmp_path):
    made = augmented(split, tmp_path / "a" / "made", ["substitute", "noise"], trial_steps=0, share=0.4).output
    real = sum(isinstance(record, Pair) for record in records)
    kept = list(Dataset(made).records("train"))
    assert len(kept) == cap(0.4, real) and len(kept) / (len(kept) + real) <= 0.4
    assert {record.meta["augmented"] for record in kept} == {"substitute", "noise"}
    manifest = Dataset(made).manifest
    assert sum(manifest["dropped"].values()) + len(kept) == manifest["read"]
    assert all(row["kept"] + row["dropped"] == row["in"] for row in manifest["characters"].values())
    chats, _ = composed(split, tmp_path / "b" / "chats", made, augmented_weight=0.5)
    marked = [chat for chat in chats if "augmented" in chat.meta]
    assert {chat.weight for chat in marked} == {0.5} and {chat.weight for chat in chats if chat not in marked} == {1.0}
    directions = {record.id: record.meta.get("direction") for record in kept}
    assert all(directions[c.meta["record"]] in (None, c.meta["direction"]) for c in marked)
    assert {chat.meta["record"] for chat in marked} == set(directions)
    # A hint from what a row was made of would give its answer away.
    by_id = {record.id: record for record in [*records, *kept]}
    for chat in marked:
        first = by_id[by_id[chat.meta["record"]].meta["made_from"][0]]
        assert isinstance(first, Pair)
        shown = [m.content for m in chat.messages[:-1] if m.role == "assistant"]
        assert first.text(chat.language) not in shown
    assert any(len(chat.messages) > 3 for chat in marked), "some have hints"
    few, _ = composed(split, tmp_path / "c" / "chats", made, most=10)
    assert len({c.meta["record"] for c in few if "augmented" in c.meta}) <= cap(0.4, 10)
    with DatasetWriter(tmp_path / "other") as out:
        out.write([*(r for r in records if isinstance(r, Pair)), pair("ya yal", "dice")], "train")
        out.keep_empty("valid")
    none, said = composed(tmp_path / "other", tmp_path / "d" / "chats", made)
    assert not any("augmented" in chat.meta for chat in none)
    assert any("another split" in line for line in said)


def test_the_trial_is_the_same_training_with_and_without(split, tiny_model, tmp_path):
    settings = {"trial_steps": 2, "trial_batch_tokens": 128, "trial_pairs": 12, "trial_valid": 2, "trial_runs": 2}
    job = augmented(split, tmp_path / "a" / "made", ["recombine", "noise"], tiny_model, **settings)
    told = json.loads((job.output / "report.json").read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in told["augmenters"]}
    assert set(rows) == {"recombine", "noise"} and rows["noise"]["made"]
    assert rows["noise"]["spoiled_items"] == 2
    done = {path.name: json.loads(path.read_text()) for path in (job.folder / "trials").glob("*-?.json")}
    assert {one["steps"] for one in done.values()} == {2}
    tokens = [one["tokens"] for one in done.values()]
    assert max(tokens) <= 2 * min(tokens)
    for name, row in rows.items():
        assert row["words"] in (job.output / "report.txt").read_text(encoding="utf-8")
        kept = any(record.meta["augmented"] == name for record in Dataset(job.output).records("train"))
        assert kept == (row["verdict"] in ("helps", "helps spoiled"))
    times = {path: path.stat().st_mtime_ns for path in (job.folder / "trials").glob("*-?.json")}
    again = augmented(split, job.output, ["recombine", "noise"], tiny_model, **settings)
    assert times == {path: path.stat().st_mtime_ns for path in times}, "what was trained is trained again"
    assert json.loads((again.output / "report.json").read_text(encoding="utf-8")) == told


def test_where_the_model_takes_part_the_trial_goes_on_from_it(split, records, tiny_model, tmp_path, monkeypatch):
    """The model has read every pair and text: beside trainings that have not, what it made would carry that, too."""
    from peft import LoraConfig, get_peft_model

    from endonym.augment import run as augment
    from endonym.models.generate import answer_nll
    from endonym.models.lesson import learn
    from endonym.models.load import load_artifact, load_model

    texts = tmp_path / "texts"
    with DatasetWriter(texts) as out:
        out.write([*Dataset(split).records("train"), Doc("d", "lek te winik", "tzh", "raw/t.txt:1")], "train")
        out.write(Dataset(split).records("valid"), "valid")
    model = tmp_path / "0007-train-lora" / "output"
    shutil.copytree(texts, model / "of")
    base = load_model(tiny_model)
    settings = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(base.model, settings).save_pretrained(model / "adapter")
    about = {"base": str(tiny_model), "renderer": base.renderer.hash}
    (model / "model.json").write_text(json.dumps(about), encoding="utf-8")

    pairs = sum(isinstance(record, Pair) for record in records)
    begun: list[list[tuple[float, int]]] = []

    def learned(loaded, chats, *rest):
        begun.append(answer_nll(loaded, chats[:3]))
        assert begun[-1] == answer_nll(load_artifact(model), chats[:3]) != answer_nll(load_model(tiny_model), chats[:3])
        done = learn(loaded, chats, *rest)
        assert answer_nll(loaded, chats[:3]) != begun[-1], "its adapters learn"
        return done

    monkeypatch.setattr("endonym.models.lesson.learn", learned)
    job = stage("augment", "augmenter", ["noise"], {"dataset": texts, "model": model}, tmp_path / "made", tiny_model)
    job.project.layer = lambda verb: SimpleNamespace(label="", path=None, values={"plugins": ["translate", "complete"]})
    augment.run(augment.Config(trial_steps=1, trial_pairs=pairs - 1, trial_batch_tokens=64, trial_runs=1), job)
    row = json.loads((job.output / "report.json").read_text(encoding="utf-8"))["augmenters"][0]
    assert len(begun) == 2
    assert row["trained_rows"] - row["made_rows"] == 2 * pairs - 2 + 1, "the text is read on both sides"
    assert set(row["directions"]) == {"tzh>spa", "spa>tzh"} and "spa>tzh: " in row["words"]


def results(changes: dict[str, tuple[float, float]], spread: float = 0.01) -> dict[str, Any]:
    """Trainings in two runs whose bits differ from those without by the given factors, a little otherwise in every item."""
    plain = [[float(20 + i % 5), 8.0] for i in range(40)]
    made = {"without": {"runs": [{"bits": {"held": plain, "noise": plain}}] * 2, "rows": 80, "made_rows": 0}}
    for name, factors in changes.items():
        runs = [[[b * (1 + f + spread * (i % 3 - 1)), n] for i, (b, n) in enumerate(plain)] for f in factors]
        sets = [{"held": run} if name != "noise" else {"held": plain, "noise": run} for run in runs]
        made[name] = {"runs": [{"bits": one} for one in sets], "rows": 90, "made_rows": 10, "stopped": False}
    return made


def test_only_what_is_more_than_chance_in_every_run_is_said_to_help():
    found = results(
        {
            "good": (-0.02, -0.02),
            "none": (0.001, -0.001),
            "bad": (0.03, 0.03),
            "luck": (-0.09, 0.02),
            "noise": (-0.05, -0.05),
        }
    )
    made = dict.fromkeys(["good", "none", "bad", "luck", "noise"], 30) | {"empty": 0}
    rows = {row["name"]: row for row in report.judge(found, made)}
    verdicts = {name: row["verdict"] for name, row in rows.items()}
    assert verdicts == {
        "good": "helps", "none": "no", "bad": "harms", "luck": "unsteady", "noise": "helps spoiled", "empty": "nothing"
    }  # fmt: skip
    assert report.helping(list(rows.values())) == ["good", "noise"]
    assert "did not help" in rows["none"]["words"] and "worse" in rows["bad"]["words"]
    assert len(report.table(list(rows.values()))["rows"][0]) == len(report.table([])["header"])
    assert "0.4 times" in report.unread({"without": {"runs": [{"epochs": 1.5}, {"epochs": 0.4}]}})[0]
    assert not report.unread({"without": {"runs": [{"epochs": 1.5}]}})
    # One weak difference is none among many: the p-values are corrected for how many were tried.
    weak = {f"w{i}": (-0.0019, -0.0019) for i in range(12)}
    alone = report.judge(results({"w0": weak["w0"]}, 0.012), {"w0": 5})[0]
    among = report.judge(results(weak, 0.012), dict.fromkeys(weak, 5))[0]
    assert alone["p_value"] == among["p_value"] and among["p_adjusted"] >= min(1.0, 11.9 * alone["p_adjusted"])


def test_what_was_not_better_once_is_not_trained_again(monkeypatch):
    """All trainings must be better, so that one which is not has decided."""
    changes = {"good": [-0.1, -0.1, -0.1], "bad": [0.2, -0.3, -0.3], "late": [-0.1, 0.1, -0.1], "spoils": [0.1] * 3}
    trials = Trials.__new__(Trials)
    trials.cfg, trials.job, trials.real, trials.done = (
        SimpleNamespace(trial_runs=3, trial_steps=7),
        SimpleNamespace(cancelled=bool),
        [],
        0,
    )
    trials.sets = {"held": [], "spoils": []}
    trained: list[str] = []

    def once(name: str, number: int, chats: Any, sets: Any) -> dict[str, Any]:
        trained.append(f"{name}-{number}")
        plain = [[20.0 + number, 8.0]] * 9
        held = [[bits + changes.get(name, [0.0] * 3)[number], size] for bits, size in plain]
        return {"bits": {key: plain if name == key else held for key in sets} | {"spoils": plain}, "epochs": 1.0}

    monkeypatch.setattr(trials, "_once", once)
    monkeypatch.setattr(trials, "_chats", lambda records, training: list(records))
    found = trials.run({name: ["a row"] for name in changes})
    assert found is not None
    assert [name for name in trained if not name.startswith(("without", "good"))] == [
        "bad-0",
        "late-0",
        "spoils-0",
        "late-1",
    ]
    assert [name for name in trained if name.startswith(("without", "good"))] == [
        f"{name}-{number}" for number in range(3) for name in ("without", "good")
    ]
    rows = {row["name"]: row for row in report.judge(found, dict.fromkeys(changes, 1))}
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "good": "helps", "bad": "unsteady", "late": "unsteady", "spoils": "unsteady"
    }  # fmt: skip
    assert rows["bad"]["before"][0] == pytest.approx(20 / 8) and rows["good"]["before"][0] == pytest.approx(21 / 8)


def test_a_lesson_learns_and_pays_the_same_for_any_rows(tiny_model, tseltal):
    from endonym.models import lesson
    from endonym.models.generate import answer_nll
    from endonym.models.load import load_model
    from endonym.types import Message

    chats = [Chat(str(i), (Message("user", a), Message("assistant", b)), "") for i, (a, b) in enumerate(tseltal[:24])]
    cfg = lesson.Lesson(steps=8, batch_tokens=300, learning_rate=5e-3, rank=4)
    losses: dict[int, list[float]] = {}
    for computed in (2048, 64):
        loaded = load_model(tiny_model, dtype="float32")
        before = sum(nats for nats, _ in answer_nll(loaded, chats))
        seen: list[float] = []
        lesson.COMPUTED = computed
        done = lesson.learn(loaded, chats, cfg, lambda step, total, loss, seen=seen: seen.append(loss), lambda: False)
        losses[computed] = seen
        assert sum(nats for nats, _ in answer_nll(loaded, chats)) < before
        assert 8 * 300 <= done.tokens < 8 * 300 + max(len(loaded.renderer.example(chat).ids) for chat in chats)
    lesson.COMPUTED = 2048
    assert losses[64] == pytest.approx(losses[2048], rel=1e-3), "parts of a step change its loss"


def test_back_translation_learns_what_a_person_wrote(records, monkeypatch, tmp_path):
    texts = ["Te winik ya sman ixim ta chiwich.", "Ay bayal te antsetik ta snah.", "lek te na ta ora"]
    docs = [Doc(f"d{i}", text, "tzh", f"raw/t.txt:{i + 1}") for i, text in enumerate(texts)]
    said = {texts[0]: "El hombre compra maíz en el mercado.", texts[1]: "sí"}

    def answers(loaded, prompts, asked, direction, cfg):
        return [
            said.get(text, "") if direction == "tzh>spa" else next(k for k, v in said.items() if v == text)
            for text in asked
        ]

    monkeypatch.setattr(back_translate, "_answers", answers)
    monkeypatch.setattr("endonym.models.load.load_artifact", lambda folder: None)
    monkeypatch.setattr("endonym.retrieve.context.Context.load", lambda *where: None)
    heard: list[str] = []
    asked = context(tmp_path, model=tmp_path / "output", chats=tmp_path, log=heard.append)
    made = list(back_translate.grow([*records, *docs], back_translate.Config(), asked))
    assert [(one.target, one.source, one.meta["direction"]) for one in made] == [(texts[0], said[texts[0]], "spa>tzh")]
    assert made[0].meta["made_from"] == ["d0"] and made[0].origin == "raw/t.txt:1"
    assert "of 2 sentences in 'tzh' 1 were" in heard[-1] and "1 for length" in heard[-1]
    # After an interruption that cut the last line only what it held is translated again.
    (file,) = tmp_path.glob("translations-*-96.jsonl")
    rows = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([*rows[:-1], rows[-1][:-5]]), encoding="utf-8")
    again: list[str] = []

    def counted(loaded, prompts, asked, direction, cfg):
        again.extend(asked)
        return answers(loaded, prompts, asked, direction, cfg)

    monkeypatch.setattr(back_translate, "_answers", counted)
    asked = context(tmp_path, model=tmp_path / "output", chats=tmp_path)
    assert list(back_translate.grow([*records, *docs], back_translate.Config(), asked)) == made
    assert again == [json.loads(rows[-1])[1]]
    # Prompts of another run may ask otherwise, and nothing is taken from these.
    asked = context(tmp_path, model=tmp_path / "output", chats=tmp_path / "other" / "output")
    assert list(back_translate.grow([*records, *docs], back_translate.Config(), asked)) == made
    assert len(again) == 1 + len(rows) - rows.count("")


def test_a_model_of_another_split_may_not_translate(split, tmp_path):
    from endonym.augment import run as augment

    model = tmp_path / "model" / "output"
    with DatasetWriter(model / "of") as out:
        out.keep(pair("otra", "cosa"), "train")
    job = stage("augment", "augmenter", ["noise"], {"dataset": split, "model": model}, tmp_path / "a" / "made")
    with pytest.raises(LeakError, match="not trained on this split"):
        augment.run(augment.Config(trial_steps=0), job)
