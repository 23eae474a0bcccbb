"""Grading: each signal measures what it says, ranks are fair, and nothing but the training split is looked at."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest

from endonym.data import difficulty
from endonym.data.dataset import Dataset, DatasetWriter
from endonym.data.statistics import ranks
from endonym.errors import EndonymError
from endonym.jobs.plan import plan
from endonym.jobs.submit import submit
from endonym.plugins import load
from endonym.project import Project
from endonym.score.run import DEFAULT, Config, describe, grade, run
from endonym.score.scorers.morphology import LONGEST, segment
from endonym.types import Chat, Message

JOB = SimpleNamespace(project=SimpleNamespace(seed=20))


@pytest.fixture(scope="module")
def project(composed, copied, tmp_path_factory) -> Project:
    return Project(copied(composed, tmp_path_factory.mktemp("score") / "project"))


def chats(pairs: list[tuple[str, str]]) -> list[Chat]:
    """Pairs as translation chats, both directions."""
    made = []
    for number, pair in enumerate(pairs):
        for way, (source, target) in (("spa>tzh", pair), ("tzh>spa", pair[::-1])):
            about = {"direction": way, "record": str(number), "source": source}
            turns = (Message("user", f"Translate. {source}"), Message("assistant", target))
            made.append(Chat(f"{number}{way}", turns, "x", "translate", way[-3:], meta=about))
    return made


def scored(name: str, rows: list[Chat], **settings) -> list[float]:
    module = load("scorer", name)
    return module.score(rows, module.Config(**settings), JOB)


def test_ranks_are_shares_of_easier_rows():
    assert ranks([5.0, 1.0, 3.0, 1.0]) == [87.5, 25.0, 62.5, 25.0]
    assert ranks([1.0, math.nan, 2.0]) == [25.0, 50.0, 75.0]
    assert ranks([0.1 + 0.2, 0.3]) == [50.0, 50.0]


def test_every_signal_orders_what_it_is_meant_to_order(tseltal):
    rows = chats([*tseltal, ("el agua", "te ha'"), ("el axolotl wuxyz", "te axolotl wuxyz")])
    known, strange = -4, -2
    for name in ("word_rarity", "compression"):
        values = scored(name, rows)
        assert values[known] < values[strange], name
    assert scored("length", rows)[known] == 4.0
    repeats = chats([("no no no no no no no no no no", "ma ma ma ma ma ma"), ("uno dos tres", "jun cheb oxeb")])
    little, _, unknown, _ = scored("lexical_diversity", repeats)
    assert little < 3 and math.isnan(unknown)


def test_both_directions_of_a_pair_are_equally_rare_and_hard_to_compress(tseltal):
    rows = chats(tseltal[:60])
    rarity = scored("word_rarity", rows)
    assert rarity[::2] == pytest.approx(rarity[1::2])
    # A text that found itself in the dictionary would cost next to nothing.
    assert min(scored("compression", rows)) > 1.0


def test_segments_follow_the_morphology(tseltal):
    from endonym.data.lexicon import words

    spanish = {w.casefold() for pair in tseltal for w in words(pair[0])}
    found = segment(spanish, 2.0, 20)
    assert all("".join(parts) == word for word, parts in found.items())
    assert found["tienen"] == ["tiene", "n"] and found["buenas"] == ["buena", "s"] and found["hablar"] == ["hablar"]
    # Combining marks are no letters of their own.
    marked = segment({"नमस्ते", "नमन"}, 0.1, 20)
    assert all(not part.startswith(("्", "े")) for part in marked["नमस्ते"])


def test_score_sees_train_alone_and_explains_itself(project):
    row = submit(project, "score", settings={"weights": {"length": 3}}, wait=True)
    folder = project.output(row.id)
    data = Dataset(project.newest("chats"), "score")
    rows = list(difficulty.read(folder))
    assert [r.id for r in rows] == [c.id for c in data.records("train")]
    held = {c.id for c in data.records("valid")}
    assert held and not held & {r.id for r in rows}
    about = difficulty.about(folder)
    assert about["dataset"] == data.hash
    assert [s["name"] for s in about["stages"]] == list(difficulty.STAGES)
    assert sum(s["rows"] for s in about["stages"]) == len(rows)
    assert all(r.stage == difficulty.stage_of(r.difficulty, about["bounds"]) for r in rows)
    weights = {name: found["weight"] for name, found in about["scorers"].items()}
    assert weights["length"] == 3
    means = [sum(weights[n] * r.parts[n] for n in weights) for r in rows]
    by_mean = sorted(range(len(rows)), key=means.__getitem__)
    assert [rows[i].difficulty for i in by_mean] == pytest.approx(sorted(r.difficulty for r in rows), abs=0.5)
    assert about["scorers"]["length"]["correlation_with_length"] == 1.0
    assert about["scorers"]["length"]["correlation_with_difficulty"] > 0.7
    json.dumps(about, allow_nan=False)


def test_wrong_settings_are_named(project):
    with pytest.raises(EndonymError, match="'lenght', which is not among"):
        submit(project, "score", settings={"weights": {"lenght": 1}}, wait=True)
    with pytest.raises(EndonymError, match="four ascending numbers"):
        submit(project, "score", settings={"bounds": [20, 10, 60, 80]})


def test_base_loss_is_bits_per_byte_of_the_answer(tseltal, tiny_model):
    import torch

    from endonym.models.load import load_model

    module = load("scorer", "base_loss")
    job = SimpleNamespace(project=SimpleNamespace(base=tiny_model), tick=lambda *_: None)
    rows = chats(tseltal[:4])
    found = module.score(rows, module.Config(dtype="float32"), job)
    loaded = load_model(tiny_model, dtype="float32")
    for chat, value in zip(rows, found, strict=True):
        prompt, answer = loaded.renderer.prompt_ids(chat.prompt), loaded.renderer.answer_ids(chat.answer)
        ids, labels = torch.tensor([prompt + answer]), torch.tensor([[-100] * len(prompt) + answer])
        with torch.no_grad():
            nats = float(loaded.model(input_ids=ids, labels=labels).loss) * len(answer)
        assert value == pytest.approx(nats / math.log(2) / len(chat.answer.encode()), rel=1e-4)
    turned = module.score(rows[::-1], module.Config(dtype="float32"), job)
    assert turned[::-1] == pytest.approx(found, rel=1e-4)


def test_the_usual_plan_does_not_wait_for_grades(project):
    verbs = [step.verb for step in plan(project)]
    assert "score" not in verbs


def test_settings_that_would_grade_nothing_are_refused(project):
    for settings, words in (
        ({"bounds": [200, 300, 400, 500]}, "between 0 and 100"),
        ({"weights": {"length": -1}}, "the weight of length must be a number from 0 up"),
        ({"weights": {"length": math.inf}}, "the weight of length"),
    ):
        with pytest.raises(EndonymError, match=words):
            submit(project, "score", settings=settings)
    with pytest.raises(EndonymError, match="weight 0"):
        submit(project, "score", settings={"plugins": ["length"], "weights": {"length": 0}}, wait=True)


def test_no_training_chat_is_an_error_with_a_repair(tmp_path):
    with DatasetWriter(tmp_path) as out:
        out.keep(chats([("el agua", "te ha'")])[0], "valid")
    module = load("scorer", "length")
    job = SimpleNamespace(verb="score", plugins={"length": (module, module.Config())}, inputs={"dataset": tmp_path})
    with pytest.raises(EndonymError, match="no training chat") as caught:
        run(Config(), job)
    assert "endonym compose" in str(caught.value)


def test_a_row_without_words_is_neither_easy_nor_hard():
    rows = chats([("uno dos", "jun cheb"), ("👍", "👍")])
    for name in ("word_rarity", "morphology"):
        assert math.isnan(scored(name, rows)[-1]), name


def test_correlations_are_of_the_rows_a_scorer_knows():
    rows = chats([("uno " * n, "jun " * n) for n in range(1, 11)])
    lengths = scored("length", rows)
    half = [value if i % 2 else math.nan for i, value in enumerate(lengths)]
    graded = grade(rows, {"length": lengths, "half": half}, {"length": 1.0, "half": 0.0}, [20, 40, 60, 80])
    found = describe(graded, {"length": lengths, "half": half}, {"length": 1.0, "half": 0.0})["scorers"]["half"]
    assert found["unknown"] == 10
    assert found["correlation_with_length"] == found["correlation_with_difficulty"] == 1.0
    assert describe([], {"length": []}, {"length": 1.0})["scorers"]["length"]["correlation_with_length"] is None


def test_one_chat_and_scripts_without_spaces_can_be_graded():
    for pair in (("hola", "kolaval"), ("これは日本語です", "ሰላም፡ለዓለም።"), ("नमस्ते", "مرحبا")):
        rows = chats([pair])[:1]
        measured = {name: scored(name, rows) for name in DEFAULT}
        (row,) = grade(rows, measured, dict.fromkeys(DEFAULT, 1.0), [20, 40, 60, 80])
        assert row.difficulty == 50 and row.stage == "intermediate"
    assert scored("length", chats([("これは日本語です", "ሰላም፡ለዓለም።")]))[0] == 8 + 2


def test_a_word_as_long_as_a_page_is_cut_in_seconds():
    letters = "ᨠᨡᨣᨤᨦᨧ" * 500
    parts = segment({letters, "ᨠᨡ"}, 2.0, 20)[letters]
    assert "".join(parts) == letters and max(map(len, parts)) <= LONGEST
