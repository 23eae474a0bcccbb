"""Sentences are cut where the script ends them, and no character is lost in cutting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endonym.data.sentences import sentences


@given(st.text(alphabet="aB1 .!?…\"')»\n፡።፣ሰላ:।॥क|؟。日;λ-", max_size=80))
def test_sentences_are_the_text_cut(text):
    pieces = sentences(text)
    assert "".join(pieces) == text
    assert all(pieces)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("El Dr. Pérez vino. ¿Por qué? No sé... tal vez.", ["El Dr. Pérez vino.", "¿Por qué?", "No sé... tal vez."]),
        ("Mide 3.5 km. Art. 5 dice. J. R. Tolkien.", ["Mide 3.5 km.", "Art. 5 dice.", "J. R. Tolkien."]),
        ("«¡Hola!» dijo ella. Luego se fue.", ["«¡Hola!» dijo ella.", "Luego se fue."]),
        ("ሰላም ለዓለም፡፡ እንዴት ነህ፧ ደህና፡ነኝ።", ["ሰላም ለዓለም፡፡", "እንዴት ነህ፧", "ደህና፡ነኝ።"]),
        ("አበበ:: ከበደ", ["አበበ::", "ከበደ"]),
        ("std::vector is C++. Yes.", ["std::vector is C++.", "Yes."]),
        ("रामः गच्छति । सीता अपि ॥ १ ॥ ततः", ["रामः गच्छति ।", "सीता अपि ॥ १ ॥", "ततः"]),
        ("هل أنت هنا؟ نعم. ذهبت۔ ثم", ["هل أنت هنا؟", "نعم.", "ذهبت۔", "ثم"]),
        ("ya atardeció. ma jna'. lek ay", ["ya atardeció.", "ma jna'.", "lek ay"]),
        ("1. Primero. 2. Segundo.", ["1. Primero.", "2. Segundo."]),
        ("日本語です。はい！そう", ["日本語です。", "はい！", "そう"]),
    ],
)
def test_sentences_end_as_the_script_ends_them(text, expected):
    assert [piece.strip() for piece in sentences(text)] == expected
