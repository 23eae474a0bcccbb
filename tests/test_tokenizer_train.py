"""Extended and new tokenizers in three scripts: the pivot stays as it was, every token can be reached, every line comes back."""

from __future__ import annotations

import json
import unicodedata
from itertools import pairwise
from types import SimpleNamespace

import pytest

from endonym.data.dataset import Dataset, DatasetWriter
from endonym.errors import EndonymError
from endonym.models.spelling import in_alphabet
from endonym.tokenizer.actions import extend, train
from endonym.tokenizer.build import base_bpe, bytes_only, extended, pre_tokens, round_trips, trained
from endonym.tokenizer.corpus import broken_words, evenly, texts_of
from endonym.tokenizer.measure import measure
from endonym.tokenizer.merges import Merges, learn
from endonym.types import Pair

CODES = {"tseltal": ("spa", "tzh"), "amharic": ("eng", "amh"), "sanskrit": ("eng", "san")}


@pytest.fixture(scope="module")
def base(tiny_model):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.fixture(params=CODES)
def language(request):
    return request.param


def job_for(folder, base, name):
    pivot, language = CODES[name]
    (folder / "out").mkdir(exist_ok=True)
    project = SimpleNamespace(base=str(base), language=language, pivot=pivot)
    said: list[str] = []
    return SimpleNamespace(
        project=project,
        output=folder / "out",
        log=said.append,
        said=said,
        tick=lambda *a: None,
        summary=lambda **v: None,
    )


def dataset(folder, pairs, name, sealed=()):
    with DatasetWriter(folder / "data") as out:
        for number, (a, b) in enumerate(pairs):
            out.keep(Pair(str(number), a, b, *CODES[name], "x:1"), "train")
        for number, (a, b) in enumerate(sealed):
            out.keep(Pair(f"t{number}", a, b, *CODES[name], "x:1"), "test")
    return Dataset(folder / "data", "tokenizer")


def made_by(action, folder, tiny_model, name, pairs, sealed=(), **settings):
    from transformers import AutoTokenizer

    job = job_for(folder, tiny_model, name)
    action.run(action.Config(**settings), dataset(folder, pairs, name, sealed), job)
    report = json.loads((job.output / "report.json").read_text(encoding="utf-8"))
    return AutoTokenizer.from_pretrained(job.output / "tokenizer"), report, job


def test_extension_keeps_its_promises(tmp_path, tiny_model, base, language, request):
    pairs = request.getfixturevalue(language)
    made, report, _ = made_by(extend, tmp_path, tiny_model, language, pairs, size=120, least=2)
    assert len(made) == len(base) + report["added"] > len(base) + 30
    for text, _ in pairs:
        assert made.encode(text) == base.encode(text)
    assert report["pivot_texts_identical"] == len(pairs)
    names = made.convert_ids_to_tokens(range(len(base), len(made)))
    assert not extend.unreachable(made, names) and not report["unreachable_removed"]
    assert base.get_vocab().items() <= made.get_vocab().items()
    assert [base.convert_tokens_to_ids(t) for t in base.all_special_tokens] == made.convert_tokens_to_ids(
        base.all_special_tokens
    )
    for _, text in pairs:
        assert made.decode(made.encode(text), clean_up_tokenization_spaces=False) == text
    # The tiny tokenizer was made of Tseltal; the other two scripts it has never seen.
    share = 0.92 if language == "tseltal" else 0.7
    assert report["after"]["tokens_per_word"] < share * report["before"]["tokens_per_word"]
    assert made.chat_template == base.chat_template


def test_new_merges_stand_behind_the_old(tmp_path, tiny_model, base, tseltal):
    made, _, _ = made_by(extend, tmp_path, tiny_model, "tseltal", tseltal, size=50, least=2)
    old, new = (json.loads(t.backend_tokenizer.to_str()) for t in (base, made))
    assert new["model"]["merges"][: len(old["model"]["merges"])] == old["model"]["merges"]
    assert len(new["model"]["merges"]) >= len(old["model"]["merges"]) + 50
    assert new["pre_tokenizer"] == old["pre_tokenizer"] and new["added_tokens"] == old["added_tokens"]


def slowly(base, words, size, folder):
    """Tokenise everything anew after every merge with the real tokenizer, count pairs, take the most frequent."""
    made, vocabulary, current = Merges(), dict(base.get_vocab()), base
    while len(made.tokens) < size:
        model, counts = current.backend_tokenizer.model, {}
        for word, times in words.items():
            for pair in pairwise([token.id for token in model.tokenize(word)]):
                counts[pair] = counts.get(pair, 0) + times
        pair = min(counts, key=lambda p: (-counts[p], p))
        left, right = current.convert_ids_to_tokens(list(pair))
        if left + right not in vocabulary:
            vocabulary[left + right] = made.tokens[left + right] = len(base) + len(made.tokens)
        made.pairs.append((left, right))
        current = extended(base, made, folder)
    return made


def test_merges_are_those_of_a_slow_trainer(tmp_path, base, amharic, tseltal):
    words = pre_tokens(base, [b for _, b in amharic[:12]] + [b for _, b in tseltal[:12]])
    found, slow = learn(words, [], base_bpe(base, "tiny"), 30, 2), slowly(base, words, 30, tmp_path)
    assert found.pairs == slow.pairs and found.tokens == slow.tokens


def test_a_merge_may_spell_a_token_there_was(tmp_path, base):
    """`abc` cannot be reached from `bc`, which is merged first; once it is, `abc` + `d`, an old merge, applies at once."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    definition = json.loads(base.backend_tokenizer.to_str())
    merges = [["b", "c"], ["a", "b"], ["ab", "c"], ["abc", "d"]]
    for left, right in merges:
        definition["model"]["vocab"].setdefault(left + right, len(definition["model"]["vocab"]))
    definition["model"]["merges"] = merges
    odd = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(definition)), eos_token="<|im_end|>")
    words = {"abcd": 9, "abcdabc": 5, "xabcdabcd": 4, "zabc": 7}
    found, slow = learn(words, [], base_bpe(odd, "odd"), 4, 2), slowly(odd, words, 4, tmp_path)
    assert found.pairs == slow.pairs and found.pairs[0] == ("a", "bc") and len(found.pairs) > len(found.tokens) == 4


def test_pairs_of_the_pivot_are_never_merged(base):
    words = pre_tokens(base, ["kasa kasa kasa mesa"])
    bpe = base_bpe(base, "tiny")
    free, held = learn(words, [], bpe, 10, 1), learn(words, pre_tokens(base, ["kasa"]), bpe, 10, 1)
    assert "Ġkasa" in free.tokens or "kasa" in free.tokens
    assert held.protected > 0
    assert not {pair for pair in held.pairs if "".join(pair) in "kasa"}


def test_a_base_that_takes_whole_words_first(tmp_path, base, amharic):
    """Llama 3 looks a word up before it merges: a new token that is a pivot word would be taken at once."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    definition = json.loads(base.backend_tokenizer.to_str())
    definition["model"]["ignore_merges"] = True
    backend = Tokenizer.from_str(json.dumps(definition))
    eager = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")
    pivot = [a for a, _ in amharic]
    bpe = base_bpe(eager, "tiny")
    assert bpe.whole_first
    merges = learn(pre_tokens(eager, [b for _, b in amharic] + pivot), pre_tokens(eager, pivot), bpe, 200, 2)
    made = extended(eager, merges, tmp_path)
    assert all(made.encode(text) == eager.encode(text) for text in pivot)
    assert not extend.unreachable(made, merges.tokens)


def test_tokens_beside_the_vocabulary_keep_their_ids(tmp_path, base, amharic):
    """Qwen's special tokens stand behind the vocabulary; a loader would number them anew when it grows."""
    from tokenizers import AddedToken
    from transformers import AutoTokenizer

    base.save_pretrained(tmp_path / "base")
    beside = AutoTokenizer.from_pretrained(tmp_path / "base")
    beside.add_tokens([AddedToken("<|tool|>", special=True), AddedToken("<|call|>", special=True)])
    ids = beside.convert_tokens_to_ids(["<|tool|>", "<|call|>", "<|im_end|>"])
    merges = learn(pre_tokens(beside, [b for _, b in amharic]), [], base_bpe(beside, "tiny"), 20, 2)
    made = extended(beside, merges, tmp_path / "made")
    assert made.convert_tokens_to_ids(["<|tool|>", "<|call|>", "<|im_end|>"]) == ids
    assert set(merges.tokens.values()) == set(range(len(beside), len(beside) + 20))
    assert made.encode("a<|call|>b")[1] == ids[1]


def test_without_a_token_goes_all_that_is_made_of_it():
    merges = Merges([("a", "b"), ("ab", "c"), ("d", "e"), ("abc", "de")], {"ab": 9, "abc": 10, "de": 11, "abcde": 12})
    left = merges.without(["abc"], 9)
    assert left.pairs == [("a", "b"), ("d", "e")] and left.tokens == {"ab": 9, "de": 10}


@pytest.mark.parametrize("model", ["bpe", "unigram", "bytes"])
def test_new_tokenizer_gives_every_line_back(tmp_path, tiny_model, base, language, model, request):
    pairs = request.getfixturevalue(language)
    made, report, _ = made_by(train, tmp_path, tiny_model, language, pairs, size=600, model=model)
    assert len(made) <= 600 and report["size"] == len(made)
    strange = ["  two  spaces \n\n and\ttabs", "ዓለም፡ሁሉ፡ይሁን።", "क्‍ष कि॑म्", "👩🏽‍🌾 x\u200by"]
    assert round_trips(made, [*strange, *(text for pair in pairs for text in pair)]) is None
    assert made.convert_tokens_to_ids(base.all_special_tokens) and made.chat_template == base.chat_template
    for token in base.all_special_tokens:
        assert made.encode(token) == [made.convert_tokens_to_ids(token)]
    assert made.eos_token == base.eos_token and made.pad_token == base.pad_token


def test_new_tokenizer_needs_fewer_tokens(tmp_path, tiny_model, language, request):
    _, report, _ = made_by(train, tmp_path, tiny_model, language, request.getfixturevalue(language), size=800)
    assert (
        report["after"]["tokens_per_word"]
        < (1.02 if language == "tseltal" else 0.5) * report["before"]["tokens_per_word"]
    )


def test_marks_joiners_and_apostrophes_stay_in_their_word(tmp_path, tiny_model, base, sanskrit):
    made, report, _ = made_by(train, tmp_path, tiny_model, "sanskrit", sanskrit, size=400)
    cut = made.backend_tokenizer.pre_tokenizer.pre_tokenize_str

    def pieces(text):
        return [text[a:b] for _, (a, b) in cut(text)]

    assert pieces("किं त्वं क्‍ष") == ["किं", " त्वं", " क्‍ष"]
    assert pieces("ሰላም፡ለዓለም።") == ["ሰላም", "፡", "ለዓለም", "።"]
    assert pieces("k'op ja'") == ["k'op", " ja'"]
    assert pieces("a\u0301b 12") == ["a\u0301b", " ", "1", "2"]
    assert report["broken_words"]["broken"] == 0
    before = broken_words(base, [b for _, b in sanskrit])
    assert before["share"] > 0.5 and before["at_marks"] > 0
    assert any(unicodedata.category(p[0])[0] == "M" for _, cut_up in before["examples"] for p in cut_up)


def test_extension_says_that_words_are_broken(tmp_path, tiny_model, sanskrit):
    _, report, job = made_by(extend, tmp_path, tiny_model, "sanskrit", sanskrit, size=20, least=2)
    assert report["broken_words"]["share"] > 0.5
    assert any("no token can hold them whole" in line for line in job.said)


def test_test_split_is_not_read(tmp_path, tiny_model, amharic):
    made, _, _ = made_by(extend, tmp_path, tiny_model, "amharic", amharic, [("x", "ጰጰጰጰጰጰ")] * 50, size=100, least=2)
    assert in_alphabet("ጰጰ") not in made.get_vocab()


def test_numbers_are_measured_on_held_out_text(tmp_path, amharic):
    data = dataset(tmp_path, amharic, "amharic")
    assert texts_of(data, "amh", "eng").split == "train"
    with DatasetWriter(tmp_path / "data") as out:
        out.keep(Pair("1", "a", "ሰላም", "eng", "amh", "x:1"), "train")
        out.keep(Pair("2", "b", "ዓለም", "eng", "amh", "x:1"), "valid")
    texts = texts_of(Dataset(tmp_path / "data", "tokenizer"), "amh", "eng")
    assert (texts.target, texts.held, texts.split) == (["ሰላም"], ["ዓለም"], "valid")
    assert (texts.held_pivot, texts.pivot_split) == (["b"], "valid")
    with DatasetWriter(tmp_path / "data") as out:
        out.keep(Pair("1", "a", "ሰላም", "eng", "amh", "x:1"), "train")
        out.keep(Pair("2", "b", "ዓለም", "fra", "amh", "x:1"), "valid")
    texts = texts_of(Dataset(tmp_path / "data", "tokenizer"), "amh", "eng")
    assert (texts.split, texts.pivot_split) == ("valid", "train")
    assert texts_of(Dataset(tmp_path / "data", "tokenizer"), "amh", "deu").pivot_split == "valid", (
        "there is none to know"
    )


def test_unigram_cannot_be_extended(tmp_path, tiny_model, amharic):
    made, _, _ = made_by(train, tmp_path, tiny_model, "amharic", amharic, size=400, model="unigram")
    with pytest.raises(EndonymError, match="only byte-level BPE has merges") as caught:
        base_bpe(made, "unigram")
    assert "endonym tokenizer train" in caught.value.hint


def test_bytes_are_one_token_each(tmp_path, base):
    made = bytes_only(base, tmp_path)
    assert measure(made, ["ሰላም"], "amh").tokens == 9
    assert len(made) == 256 + len(base.added_tokens_decoder)


@pytest.mark.parametrize("model", ["bpe", "unigram", "bytes"])
def test_tokens_that_are_text_stay_text(tmp_path, base, amharic, model):
    """GPT-NeoX matches runs of spaces whole; they are no special tokens, and an answer must not lose them."""
    from tokenizers import AddedToken
    from transformers import AutoTokenizer

    base.save_pretrained(tmp_path / "base")
    beside = AutoTokenizer.from_pretrained(tmp_path / "base")
    beside.add_tokens([AddedToken("  ", normalized=False)])
    texts = [b for _, b in amharic]
    folder = tmp_path / "made"
    made = bytes_only(beside, folder) if model == "bytes" else trained(beside, texts, model, 400, "words", folder)
    assert made.decode(made.encode("a  ሰ<|im_end|>"), skip_special_tokens=True) == "a  ሰ"
    assert made.all_special_tokens == base.all_special_tokens


@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_a_size_that_the_special_tokens_fill_is_refused(tmp_path, base, amharic, model):
    from transformers import AutoTokenizer

    base.save_pretrained(tmp_path / "base")
    many = AutoTokenizer.from_pretrained(tmp_path / "base")
    many.add_special_tokens({"additional_special_tokens": [f"<|reserved_{n}|>" for n in range(60)]})
    least = len(many.added_tokens_decoder) + 256 + (model == "unigram")
    with pytest.raises(EndonymError, match="no room for the 256 bytes") as caught:
        trained(many, [b for _, b in amharic], model, least - 1, "words", tmp_path / "made")
    assert f"--size {least}" in caught.value.hint
    assert len(trained(many, [b for _, b in amharic], model, least, "words", tmp_path / "made")) == least


def test_a_base_that_is_not_byte_level_cuts_nothing(tmp_path, base, amharic):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    plain = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    with pytest.raises(EndonymError, match="would lose letters") as caught:
        trained(plain, [b for _, b in amharic], "bpe", 400, "base", tmp_path)
    assert "--cut words" in caught.value.hint
    made = trained(plain, [b for _, b in amharic], "bpe", 400, "words", tmp_path)
    assert round_trips(made, [b for _, b in amharic]) is None


def test_candidates_are_not_tried_on_what_they_learned_by_heart(tmp_path, tiny_model, amharic):
    from endonym.tokenizer.actions import decide
    from endonym.tokenizer.trials import KEEP, try_one

    job = job_for(tmp_path, tiny_model, "amharic")
    job.folder = tmp_path
    with pytest.raises(EndonymError, match="no validation text in 'amh'") as caught:
        try_one(KEEP, decide.Config(), dataset(tmp_path, amharic, "amharic"), job, None)
    assert "--valid-size" in str(caught.value)
    with DatasetWriter(tmp_path / "data") as out:
        out.keep(Pair("1", "a", "ሰላም", "eng", "amh", "x:1"), "train")
        out.keep(Pair("2", "b", "ዓለም", "fra", "amh", "x:1"), "valid")
    with pytest.raises(EndonymError, match="no validation text in 'eng'"):
        try_one(KEEP, decide.Config(), Dataset(tmp_path / "data", "tokenizer"), job, None)


def test_texts_to_score_are_chosen_over_the_whole_corpus():
    assert evenly(range(199), 100)[-1] == 197 and evenly(range(3), 5) == [0, 1, 2] and evenly([], 5) == []


def test_the_check_of_an_extension_sees_every_text(tmp_path, tiny_model, base, tseltal):
    """A tokenizer that changes one text, the last of more than are tokenised at once and standing there twice, is refused."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from endonym.tokenizer.corpus import AT_ONCE, Texts, encoded

    def broken(**parts):
        definition = {**json.loads(base.backend_tokenizer.to_str()), **parts}
        return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(definition)))

    many = [f"{b} {n}" for n in range(AT_ONCE // 100) for _, b in tseltal[:110]]
    strange = "jun ~ winik"
    assert len(set(many)) > AT_ONCE and not any("~" in text for text in many)
    losing = broken(normalizer={"type": "Replace", "pattern": {"String": "~"}, "content": "-"})
    texts = Texts([*many, strange, strange], [*many, strange], many, many)
    used = extend._hold(base, base, texts, texts.pivot)
    assert used == {number for text in texts.target for number in base.encode(text, add_special_tokens=False)}
    with pytest.raises(EndonymError, match="cuts 'jun ~ winik' otherwise"):
        extend._hold(base, losing, texts, texts.pivot)
    with pytest.raises(EndonymError, match="'jun ~ winik' comes back from the extended tokenizer as 'jun - winik'"):
        extend._hold(base, losing, texts, [])
    assert extend._hold(losing, losing, texts, texts.pivot), "what the base does already is no fault of the extension"
    assert round_trips(losing, texts.target) == strange
    cutting = broken(truncation={"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0})
    assert list(encoded(cutting, [strange])) == [base.encode(strange, add_special_tokens=False)]


def test_an_extension_that_adds_nothing_is_an_error(tmp_path, tiny_model, tseltal):
    """The newest tokenizer is what training takes: it must not be one that changes nothing."""
    job = job_for(tmp_path, tiny_model, "tseltal")
    data = dataset(tmp_path, tseltal[:3], "tseltal")
    with pytest.raises(EndonymError, match="would add no token: no pair that may be merged stands 99 times") as caught:
        extend.run(extend.Config(least=99), data, job)
    assert "--least" in caught.value.hint and "--protect" not in caught.value.hint
    assert not (job.output / "tokenizer").exists()
    data = dataset(tmp_path, [(b, b) for _, b in tseltal[:3]], "tseltal")
    with pytest.raises(EndonymError, match="more pairs stand in the pivot's text") as caught:
        extend.run(extend.Config(least=1), data, job)
    assert "--protect none" in caught.value.hint
