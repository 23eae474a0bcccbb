"""What heads say is scored as the field scores it: by cases counted by hand."""

from __future__ import annotations

import pytest

from endonym.evaluate.answered import plain_words
from endonym.evaluate.baselines import majority, overlap
from endonym.evaluate.headed import ranked
from endonym.evaluate.items import Run
from endonym.evaluate.metrics import accuracy, answer_exact, answer_f1, macro_f1, mrr, recall_at_1, span_f1, tag_f1
from endonym.evaluate.tagged import has_names, names
from endonym.types import Chat, Message


def run(
    task: str, said: list[str | None], true: list[str | tuple[str, ...]], counts: tuple = (), direction: str = "eng"
) -> Run:
    refs = tuple((ref,) if isinstance(ref, str) else ref for ref in true)
    nothing = (None,) * len(refs)
    ids = tuple(map(str, range(len(refs))))
    return Run("tuned", task, direction, ids, ids, refs, tuple(said), nothing, (1,) * len(refs), counts or nothing)


def score(metric, one: Run) -> float:
    (found,) = metric.score(one, metric.Config())
    assert found.low <= found.value <= found.high and found.num_items == len(one.ids)
    return found.value


def test_classes():
    """Of 4 texts 3 right. F1: a 2 * 1 / (2 + 1), b 2 * 2 / (2 + 2), c 0, whose text was given to a; z is said of none."""
    one = run("classify", ["a", "b", "b", "a"], ["a", "b", "b", "c"])
    assert score(accuracy, one) == 75
    assert score(macro_f1, one) == pytest.approx(100 * (2 / 3 + 1 + 0) / 3)
    other = run("classify", ["z", "b", "b", "a"], ["a", "b", "b", "c"])
    assert score(macro_f1, other) == pytest.approx(100 * (0 + 1 + 0) / 3)
    assert score(accuracy, run("classify", ["b"], [("a", "b")])) == 100


def test_tags_and_the_names_they_make():
    assert names(["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "I-PER", "E-PER", "O", "S-LOC"]) == {
        ("PER", 0, 1), ("LOC", 3, 3), ("LOC", 4, 4), ("PER", 5, 6), ("LOC", 8, 8),
    }  # fmt: skip
    assert names(["I-PER", "I-PER", "I-LOC"]) == {("PER", 0, 1), ("LOC", 2, 2)} and names([]) == set()
    assert has_names(["O", "B-PER"]) and not has_names(["NOUN", "VERB"]) and not has_names(["O"])
    # Words: 5 of 6; other than O: 3 said, 3 true, 2 right. Names: 2 said, 2 true, one found whole.
    one = run("tag", ["B-PER I-PER O B-PER", "O O"], ["B-PER I-PER O B-LOC", "O O"])
    assert score(accuracy, one) == pytest.approx(100 * 5 / 6)
    assert score(tag_f1, one) == pytest.approx(100 * 2 * 2 / (3 + 3))
    assert score(span_f1, one) == pytest.approx(100 * 2 * 1 / (2 + 2))
    assert not span_f1.score(run("tag", ["NOUN"], ["NOUN"]), span_f1.Config())


def test_answers_are_compared_without_case_punctuation_and_articles():
    assert plain_words("The “Río  GRANDE”, a river.", "eng") == ["río", "grande", "river"]
    assert plain_words("A Coruña", "spa") == ["a", "coruña"]
    assert plain_words("አዲስ አበባ።", "amh") == ["አዲስ", "አበባ"] and plain_words("東京は", "jpn") == ["東", "京", "は"]
    assert plain_words("e\u0301l", "spa") == plain_words("él", "spa")
    one = run("answer", ["the big river", "Lima.", ""], [("Big River", "river"), "lima", "Quito"])
    assert score(answer_exact, one) == pytest.approx(100 * 2 / 3)
    two = run("answer", ["the big blue river", "Lima Peru"], [("big river", "sea"), "lima"])
    assert score(answer_f1, two) == pytest.approx(100 * (2 * 2 / (3 + 2) + 2 * 1 / (2 + 1)) / 2)
    assert score(answer_exact, two) == 0


def test_search():
    assert ranked([0.1, 0.9, 0.5], ["a", "b", "c"], ("c",)) == {"text": "b", "counts": [2]}
    assert ranked([0.9, 0.9, 0.5], ["a", "b", "c"], ("a",))["counts"] == [2]  # of equals the wrong one comes first
    assert ranked([0.9, 0.8, 0.5], ["a", "b", "c"], ("b", "c"))["counts"] == [2]
    one = run("embed", ["x"] * 4, ["x"] * 4, counts=([1], [2], [4], [1]), direction="spa>tzh")
    assert score(recall_at_1, one) == 50 and score(mrr, one) == pytest.approx(100 * (1 + 0.5 + 0.25 + 1) / 4)
    assert not mrr.score(run("embed", ["x"], ["x"]), mrr.Config())


def chat(task: str, source: str, answer: str, **meta) -> Chat:
    return Chat(
        source, (Message("user", source), Message("assistant", answer)), "", task, meta={"source": source, **meta}
    )


class Rows:
    def records(self, split: str) -> list[Chat]:
        return [
            chat("classify", "1", "b"), chat("classify", "2", "b"), chat("classify", "3", "a"),
            chat("tag", "Juan vive", "B-PER O"), chat("tag", "Juan come", "B-PER O"), chat("tag", "Rosa", "B-PER"),
        ]  # fmt: skip


def test_baselines_take_what_is_most_frequent_or_most_alike():
    answer = majority.prepare(Rows(), majority.Config())
    assert answer(chat("classify", "new", "a")) == "b"
    assert answer(chat("tag", "Juan vive aquí", "B-PER O O")) == "B-PER O B-PER"
    asked = chat("answer", "q", "Lima", context="Juan vive en Lima. El sol brilla.", question="¿Dónde vive Juan?")
    pairs = [chat("embed", "casa grande", "casas grandes"), chat("embed", "el sol", "los soles")]
    answers = overlap.prepare(Rows(), overlap.Config())
    assert answers([asked]) == [{"text": "Juan vive en Lima."}]
    assert [one["counts"] for one in answers(pairs)] == [[1], [1]]
