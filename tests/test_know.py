"""What is known of a text before it is learned from: its language, its letters, what is wrong with it, and whom it concerns."""

from __future__ import annotations

import importlib.util
import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from endonym.clean.filters import apostrophes, language, mixed_script, mojibake, pii, script_forms, unicode
from endonym.clean.filters.mojibake import repaired
from endonym.data import langid
from endonym.data.ethiopic import format_number, parse_number
from endonym.data.folding import fold, has_rules
from endonym.data.languages import meant, name
from endonym.data.near_dup import normalise
from endonym.data.pii import find, masked
from endonym.data.scripts import block, count_blocks, script
from endonym.types import Doc, Drop, Keep, Pair

spec = importlib.util.spec_from_file_location(
    "language_id", Path(__file__).parent.parent / "benchmarks" / "language_id.py"
)
language_id = importlib.util.module_from_spec(spec)
spec.loader.exec_module(language_id)

TABLE = json.loads((Path(langid.__file__).with_name("unicode.json")).read_text(encoding="utf-8"))
BLOCKS = [
    name for _, name in TABLE["blocks"] if "Surrogate" not in name and "Private" not in name and name != "No_Block"
]


def doc(text: str, code: str = "tzh") -> Doc:
    return Doc("d", text, code, "a.txt:1")


def sifted(module, records, **values):
    """(records kept, drops, facts) of one filter."""
    items, kept, drops = module.sift(iter(records), module.Config(**values)), [], []
    while True:
        try:
            item = next(items)
        except StopIteration as end:
            return kept, drops, end.value or {}
        (kept if isinstance(item, Keep) else drops).append(item.record if isinstance(item, Keep) else item)


@pytest.fixture(scope="session")
def identifier(tseltal) -> langid.Identifier:
    return langid.learn({"tzh": [b for _, b in tseltal[::2]], "spa": [a for a, _ in tseltal[::2]]})


def test_the_projects_languages_are_told_from_each_other(identifier, tseltal):
    for side, code in ((1, "tzh"), (0, "spa")):
        texts = [pair[side] for pair in tseltal[1::2] if sum(map(str.isalpha, pair[side])) >= 20]
        right = sum(verdict.code == code for verdict in identifier.identify(texts))
        assert right >= 0.97 * len(texts) > 20


def test_a_language_nobody_taught_is_refused(identifier):
    # Articles 20 and later lie behind the characters of the Declaration that are bundled.
    strange = [
        "Tout individu a droit à la vie, à la liberté et à la sûreté de sa personne.",
        "Jeder hat das Recht, überall als rechtsfähig anerkannt zu werden.",
        "ሁሉም ሰው በአገሩ መንግሥት ውስጥ የመካፈል መብት አለው",
        "Toda ʻe hoku he po ʻoku malama ʻa e langi kotoa",
    ]
    verdicts = identifier.identify(strange)
    assert [verdict.code for verdict in verdicts[:3]] == ["fra", "deu", "amh"]
    assert max(verdict.known for verdict in verdicts) < 0.5
    assert min(identifier.known(["te jmamalal ya xba ta a'tel", "el hombre va a trabajar al campo"])) > 0.5


def test_a_few_letters_of_the_project_s_text_are_not_given_to_the_world_s_languages(tseltal):
    taught = langid.learn({"spa": [a for a, _ in tseltal[:200]], "tzh": [b for _, b in tseltal[:200]]})
    said = taught.identify([text[:15] for pair in tseltal[200:] for text in pair])
    assert sum(verdict.code in ("spa", "tzh") for verdict in said) >= 0.95 * len(said)


@pytest.mark.parametrize(
    ("said", "codes"),
    [("am", ["amh"]), ("Amharic", ["amh"]), ("amárico", ["amh"]), ("አማርኛ", ["amh"]), ("tzh-MX", ["tzh"]), ("Tzeltal", ["tzh"]), ("el", ["ell"]),
     ("fre", ["fra"]), ("mto", ["mto"]), ("totontepec mixe", ["mto"]), ("qab", ["qab"]), ("nonsense", []), ("xx", [])],
)  # fmt: skip
def test_a_language_is_found_by_any_code_or_name(said, codes):
    assert [found.code for found in meant(said)] == codes


def test_names_that_many_languages_hold_are_all_shown_and_every_listed_one_has_a_name():
    assert {"mto", "mxp", "mir"} <= {found.code for found in meant("mixe")}
    assert (name("mto"), name("ell"), name("amh", "spa"), name("qab")) == (
        "Totontepec Mixe",
        "Modern Greek",
        "amárico",
        "qab",
    )


def test_learning_needs_no_more_than_one_language_and_survives_empty_texts():
    only = langid.learn({"tzh": ["k'op bats'il ya xk'an jtatik"] * 3 + ["te winike ya sna' k'op"], "spa": ["", "  "]})
    assert only.codes == ["tzh"]
    assert only.identify(["", "123 !", "k'op bats'il ya xk'an"])[2].code == "tzh"
    assert only.identify([]) == []


def test_the_benchmark_divides_without_a_leak_and_counts_as_the_field_does(tmp_path, tseltal):
    rows = [f"{spanish}\t{own}\tbook {number % 3}" for number, (spanish, own) in enumerate(tseltal)]
    (tmp_path / "pairs.tsv").write_text("\n".join(["spa\ttzh\tdocument", *rows]), encoding="utf-8")
    texts = language_id.read(tmp_path)
    assert set(texts) == {"spa", "tzh"} and len(texts["tzh"]) == 3
    for way in ("mixed", "apart"):
        train, test = language_id.divided(texts, 60, way)
        assert len(train["tzh"]) == 60 and not set(train["tzh"]) & set(test["tzh"])
    sources = [
        {name for name, lines in texts["tzh"].items() if set(lines) & set(some)} for some in (train["tzh"], test["tzh"])
    ]
    assert not sources[0] & sources[1]
    assert language_id.measure(train, test)["full"]["macro_f1"] > 0.9
    assert language_id.f1(["a", "a", "b"], ["a", "b", "b"]) == {"a": pytest.approx(2 / 3), "b": pytest.approx(2 / 3)}
    assert language_id.auroc([0.9, 0.8], [0.1, 0.85]) == 0.75


def test_records_in_another_language_go_and_short_ones_stay(tseltal):
    pairs = [Pair(str(i), b, a, "tzh", "spa", f"a:{i}") for i, (a, b) in enumerate(tseltal)]
    french = "Les gouvernements se sont réunis hier pour discuter de la nouvelle loi sur les pensions"
    wrong = [
        Pair(
            "x1",
            "Los gobiernos se reunieron ayer para discutir la nueva ley de pensiones",
            "Los gobiernos",
            "tzh",
            "spa",
            "a:1",
        ),
        Pair("x2", french, "Los gobiernos se reunieron ayer", "tzh", "spa", "a:2"),
    ]
    fine = [Pair("y", "Juan Pérez", "Juan Pérez", "tzh", "spa", "a:3"), Pair("z", "OK", "vale", "tzh", "spa", "a:4")]
    kept, drops, facts = sifted(language, [*pairs, *wrong, *fine])
    assert [drop.record.id for drop in drops] == ["x1", "x2"]
    assert all(drop.reason == "language.other" and "Tseltal" in drop.detail for drop in drops)
    assert len(kept) == len(pairs) + len(fine)
    assert facts["learned"] == ["tzh", "spa"]
    long = sum(sum(map(str.isalpha, b)) >= 25 for _, b in tseltal)
    assert sum(facts["seen"]["tzh"].values()) == long + 2
    # From so many records on, all cores tell languages, and say the same.
    again = sifted(language, [*pairs, *wrong, *fine], sample=len(pairs))
    assert [drop.record.id for drop in again[1]] == ["x1", "x2"] and again[2]["seen"] == facts["seen"]


def test_misread_text_is_shown_first_and_repaired_on_request():
    texts = ["El niÃ±o comiÃ³ maÃ­z", "El niño comió maíz", "l’Ã©tÃ©", "FrÃ©dÃ©ric ሰላም", "Ð¿Ñ€Ð¸Ð²ÐµÑ‚"]
    kept, _, facts = sifted(mojibake, map(doc, texts))
    assert [one.text for one in kept] == texts
    assert facts["texts"] == 4 and not facts["added"] and len(facts["repairs"]) == 4
    [table] = facts["tables"]
    assert "--mojibake.repair" in table["title"] and table["rows"][0][:2] == [
        "El niÃ±o comiÃ³ maÃ­z",
        "El niño comió maíz",
    ]
    kept, _, facts = sifted(mojibake, map(doc, texts), repair=True)
    assert [one.text for one in kept] == ["El niño comió maíz", "El niño comió maíz", "l’été", "Frédéric ሰላም", "привет"]
    assert count_blocks("".join(texts)) + dict_counter(facts["added"]) == count_blocks(
        "".join(one.text for one in kept)
    ) + dict_counter(facts["removed"])


def dict_counter(counts):
    from collections import Counter

    return Counter(counts)


@given(st.text(alphabet="aeiouñãẽĩõũỹáéíóúüç ¿¡«»“”’–…ABÑÇ", max_size=40))
def test_what_was_read_rightly_is_not_repaired(text):
    wrong = text.encode().decode("cp1252", errors="ignore")
    # What happens to spell a character of another script in UTF-8 is, letter for letter, text read wrongly.
    assume(not re.search(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}", text.encode("cp1252", errors="replace")))
    assert repaired(text) == text or repaired(text).encode().decode("cp1252", errors="ignore") == text
    assert len(repaired(wrong)) <= len(wrong)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("Москвa", "Москва"),
        ("pаper", "paper"),
        ("kоp", "kop"),
        ("Αthens", "Athens"),
        ("χwa", None),
        ("Aβc", None),
        ("ОК", "ОК"),
    ],
)
def test_look_alike_letters_are_put_right_where_they_explain_the_word(word, expected):
    assert mixed_script.unmixed(word) == expected


def test_look_alike_letters_are_reported_with_the_stock_of_scripts():
    records = [doc("Москвa χwa", "rus"), doc("ta bats'il k'op", "tzh")]
    kept, _, facts = sifted(mixed_script, records)
    assert kept == records and facts["kinds"] == {"Москвa → Москва": 1} and facts["unexplained"] == {"χwa": 1}
    latin = facts["inventory"]["tzh"]["Latn"]
    assert latin["letters"] == 11 and set(latin["most"]) == set("tabsilkop")
    kept, _, facts = sifted(mixed_script, records, repair=True)
    assert kept[0].text == "Москва χwa" and facts["added"] == {"Cyrillic": 1} and facts["removed"] == {"Basic Latin": 1}


def test_apostrophes_become_the_one_used_most_and_quotes_stay():
    text = "k'op ta ma’ jna' 'sí' dijo, kʼop xk'an ‘ch'ay’ sʼ 5' ’tis"
    kept, _, facts = sifted(apostrophes, [doc(text), doc("l’été d’hier", "fra")], language="tzh")
    assert kept[0].text == "k'op ta ma' jna' 'sí' dijo, k'op xk'an ‘ch'ay’ s' 5' 'tis"
    assert kept[1].text == "l’été d’hier"
    assert facts["chosen"] == "U+0027 APOSTROPHE" and facts["found"]["U+02BC MODIFIER LETTER APOSTROPHE"] == 2
    assert ["U+2019 RIGHT SINGLE QUOTATION MARK", 2, "U+0027 APOSTROPHE"] in facts["tables"][0]["rows"]
    kept, _, _ = sifted(apostrophes, [doc(text)], language="tzh", to="ꞌ")
    assert kept[0].text == "kꞌop ta maꞌ jnaꞌ 'sí' dijo, kꞌop xkꞌan ‘chꞌay’ sꞌ 5' ꞌtis"


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("escribe a ana.lópez@escuela.edu.mx o llama al +52 55 1234 5678.", ["email", "phone"]),
        ("Tel: 0911234567, ስልክ 0911 23 45 67, (0212) 555-1212", ["phone"] * 3),
        ("4111 1111 1111 1111 y DE89 3704 0044 0532 0130 00", ["card", "iban"]),
        ("cédula 12.345.678, DNI 12345678", ["id", "id"]),
        ("4111 1111 1111 1112, DE88 3704 0044 0532 0130 00", []),
        ("Génesis 1:1-31; 2:4; en 1994-1998, 2005/06, 2010-01-02, 1548-1551-1560", []),
        ("ISBN 978-3-16-148410-0, 0-306-40615-2, 9783161484100", []),
        ("12 345 678 habitantes, US$ 112.000.000, 3.14159265358979, 2,000,000", []),
        ("1 2 3 4 5 6 7 8 9 10, 119 118 117 116, ፳፻፲፮, @ana, a@b", []),
    ],
)
def test_personal_data_is_found_and_verses_years_and_books_are_not(text, kinds):
    assert [item.kind for item in find(text)] == kinds


def test_personal_data_is_counted_always_and_masked_on_request():
    record = doc("a@b.org, tel. 555-123-4567, ana@c.org")
    [kept], _, facts = sifted(pii, [record])
    assert kept.text == record.text and kept.meta["pii"] == {"email": 2, "phone": 1}
    assert facts["found"] == {"email": 2, "phone": 1} and "a@b.org" not in json.dumps(facts)
    [kept], _, facts = sifted(pii, [record], mask=True)
    assert kept.text == "[email], tel. [phone], [email]" and facts["masked"]
    assert masked("nada", []) == "nada"
    [kept], _, _ = sifted(pii, [doc("Tel. ٠٩١١٢٣٤٥٦٧")])
    assert kept.meta["pii"] == {"phone": 1}


def test_forms_of_scripts_are_offered_and_put_right_only_when_named():
    records = [
        doc("ﺳﻼم ســلام", "ara"),
        doc("ሰላም፡፡ ደህና:: ሰላም፡ለዓለም", "amh"),
        doc("रामः गच्छति | सीता अपि || std::x", "san"),
    ]
    kept, _, facts = sifted(script_forms, records)
    assert kept == records and facts["kinds"] == {"arabic_forms": 1, "tatweel": 1, "ethiopic_stops": 1, "dandas": 1}
    kept, _, _ = sifted(script_forms, records, repair=["arabic_forms", "ethiopic_stops", "dandas"])
    assert [one.text for one in kept] == ["سلام ســلام", "ሰላም። ደህና። ሰላም፡ለዓለም", "रामः गच्छति । सीता अपि ॥ std::x"]
    assert sifted(script_forms, records[:1], repair=["tatweel"])[0][0].text == "ﺳﻼم سلام"


@given(st.integers(1, 10**13))
def test_ethiopic_numerals_are_read_as_they_are_written(number):
    assert parse_number(format_number(number)) == number


@pytest.mark.parametrize(
    ("text", "number"),
    # The last two of the first line are the examples of CSS Counter Styles Level 3.
    [
        ("፩", 1),
        ("፻፩", 101),
        ("፩፻፩", 101),
        ("፲፱፻፺፬", 1994),
        ("፸፰፻፩፼፺፪", 78010092),
        ("፸፰፻፼፼፲፻፺፪", 780000001092),
        ("፪ሺ፰", 2008),
        ("፼", 10000),
    ],
)
def test_ethiopic_numerals_of_both_habits(text, number):
    assert parse_number(text) == number


@pytest.mark.parametrize("text", ["", "፩፪", "፩፲", "12", "ሀ", "ሺ"])
def test_what_is_no_ethiopic_numeral_is_refused(text):
    with pytest.raises(ValueError):
        parse_number(text)


def test_letters_of_one_sound_are_folded_for_looking_up_alone():
    assert fold("ዓለም ሠላም ኃይለ ፀሐይ ፲፪", "amh") == fold("አለም ሰላም ሀይለ ጸሀይ 12", "amh") == "አለም ሰላም ሀይለ ጸሀይ 12"
    assert fold("ዓለም ሠላም", "tir") == "ዓለም ሠላም" and not has_rules("tir")
    assert normalise("ዓለም ሠላም።") == normalise("አለም ሰላም")
    [kept], _, _ = sifted(unicode, [doc("ዓለም ሠላም ኃይለ ፀሐይ ፲፪", "amh")])
    assert kept.text == "ዓለም ሠላም ኃይለ ፀሐይ ፲፪"


def in_block(name: str):
    """Texts of words of the assigned letters and marks of one block."""
    starts = [start for start, _ in TABLE["blocks"]]
    start = next(start for start, other in TABLE["blocks"] if other == name)
    later = [other for other in starts if other > start]
    chars = [
        chr(code)
        for code in range(start, min(later) if later else 0x110000)
        if unicodedata.category(chr(code))[0] in "LMN"
    ]
    return chars[:400]


@pytest.mark.parametrize("name", [name for name in BLOCKS if in_block(name)])
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_texts_that_are_fine_pass_untouched_in_every_block(name, data):
    letters = in_block(name)
    words = st.lists(st.text(st.sampled_from(letters), min_size=1, max_size=6), min_size=1, max_size=4)
    text = unicodedata.normalize("NFC", " ".join(data.draw(words)))
    report = unicode.Report()
    # What the Unicode filter leaves is the text itself, but for joiners and controls that do nothing, which no letter is.
    assert unicode.repaired(text, "xxx", unicode.Config(), False, report) == text
    if name not in ("Latin-1 Supplement", "Latin Extended-A"):
        assert repaired(text) == text
    # Of the letterlike symbols, NFC makes letters of several scripts: Ohm is Greek, Kelvin Latin.
    if not set(map(script, text)) & set(mixed_script.SCRIPTS):
        assert sifted(mixed_script, [doc(text, "xxx")], repair=True)[0][0].text == text
    if name not in ("Arabic Presentation Forms-A", "Arabic Presentation Forms-B"):
        assert (
            sifted(script_forms, [doc(text, "xxx")], repair=["arabic_forms", "ethiopic_stops", "dandas"])[0][0].text
            == text
        )
    # Digits of any script can be a telephone number.
    assert any(map(str.isdigit, text)) or [item for item in find(text) if item.kind != "id"] == []
    assert fold(fold(text, "amh"), "amh") == fold(text, "amh")
    assert all(block(char) for char in langid.letters(text))


@pytest.mark.parametrize(
    "text",
    ["अ॒ग्निमी॑ळे पु॒रोहि॑तं", "क़ ज़ फ़", "क्‍ष र्‍य", "می‌خواهم", "ọ̀rọ̀ ẹ́ ụ̄", "ñu̱hu̱ ꞌä̱", "ā̀ ế ẫ", "ሀሎ፡ሐመር፡ኀይል።"],
)
def test_marks_stay_in_their_order_through_all_that_reports(text):
    text = unicodedata.normalize("NFC", text)
    record = doc(text, "xxx")
    for module in (unicode, mojibake, mixed_script, script_forms, pii):
        kept, drops, _ = sifted(module, [record])
        assert kept == [record] and not drops
    assert not any(isinstance(item, Drop) for item in script_forms.sift([record], script_forms.Config()))
