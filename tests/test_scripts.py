"""Characters are put into the right block and script, languages have their names, definitions give their glosses."""

from __future__ import annotations

import time
import unicodedata
from collections import Counter

import pytest

from endonym.data import languages
from endonym.data.glosses import glosses
from endonym.data.scripts import block, count_blocks, count_scripts, dominant_script, script


@pytest.mark.parametrize(
    ("char", "name", "code"),
    [
        ("a", "Basic Latin", "Latn"), ("ñ", "Latin-1 Supplement", "Latn"), ("ሰ", "Ethiopic", "Ethi"),
        ("ⶀ", "Ethiopic Extended", "Ethi"), ("क", "Devanagari", "Deva"), ("ب", "Arabic", "Arab"), ("漢", "CJK Unified Ideographs", "Hani"),
        ("ʼ", "Spacing Modifier Letters", "Zyyy"), ("\u0301", "Combining Diacritical Marks", "Zinh"), ("😀", "Emoticons", "Zyyy"),
        ("ߊ", "NKo", "Nkoo"), ("𞤀", "Adlam", "Adlm"), ("።", "Ethiopic", "Ethi"), ("\u200d", "General Punctuation", "Zinh"),
    ],
)  # fmt: skip
def test_block_and_script(char, name, code):
    assert block(char) == name
    assert script(char) == code


def test_every_code_point_has_a_block_and_letters_a_script():
    for code in range(0x20000):
        char = chr(code)
        if unicodedata.category(char) in ("Lu", "Ll", "Lo"):
            assert block(char) != "No_Block"
            assert len(script(char)) == 4


def test_counts_are_complete(tseltal, amharic, sanskrit):
    for texts in (tseltal, amharic, sanskrit):
        text = "".join(side for row in texts for side in row)
        assert sum(count_blocks(text).values()) == len(text)
    assert dominant_script("".join(own for _, own in amharic)) == "Ethi"
    assert dominant_script("".join(own for _, own in sanskrit)) == "Deva"
    assert count_scripts("k'op 12 á") == Counter({"Latn": 4})
    assert dominant_script("12 + 3") == "Zyyy"


def test_a_megabyte_is_counted_quickly(amharic):
    text = "".join(own for _, own in amharic)
    text *= 1 + 1_000_000 // len(text)
    start = time.process_time()
    count_blocks(text)
    assert time.process_time() - start < 2


def test_languages_by_any_code_in_any_case():
    assert languages.name("tzh") == "Tseltal"
    assert languages.name("spa", "spa") == "español"
    assert languages.name("amh", "fra") == "amharique"
    assert languages.name("deu", "amh") == "ጀርመንኛ"
    assert languages.name("tzh", "amh") == "Tseltal"
    assert languages.language("am").code == languages.language("AMH").code == "amh"
    assert languages.language("es-MX").code == "spa"
    assert languages.language("ara").right_to_left
    assert not languages.language("amh").right_to_left


def test_an_unknown_language_is_no_error():
    unknown = languages.language("qqq")
    assert (unknown.code, unknown.scripts, languages.name("qqq", "spa")) == ("qqq", (), "qqq")


def test_the_table_is_sound():
    seen: set[str] = set()
    for code in languages.codes():
        one = languages.language(code)
        assert len(code) == 3
        assert one.scripts
        own = one.names[code]
        if any(char.isalpha() for char in own):
            assert dominant_script(own) in one.scripts, f"{code}: {own}"
        assert code not in seen
        seen.add(code)
    assert not seen & set(languages.aliases())
    assert len(seen) >= 75


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("(en desuso) hoja; aparece en varios compuestos de nombres de plantas", ["hoja"]),
        ("fuego, lumbre", ["fuego", "lumbre"]),
        ("véase te", ["véase te"]),
        ("casa [del jefe]", ["casa"]),
        ("marca de aspecto completivo para verbos intransitivos", []),
        ("ውሃ፣ ጠበል", ["ውሃ", "ጠበል"]),
    ],
)
def test_glosses(definition, expected):
    assert glosses(definition) == expected
