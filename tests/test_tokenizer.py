"""The tokenizer report: counts that can be checked by hand, in scripts where `split()` and characters mislead."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import pytest

from endonym.data.dataset import Dataset, DatasetWriter
from endonym.errors import EndonymError
from endonym.tokenizer.actions import report
from endonym.tokenizer.measure import byte_alphabet, dearest_words, fragment_test, measure
from endonym.types import Pair


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


def job_for(tmp_path, tiny_model, language="tzh", pivot="spa"):
    output = tmp_path / "out"
    output.mkdir(exist_ok=True)
    project = SimpleNamespace(base=str(tiny_model), language=language, pivot=pivot)
    return SimpleNamespace(project=project, output=output, log=lambda text: None, summary=lambda **values: None)


def dataset(folder, pairs, codes=("spa", "tzh"), sealed=()):
    folder.mkdir(exist_ok=True)
    with DatasetWriter(folder) as out:
        for number, (a, b) in enumerate(pairs):
            out.keep(Pair(str(number), a, b, *codes, "x:1"), "train")
        for number, (a, b) in enumerate(sealed):
            out.keep(Pair(f"t{number}", a, b, *codes, "x:1"), "test")
    return Dataset(folder, "tokenizer")


def test_a_byte_level_tokenizer_on_amharic_is_all_fragments(tokenizer):
    """The tiny tokenizer never saw Ethiopic: three bytes a letter, each a token and none of them a character."""
    found = measure(tokenizer, ["ሰላም"], "amh")
    assert (found.characters, found.bytes, found.tokens, found.fragments) == (3, 9, 9, 9)
    assert found.fragment_rate == 1.0 and found.covered == 0.0 and found.bytes_per_token == 1.0
    assert dict(found.uncovered) == {"ሰ": 1, "ላ": 1, "ም": 1}


def test_its_own_language_is_covered(tokenizer, tseltal):
    found = measure(tokenizer, [b for _, b in tseltal], "tzh")
    assert found.covered > 0.999 and found.fragment_rate < 0.01
    assert found.tokens_per_word == pytest.approx(found.tokens / found.words)
    assert 1 < found.tokens_per_word < 4


def test_words_are_cut_at_the_punctuation_of_the_script(tokenizer):
    """The old Ethiopic word separator: one word to `split()`, four to a reader."""
    text = "ሰላም፡ለዓለም፡ሁሉ፡ይሁን።"
    assert len(text.split()) == 1
    assert measure(tokenizer, [text], "amh").words == 4


def test_byte_alphabet_is_the_one_tokenizers_use():
    from tokenizers import pre_tokenizers

    assert sorted(byte_alphabet()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(byte_alphabet().values()) == list(range(256))
    assert byte_alphabet()["Ġ"] == 32


def test_byte_fallback_and_unknown_are_fragments():
    fake = SimpleNamespace(unk_token="<unk>", all_special_tokens=["<unk>"], backend_tokenizer=None)
    is_fragment = fragment_test(fake)
    assert is_fragment("<0xE1>") and is_fragment("<unk>")
    assert not is_fragment("▁casa") and not is_fragment("ሰ")


@pytest.mark.parametrize(("factor", "verdict"), [(1.5, "fine"), (2.5, "slower"), (4.0, "extend")])
def test_verdict_follows_the_cost(tokenizer, factor, verdict):
    """Digits are single tokens here, so the cost factor is the ratio of their numbers."""
    target, pivot = ["7" * int(10 * factor)] * 3, ["7" * 10] * 3
    found = report.compare(tokenizer, target, pivot, "tzh", "spa", True, report.Config())
    assert found["cost_factor"] == pytest.approx(factor)
    assert found["verdict"] == verdict and f"{factor:.2f} times" in found["advice"]


def test_report_reads_training_text_only_and_writes_what_it_promises(tmp_path, tiny_model, tseltal):
    sealed = [("secreto " * 50, "mukul " * 50)] * 200
    job = job_for(tmp_path, tiny_model)
    report.run(report.Config(), dataset(tmp_path / "a", tseltal[:100], sealed=sealed), job)
    found = json.loads((job.output / "report.json").read_text(encoding="utf-8"))
    assert found["target"]["texts"] == found["pivot"]["texts"] == 100
    assert found["parallel"] and found["target"]["language"] == "tzh"
    assert found["target"]["characters"] == sum(len(b) for _, b in tseltal[:100])
    assert found["context"] == 1024
    assert found["context_share"] == pytest.approx(found["target"]["tokens"] / 100 / 1024)
    assert len(found["tokenizer_hash"]) == len(found["data_hash"]) == 64
    root = ET.fromstring((job.output / "report.svg").read_text(encoding="utf-8"))
    assert [child.tag.rpartition("}")[2] for child in root][:2] == ["title", "desc"]
    table = (job.output / "report.txt").read_text(encoding="utf-8")
    assert "tokens per word" in table and found["advice"] in table


def test_no_text_in_the_language_is_an_error_with_a_repair(tmp_path, tiny_model, tseltal):
    data = dataset(tmp_path / "a", tseltal[:5])
    with pytest.raises(EndonymError, match=r"endonym\.toml"):
        report.run(report.Config(), data, job_for(tmp_path, tiny_model, language="amh"))


def test_without_parallel_text_characters_are_compared(tokenizer, tmp_path, tseltal):
    """As many texts in both languages are not yet translations of each other."""
    pairs = [(a, b * 3) for a, b in tseltal[:10]]
    folder = tmp_path / "loose"
    folder.mkdir()
    with DatasetWriter(folder) as out:
        for number, (a, b) in enumerate(pairs):
            out.keep(Pair(f"a{number}", a, a, "spa", "fra", "x:1"), "train")
            out.keep(Pair(f"b{number}", b, b, "tzh", "fra", "x:1"), "train")
    target, other, parallel = report.gather(Dataset(folder, "tokenizer"), "tzh", "spa", 100)
    assert len(target) == len(other) == 10 and not parallel
    found = report.compare(tokenizer, target, other, "tzh", "spa", parallel, report.Config())
    ours, theirs = (measure(tokenizer, texts, "x") for texts in (target, other))
    assert found["cost_factor"] == pytest.approx(ours.tokens_per_character / theirs.tokens_per_character)
    assert found["cost_factor"] < 0.6 * ours.tokens / theirs.tokens
    assert "a character" in found["advice"] and "same content" not in found["advice"]


def test_without_pivot_text_there_is_no_verdict(tmp_path, tiny_model, tseltal):
    job = job_for(tmp_path, tiny_model)
    report.run(report.Config(), dataset(tmp_path / "a", tseltal[:10], ("fra", "tzh")), job)
    found = json.loads((job.output / "report.json").read_text(encoding="utf-8"))
    assert found["cost_factor"] is None and found["verdict"] == "unknown" and found["advice"].startswith("No verdict")
    drawn = [bar.get("class") for bar in ET.parse(job.output / "report.svg").iter("{http://www.w3.org/2000/svg}rect")]
    assert drawn == ["ours"] * 3
    assert "spa" not in (job.output / "report.txt").read_text(encoding="utf-8").partition("No verdict")[0]


def test_texts_are_chosen_over_the_whole_corpus(tmp_path, tseltal):
    target, _, _ = report.gather(dataset(tmp_path / "a", tseltal[:100]), "tzh", "spa", 60)
    assert len(target) == 60 and target[0] == tseltal[0][1] and target[-1] in [b for _, b in tseltal[97:100]]


def test_95_of_100_texts_need_at_most_so_many_tokens(tokenizer):
    found = measure(tokenizer, ["7" * n for n in range(1, 21)], "x")
    assert found.tokens_per_text_95 == 19
    assert measure(tokenizer, ["777"], "x").tokens_per_text_95 == 3
    assert measure(tokenizer, [], "x").tokens_per_text_95 == 0


def test_thresholds_must_be_in_order():
    with pytest.raises(ValueError, match="fine_below must not be more than extend_above"):
        report.Config(fine_below=4)


def test_pieces_show_the_whole_word(tokenizer, tseltal):
    rows = dearest_words(tokenizer, [b for _, b in tseltal])
    assert rows
    for word, pieces in rows:
        assert "".join(pieces) == word
