"""Words are cut as their script writes them, and the lexicon finds which translates which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endonym.data.lexicon import Lexicon, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("¿Bi ya'wal, k'op ta lok'?", ["Bi", "ya'wal", "k'op", "ta", "lok'"]),
        ("lokʼ sok kʼop", ["lokʼ", "sok", "kʼop"]),
        ("ya lok’ te ants’", ["ya", "lok’", "te", "ants’"]),
        ("'lok' te winike'", ["lok'", "te", "winike"]),
        ("‘salió bien’, dijo", ["salió", "bien", "dijo"]),
        ("'ayin lo", ["'ayin", "lo"]),
        ("ሰላም፡ለዓለም፣ሁሉ፤እንዴት። ነህ፧", ["ሰላም", "ለዓለም", "ሁሉ", "እንዴት", "ነህ"]),
        ("रामः वनं गच्छति। क्‍ष ॥", ["रामः", "वनं", "गच्छति", "क्\u200dष"]),
        ("می\u200cخواهم بروم؟", ["می\u200cخواهم", "بروم"]),
        ("3,5 km; 1.000 casas", ["3,5", "km", "1.000", "casas"]),
        ("日本語", ["日", "本", "語"]),
        ("", []),
        ("... ' ' !", []),
    ],
)
def test_words_in_many_scripts(text, expected):
    assert words(text) == expected


@given(st.text(alphabet="ab'’‘ʼ .,-፡።ሰላክ्ष\u200d\u200c1日", max_size=60))
def test_words_stand_in_the_text_in_their_order(text):
    position = 0
    for word in words(text):
        position = text.index(word, position) + len(word)
        assert word and not word.isspace()


def test_probabilities_are_a_distribution(tseltal):
    lexicon = Lexicon.learn([(a.casefold(), b.casefold()) for a, b in tseltal])
    for word in list(lexicon.table)[:300]:
        row = lexicon.p(word)
        assert 0 < sum(row.values()) <= 1 + 1e-6
        assert list(row.values()) == sorted(row.values(), reverse=True)
        assert lexicon.best(word, 2) == list(row.items())[:2]


def test_finds_real_translations(tseltal):
    lexicon = Lexicon.learn([(a.casefold(), b.casefold()) for a, b in tseltal])
    assert "ma" in [t for t, _ in lexicon.best("no", 3)]
    assert lexicon.best("nunca-seen", 1) == [] and "nunca-seen" not in lexicon


def test_both_directions_keep_a_common_word_from_explaining_everything():
    pairs = [("la casa", "te na"), ("la mesa", "te mexa"), ("la luna", "te u"), ("el sol", "te k'aal"), ("luna", "u")]
    assert Lexicon.learn(pairs, 8).best("casa", 1)[0][0] == "na"
    assert Lexicon.learn([(b, a) for a, b in pairs], 8).best("k'aal", 1)[0][0] in ("el", "sol")


def test_a_word_that_explains_everything_explains_nothing():
    """After one pass `a` and the noun are equally likely for model 1; backwards only the noun leads to its own translation."""
    lexicon = Lexicon.learn([("casa", "a na"), ("mesa", "a mexa"), ("luna", "a u")], 1)
    assert [lexicon.best(word, 1)[0][0] for word in ("casa", "mesa", "luna")] == ["na", "mexa", "u"]


def test_a_prior_decides_where_pairs_do_not():
    pairs = [("perro grande", "muk'ul ts'i'")]
    lexicon = Lexicon.learn(pairs, prior={"perro": {"ts'i'": 1.0}, "gato": {"mis": 1.0}})
    assert lexicon.best("perro", 1)[0][0] == "ts'i'"
    assert lexicon.best("grande", 1)[0][0] == "muk'ul"
    assert lexicon.best("gato", 1) == [("mis", pytest.approx(1.0))]


@pytest.mark.parametrize("name", ["lexicon.json", "lexicon.json.gz"])
def test_saved_and_loaded_it_is_the_same(tmp_path, tseltal, name):
    lexicon = Lexicon.learn(tseltal[:50])
    lexicon.save(tmp_path / name)
    again = Lexicon.load(tmp_path / name)
    assert again.table.keys() == lexicon.table.keys()
    for word, row in lexicon.table.items():
        assert again.p(word) == pytest.approx(row, abs=1e-5)


def test_empty_sides_teach_nothing():
    assert Lexicon.learn([]).table == {}
    assert Lexicon.learn([("", "na"), ("casa", "")]).table == {}
