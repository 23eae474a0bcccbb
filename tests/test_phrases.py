"""Phrase drafts: what they learn, what they must not know, and that they keep the shape of a text."""

import csv
from pathlib import Path

import pytest

from endonym.data import phrases
from endonym.data.lexicon import words
from endonym.retrieve import hints
from endonym.retrieve.indexes.memory import groups_of
from endonym.types import Entry, Pair, Sense

EXAMPLES = Path(__file__).parent.parent / "examples" / "tseltal" / "raw" / "examples.csv"


@pytest.fixture(scope="module")
def rows() -> list[phrases.Row]:
    with EXAMPLES.open(encoding="utf-8", newline="") as file:
        pairs = [(r["Translated_Text"], r["Primary_Text"]) for _, r in zip(range(1500), csv.DictReader(file))]
    split = [(words(a.casefold()), words(b.casefold())) for a, b in pairs]
    return phrases.learn(split, [True] * len(split))


def test_phrases_agree_with_the_alignment():
    """The pairs of Koehn, Och and Marcu: no link leaves the box, and an unlinked word beside it may come along."""
    row = phrases.Row(("casa", "muy", "grande"), ("lom", "muk", "te", "na"), ((0, 3), (1, 0), (2, 1)))
    found = set(phrases.phrases_of(row))
    assert (("muy", "grande"), ("lom", "muk")) in found
    assert (("muy", "grande"), ("lom", "muk", "te")) in found
    assert (("casa",), ("te", "na")) in found
    assert (("casa", "muy", "grande"), ("lom", "muk", "te", "na")) in found
    assert not any(source == ("casa", "muy") for source, _ in found)


def test_rows_left_out_are_as_if_never_seen(rows):
    """The same drafts as of a table that was counted without them, word for word."""
    whole = phrases.PhraseTable(rows)
    differ = 0
    for number in range(0, 600, 40):
        out = {number, number + 1, number + 2}
        fresh = phrases.PhraseTable([row for i, row in enumerate(rows) if i not in out])
        drafted = whole.draft(rows[number].source, out)
        assert drafted == fresh.draft(rows[number].source)
        differ += drafted != whole.draft(rows[number].source)
    assert differ > 8  # what a row says itself is worth much


def test_a_draft_covers_every_word_once_and_in_order(rows):
    table = phrases.PhraseTable(rows[300:])
    for row in rows[:60]:
        pieces = table.draft(row.source)
        assert [i for at, size, _ in pieces for i in range(at, at + size)] == list(range(len(row.source)))


def index(tmp_path: Path, *records) -> hints.Hinter:
    return hints.build(list(records), tmp_path / "index")


def pair(number: int, spanish: str, tseltal: str, *headwords: str) -> Pair:
    return Pair(f"p{number}", tseltal, spanish, "tzh", "spa", "x", {"headwords": list(headwords)})


def test_punctuation_capitals_and_unknown_words_stay(tmp_path):
    hinter = index(
        tmp_path,
        pair(1, "el agua está fría", "sik te ha'e"),
        pair(2, "el agua es buena", "lek te ha'e"),
        pair(3, "la casa es buena", "lek te nae"),
        pair(4, "la casa está fría", "sik te nae"),
        Entry("e", "winik", "tzh", (Sense("hombre", "spa"),), "x"),
    )
    assert hinter.phrases.draft("hombre", "spa", "tzh") == "winik"
    assert hinter.phrases.draft("¿Hombre? ¡Xochitl, hombre!", "spa", "tzh") == "¿Winik? ¡Xochitl, winik!"
    assert hinter.phrases.draft("Winik.", "tzh", "spa") == "Hombre."
    assert hinter.phrases.draft("hombre", "spa", "deu") == ""
    assert hinter.phrases.draft("", "spa", "tzh") == "" and hinter.phrases.draft("…", "spa", "tzh") == "…"


@pytest.mark.parametrize(
    ("text", "known", "expected"),
    [
        ("ውሃ።", ("ውሃ", "water"), "water።"),
        ("पानी, पानी।", ("पानी", "water"), "water, water।"),
        ("ماء؟", ("ماء", "water"), "water؟"),
    ],
)
def test_drafts_in_other_scripts(tmp_path, text, known, expected):
    hinter = hints.build([Pair("p", *known, "xxx", "eng", "x")], tmp_path / "index")
    assert hinter.phrases.draft(text, "xxx", "eng") == expected


def test_scripts_without_spaces_are_joined_without(tmp_path):
    hinter = hints.build([Pair("p", "big water", "大水", "eng", "zho", "x")], tmp_path / "index")
    assert hinter.phrases.draft("big water", "eng", "zho") == "大水"


def test_no_hint_knows_the_row_it_is_for(tmp_path):
    """Neither the draft of the text nor those of the shown pairs use the row, or another example of its headword."""
    own = pair(1, "el zorro corre", "yakal ta animal te waxe", "wax")
    other = pair(2, "mira el zorro", "ila te waxe", "wax")
    rest = [
        pair(3, "mira el perro", "ila te ts'i'e", "ts'i'"),
        pair(4, "corre el perro", "yakal ta animal te ts'i'e", "animal"),
        pair(5, "mira la casa", "ila te nae", "na"),
    ]
    hinter = index(tmp_path, own, other, *rest)
    found = hinter.hints(own.target, "spa", "tzh", exclude=groups_of(own))
    assert found.pairs and "wax" not in " ".join([found.draft, *(k.draft + k.target for k in found.pairs)])
    assert "zorro" in found.draft  # nothing else knows the word
    assert "wax" in hinter.hints(own.target, "spa", "tzh").draft
    shown = next(k for k in found.pairs if k.source == "mira la casa") if len(found.pairs) > 2 else found.pairs[0]
    assert shown.draft  # what was drafted of a pair that is shown, itself left out
