"""Answering several times and keeping what the answers agree on."""

from __future__ import annotations

from collections import Counter

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from endonym.models import generate
from endonym.models.consensus import answer_batch, most_agreed
from endonym.models.load import load_model
from endonym.types import Message


@given(
    st.lists(st.sampled_from(["ya xk'uxul te ame'", "ya xk'ux", "k'ixin te kajpe", "te kajpe", "", "ሰላም"]), min_size=1)
)
def test_the_most_agreed_answer_has_the_highest_mean_score(answers):
    metric = sacrebleu.CHRF(word_order=2)

    def mean(text: str) -> float:
        return sum(
            n * (100 if text == t else metric.sentence_score(text, [t]).score) for t, n in Counter(answers).items()
        )

    chosen = most_agreed(answers)
    assert mean(chosen) == pytest.approx(max(map(mean, answers)))


def test_one_stray_answer_never_wins_over_two_that_agree():
    assert most_agreed(["la piedra", "el café está caliente", "el café está caliente hoy"]) != "la piedra"
    assert most_agreed(["a", "b"]) == "a"


def test_the_first_of_several_answers_is_the_greedy_one(tiny_model, tseltal):
    """Also when the prompts differ in length and rows leave the batch at different steps."""
    loaded = load_model(tiny_model, dtype="float32")
    prompts = [loaded.renderer.prompt_ids([Message("user", text)]) for text, _ in tseltal[:5]]
    greedy = generate.generate_batch(loaded, prompts, generate.Sampling(max_new_tokens=12))
    sampling = generate.Sampling(max_new_tokens=12, temperature=1.5, greedy_first=True)
    found = generate.generate_batch(loaded, prompts, sampling, num_answers=4)
    assert [answers[0] for answers in found] == [answers[0] for answers in greedy]
    assert all(len(set(answers)) > 1 for answers in found)
    assert answer_batch(loaded, prompts, sampling, 0) == [answers[0] for answers in greedy]
    several = answer_batch(loaded, prompts, sampling, 3, temperature=1.5)
    assert all(text in answers for text, answers in zip(several, found, strict=True))


def test_further_texts_count_as_answers_where_answers_are_sampled(tiny_model, tseltal):
    loaded = load_model(tiny_model, dtype="float32")
    prompts = [loaded.renderer.prompt_ids([Message("user", text)]) for text, _ in tseltal[:4]]
    sampling = generate.Sampling(max_new_tokens=12)
    further = [["te ha'e"], [], ["lek te nae", "lek te nae"], ["sik te ha'"]]
    found = generate.generate_batch(
        loaded, prompts, generate.Sampling(max_new_tokens=12, temperature=1.5, greedy_first=True), num_answers=3
    )
    expected = [most_agreed([*answers, *texts]) for answers, texts in zip(found, further, strict=True)]
    assert answer_batch(loaded, prompts, sampling, 2, temperature=1.5, further=further) == expected
    assert answer_batch(loaded, prompts, sampling, 0, further=further) == [answers[0] for answers in found]
