"""The seal: no group crosses a split, planted leaks are found, clean splits raise no alarm."""

from __future__ import annotations

import json
import random
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from endonym import plugins
from endonym.data import leaks, near_dup
from endonym.data.dataset import Dataset, DatasetWriter
from endonym.data.near_dup import clusters, distinct, jaccard, letters, normalise, shingle_hashes, shingles
from endonym.data.union_find import UnionFind
from endonym.errors import LeakError
from endonym.split import run as stage
from endonym.split.drift import describe, kolmogorov_smirnov, two_proportions
from endonym.split.groupers import document, headword, near_duplicate
from endonym.types import Chat, Doc, Entry, Message, Pair, Preference, Sense

GROUPERS = {
    module.__name__.rpartition(".")[2]: (module, module.Config()) for module in (headword, document, near_duplicate)
}


def pair(number, spanish, tseltal, **meta):
    return Pair(f"p{number}", spanish, tseltal, "spa", "tzh", f"examples.csv:{number}", meta)


@pytest.fixture(scope="module")
def dictionary(tseltal):
    """400 real sentences under 130 headwords, every fifth under two, with an entry for each headword and for 60 more."""
    words = [f"{b.split()[0]} {k}" for k, (_, b) in enumerate(tseltal)][:190]
    records = [
        Entry(f"e{k}", word, "tzh", (Sense(f"glosa {k}", "spa"),), f"entries.csv:{k}") for k, word in enumerate(words)
    ]
    for k, (spanish, sentence) in enumerate(tseltal):
        under = [words[k % 130]] + ([words[(k * 7) % 130]] if k % 5 == 0 and k < 60 else [])
        records.append(pair(k, spanish, sentence, headwords=under))
    return records


def run_stage(tmp_path, records, groupers=GROUPERS, **config):
    with DatasetWriter(tmp_path / "aligned") as out:
        out.write(records)
    (tmp_path / "out").mkdir(exist_ok=True)
    job = SimpleNamespace(
        verb="split", inputs={"dataset": tmp_path / "aligned"}, output=tmp_path / "out", results={}, plugins=groupers,
        project=SimpleNamespace(seed=20), log=lambda text: None, tick=lambda *a, **k: None,
    )  # fmt: skip
    job.summary = lambda **values: job.results.update(values)
    stage.run(stage.Config(**config), job)
    return Dataset(job.output, "split"), job.results


def by_split(dataset):
    return {name: list(dataset.records(name)) for name in ("train", "valid", "test")}


# No group crosses a split

WORDS = ["ants", "winik", "na", "k'op", "jun", "cheb", "oxeb", "chaneb", "wakax"]
RECORDS = st.lists(
    st.tuples(st.integers(0, 12), st.one_of(st.none(), st.integers(0, 12)), st.one_of(st.none(), st.integers(0, 3)), st.integers(0, 30)),
    min_size=30, max_size=90,
)  # fmt: skip


@given(RECORDS, st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_no_group_crosses_a_split(rows, seed):
    records = []
    for k, (first, second, book, text) in enumerate(rows):
        meta = {"headwords": [f"h{k % 25}-{first}", *([f"h{k % 25}-{second}"] if second is not None else [])]}
        if book is not None:
            meta["document"] = f"d{book}-{k % 10}"
        words = " ".join(random.Random(text * 31 + k % 17).choices(WORDS, k=9))
        records.append(pair(k, f"{words} {k % 17}", f"{k} {text}", **meta))
    try:
        split_of, about = stage.assign(records, stage.Config(test_size=10, valid_size=5), GROUPERS, seed)
    except LeakError:
        return
    side: dict[str, str] = {}
    for record, split in zip(records, split_of):
        for key in (*record.meta["headwords"], record.meta.get("document"), normalise(record.source)):
            assert key is None or side.setdefault(key, split) == split
    if about["joined_by_shared_text"]:
        splits = {name: [r for r, s in zip(records, split_of) if s == name] for name in ("train", "valid", "test")}
        assert not leaks.overlaps(splits)


def test_stage_seals_a_dictionary(tmp_path, dictionary):
    dataset, results = run_stage(tmp_path, dictionary, test_size=40, valid_size=20)
    splits = by_split(dataset)
    kinds = {name: Counter(r.kind for r in records) for name, records in splits.items()}
    assert 36 <= kinds["test"]["pair"] <= 45 and kinds["test"]["entry"] >= 15
    assert kinds["valid"]["pair"] >= 16
    train_words = {w for r in splits["train"] for w in leaks.headwords(r)}
    for held_out in (*splits["test"], *splits["valid"]):
        assert not train_words & set(leaks.headwords(held_out))
    ids = [r.id for records in splits.values() for r in records] + [d["record"]["id"] for d in dataset.ledger()]
    assert sorted(ids) == sorted(r.id for r in dictionary)
    leaks.check(dataset.folder)
    assert results["num_groups"] > 50 and 0 < results["largest_share"] < 0.5
    assert json.loads((dataset.folder / "drift.json").read_text())["profiles"]


def test_same_seed_same_test_and_new_records_barely_move_it(dictionary):
    def held_out(records, seed):
        split_of, _ = stage.assign(records, stage.Config(test_size=40, valid_size=20), GROUPERS, seed)
        return {r.id for r, s in zip(records, split_of) if s == "test"}

    test = held_out(dictionary, 20)
    assert held_out(list(reversed(dictionary)), 20) == test
    assert held_out(dictionary, 21) != test
    more = [
        *dictionary,
        *(pair(1000 + k, f"frase nueva {k * k}", f"ach' k'op {k * 17}", headwords=[f"nuevo{k}"]) for k in range(8)),
    ]
    assert len(held_out(more, 20) & test) > 0.8 * len(test)


def test_a_giant_group_stays_in_training(dictionary):
    book = [
        Doc(f"d{k}", f"{k} párrafo {k * 37} del libro {k}", "spa", f"b:{k}", {"document": "b", "part": k})
        for k in range(300)
    ]
    split_of, about = stage.assign([*dictionary, *book], stage.Config(test_size=40, valid_size=20), GROUPERS, 1)
    assert set(split_of[len(dictionary) :]) == {"train"} and about["largest_group"] >= 300
    assert split_of.count("test") >= 40


def test_one_document_alone_cannot_be_sealed_but_its_blocks_can(tseltal):
    book = [
        Doc(f"d{k}", text, "tzh", f"b:{k}", {"document": "b", "part": k}) for k, (_, text) in enumerate(tseltal[:200])
    ]
    with pytest.raises(LeakError, match="no test set can be sealed"):
        stage.assign(book, stage.Config(), GROUPERS, 1)
    blocks = {**GROUPERS, "document": (document, document.Config(block=5))}
    split_of, _ = stage.assign(book, stage.Config(), blocks, 1)
    assert split_of.count("test") >= 10


def test_formulas_through_a_whole_corpus_cost_training_records_and_not_the_seal(tmp_path):
    generator = random.Random(3)

    def made(count):
        return " ".join("".join(generator.choices("abcdefghijlmnopqrstuvz", k=5)) for _ in range(count))

    formulas = [made(7) for _ in range(12)]
    records = [
        pair(k, f"{formulas[k % 12]} {made(9)} {formulas[(k + k // 12) % 12]}", made(6), headwords=[f"w{k}"])
        for k in range(240)
    ]
    dataset, results = run_stage(tmp_path, records, test_size=6, valid_size=3)
    assert not results["joined_by_shared_text"] and results["dropped"] > 0
    assert {d["reason"] for d in dataset.ledger()} == {"split.overlap"}
    assert dataset.count("test") >= 3
    leaks.check(dataset.folder)


# Leaks

LONG = "El perro grande de mi abuelo duerme todas las tardes debajo de la mesa vieja de la cocina"


def planted(**changes):
    base = {
        "source": "Otra frase cualquiera que nada tiene que ver",
        "target": "yan k'op",
        "headwords": ["otro"],
        **changes,
    }
    return pair(1, base["source"], base["target"], headwords=base["headwords"])


@pytest.mark.parametrize(
    ("leak", "what"),
    [
        (planted(source=LONG), "same example"),
        (planted(source=LONG.upper().replace(" de", ", de") + "!!"), "same example"),
        (planted(source=LONG.replace("abuelo", "vecino")), "'"),
        (planted(source=LONG.replace("tardes", "mañanas")), "'"),
        (planted(source="y dijo: " + LONG[20:62] + " y nada más"), "'"),
        (planted(target="¡Lek ay!"), "same example"),
        (planted(headwords=["otro", "K’OP"]), "headword"),
        (Entry("e1", "kʼop", "tzh", (Sense("palabra", "spa"),), "entries.csv:1"), "headword"),
        (Doc("d1", f"Antes. {LONG}. Después.", "spa", "b:1"), "'"),
        (Chat("c1", (Message("user", f"Translate: {LONG}"), Message("assistant", "ts'i'")), "c:1"), "'"),
    ],
)
@pytest.mark.parametrize("into", ["test", "valid"])
def test_planted_leaks_are_found(tseltal, leak, what, into):
    held_out = [pair(2, LONG, "lek ay", headwords=["k'op"])]
    train = [pair(100 + k, a, b, headwords=[f"w{k}"]) for k, (a, b) in enumerate(tseltal[:100])]
    assert not leaks.overlaps({"train": train, into: held_out})
    found = leaks.overlaps({"train": [*train, leak], into: held_out})
    assert [overlap.record.id for overlap in found] == [leak.id]
    assert found[0].held_out_split == into and what in found[0].what
    with pytest.raises(LeakError, match="1 records share") as caught:
        leaks.refuse(found)
    assert caught.value.hint


SHORT = Pair("short", "pehchel te'", "tabla", "tzh", "spa", "examples.csv:1", {"headwords": ["pehchel"]})


def asked(question, answer, **meta):
    return Chat("c1", (Message("user", question), Message("assistant", answer)), "chats:1", meta=meta)


@pytest.mark.parametrize(
    "leak",
    [
        asked("Traduce al español: pehchel te'", "Tabla."),
        asked("Translate this.\nPehchel te'", "tabla"),
        asked("How do you say “tabla” in Tseltal?", "pehchel te'"),
        asked("Words: te': árbol\nWord by word: madera\npehchel te' =>", "tabla", source="pehchel te'", record="other"),
        asked("What does it mean?", "a board of wood", source="pehchel", record="short"),
        Preference("f1", (Message("user", "Traduce: pehchel te'"),), "tabla", "mesa", "p:1"),
        Entry("e1", "pehchel te'", "tzh", (Sense("tabla", "spa"),), "entries.csv:1"),
        Entry("e2", "Pehchel  te’", "tzh", (Sense("madera cortada", "spa"),), "entries.csv:2"),
    ],
)
def test_a_short_pair_is_found_inside_a_prompt(leak):
    """It has no 30 characters in a row; half of a dictionary's sentences are like this."""
    found = leaks.overlaps({"train": [leak], "test": [SHORT]})
    assert [overlap.record for overlap in found] == [leak]
    assert not found[0].what.startswith("an equal text")


def test_one_gloss_of_two_words_is_no_leak():
    """A gloss is looked up for many words; a chat about another word gives nothing of the test pair away."""
    train = [
        asked("tabla", "ten te'", source="tabla", record="e9"),
        asked("ten te'", "tabla", source="ten te'", record="e9"),
        Entry("e9", "ten te'", "tzh", (Sense("tabla; mesa", "spa"),), "entries.csv:9"),
        Entry("e10", "pehchel te", "tzh", (Sense("otra cosa", "spa"),), "entries.csv:10"),
    ]
    assert not leaks.overlaps({"train": train, "test": [SHORT]})


def test_chats_composed_of_a_sealed_split_are_never_refused(tmp_path):
    """What the split calls sealed the trainer takes: one-word examples equal to glosses of other entries in training."""
    glosses = [f"glosa{chr(97 + k // 26)}{chr(97 + k % 26)}" for k in range(120)]
    records = []
    for k, gloss in enumerate(glosses):
        word, meaning = f"k'op{gloss[5:]}", f"(en desuso) {gloss}; {glosses[(k + 7) % 120]}"
        records += [
            Entry(f"e{k}", word, "tzh", (Sense(meaning, "spa"),), f"entries.csv:{k}"),
            pair(k, glosses[(k + 3) % 120], f"te {word} ya'el", headwords=[word]),
        ]
    dataset, _ = run_stage(tmp_path, records, test_size=12, valid_size=6)
    context = SimpleNamespace(
        language="tzh", pivot="spa", name=str, prompt=lambda task, key, /, **values: " ".join(map(str, values.values())),
        hints=lambda *args, **kwargs: SimpleNamespace(pairs=(), words=(), draft=""),
    )  # fmt: skip

    def chats(split):
        tasks = [
            (module, module.Config()) for module in map(plugins.load, ["task"] * 3, ["lookup", "define", "translate"])
        ]
        return [c for r in dataset.records(split) for module, cfg in tasks for c in module.compose(r, cfg, context)]

    assert dataset.count("test") >= 20 and len(chats("train")) > 400
    leaks.check(dataset.folder, chats("train"))
    for leak in chats("test"):
        with pytest.raises(LeakError, match="1 records"):
            leaks.check(dataset.folder, [*chats("train"), leak])


def test_one_edited_word_is_found_wherever_it_stands():
    """A sentence of 75 letters with any one word changed still has 30 characters in a row, or is a near duplicate."""
    words = LONG.split()
    for k in range(len(words)):
        edited = " ".join([*words[:k], "xyz", *words[k + 1 :]])
        assert leaks.overlaps({"train": [planted(source=edited)], "test": [pair(2, LONG, "lek ay")]}), edited


def test_valid_against_test_and_amharic_are_checked_too(amharic):
    text = max((b for _, b in amharic), key=len)
    train = [Doc("a", "ሰላም ለሁሉም", "amh", "a:1")]
    valid = [Doc("b", text.replace(" ", "፡"), "amh", "b:1")]
    found = leaks.overlaps({"train": train, "valid": valid, "test": [Doc("c", text, "amh", "c:1")]})
    assert [(o.split, o.held_out_split) for o in found] == [("valid", "test")]


def test_phrases_of_the_form_are_no_leak_in_chats():
    def chat(k, said):
        return Chat(
            f"c{k}",
            (Message("user", f"Please translate this sentence into Tseltal: {said}"), Message("assistant", f"a{k}")),
            f"c:{k}",
        )

    train, test = [chat(k, f"número {k * k}") for k in range(60)], [chat(100, "algo distinto")]
    assert not leaks.overlaps({"train": train, "test": test})
    assert leaks.overlaps({"train": [*train, chat(101, LONG)], "test": [chat(100, LONG)]})


def test_check_refuses_a_tampered_dataset(tmp_path, dictionary):
    dataset, _ = run_stage(tmp_path, dictionary, test_size=40, valid_size=20)
    leaks.check(dataset.folder)
    stolen = next(r for r in dataset.records("test") if isinstance(r, Pair))
    with pytest.raises(LeakError, match=r"same example|headword"):
        leaks.check(dataset.folder, [Doc("x", stolen.target, "tzh", "elsewhere:1")])
    with (dataset.folder / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write((dataset.folder / "test.jsonl").read_text(encoding="utf-8").splitlines()[0] + "\n")
    with pytest.raises(LeakError):
        leaks.check(dataset.folder)


def test_what_was_written_is_checked_not_what_was_meant(tmp_path, dictionary, monkeypatch):
    class Careless(DatasetWriter):
        def keep(self, record, split="records"):
            super().keep(record, split)
            if split == "test":
                super().keep(record, "train")

    monkeypatch.setattr(stage, "DatasetWriter", Careless)
    with pytest.raises(LeakError):
        run_stage(tmp_path, dictionary, test_size=40, valid_size=20)


# Near duplicates


@given(st.lists(st.text(alphabet="ab c", min_size=0, max_size=14), max_size=25), st.sampled_from([0.5, 0.7, 0.9]))
@settings(max_examples=80, deadline=None)
def test_clusters_mean_their_threshold(texts, threshold):
    sets = [shingles(normalise(text)) for text in texts]
    joined = UnionFind(len(texts))
    for i in range(len(texts)):
        for j in range(i):
            if normalise(texts[i]) == normalise(texts[j]) or jaccard(sets[i], sets[j]) >= threshold:
                joined.join(i, j)
    assert clusters(texts, threshold) == joined.groups()


LETTERS = "aB '’ʼ\u0640፩፲፻፼ሠሰẞßJΐΣﬁＡ\u0301\u030c\u093c"


@given(st.lists(st.text(LETTERS, max_size=12) | st.text(max_size=9), max_size=12))
@example(["", "x ፲፪ y", "፲፪", "J\u030c", "ﬁ...", "...", "ሠላም ዓለም", "\0"])
@settings(max_examples=200, deadline=None)
def test_texts_are_normalised_together_as_one_by_one(texts):
    codes, lengths = letters(texts)
    plain, ends = codes.tobytes().decode("utf-32-le", "surrogatepass"), lengths.cumsum()
    assert [plain[end - length : end] for end, length in zip(ends, lengths)] == list(map(normalise, texts))
    _, sizes = distinct(*shingle_hashes(codes, lengths))
    assert sizes.tolist() == [len(shingles(normalise(text))) for text in texts]


def changed_copies(words, number, rng):
    """Sentences of ten words, each with copies of which a letter or more is changed, in any order."""
    texts = []
    for _ in range(number):
        text = " ".join(rng.choice(words) for _ in range(10))
        for changes in range(4):
            for _ in range(changes):
                place = rng.randrange(len(text))
                text = text[:place] + rng.choice("aeiou") + text[place + 1 :]
            texts.append(text)
    rng.shuffle(texts)
    return texts


def test_pairs_at_the_threshold_are_found_in_batches_of_any_size(monkeypatch):
    rng = random.Random(4)
    words = ["".join(rng.choice("aeioubdgklmnst") for _ in range(rng.randint(3, 9))) for _ in range(300)]
    texts = changed_copies(words, 100, rng)
    sets = [shingles(normalise(text)) for text in texts]
    joined = UnionFind(len(texts))
    for i in range(len(texts)):
        for j in range(i):
            if jaccard(sets[i], sets[j]) >= 0.7:
                joined.join(i, j)
    assert 100 < len(set(joined.groups())) < 300
    assert clusters(texts, 0.7) == joined.groups()
    monkeypatch.setattr(near_dup, "_LETTERS_AT_ONCE", 500)
    monkeypatch.setattr(near_dup, "_CHECKED_AT_ONCE", 200)
    assert clusters(texts, 0.7) == joined.groups()
    found = near_dup.Clusters(0.7)
    for text in texts:
        found.add(text)
    found.groups()
    one, other = np.arange(399), np.arange(1, 400)
    assert found.similarity(one, other).tolist() == [jaccard(sets[i], sets[i + 1]) for i in range(399)]


def test_hundreds_of_copies_are_one_cluster_and_a_chain_is_followed():
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    base = [alphabet[i % 26] + alphabet[i // 26] + alphabet[i * 7 % 26] for i in range(400)]
    copies = [" ".join([*base[:30], f"z{i}z"]) for i in range(300)]
    chain = ["".join(base[i : i + 40]) for i in range(100, 300, 2)]
    assert clusters([*copies, *chain, "".join(base[350:])], 0.8) == [0] * 300 + [300] * 100 + [400]


def test_near_duplicates_in_real_text(tseltal):
    texts = [a for a, _ in tseltal]
    longest = sorted(range(len(texts)), key=lambda i: -len(texts[i]))[:20]
    planted = [*texts, *(texts[i].upper() + " !" for i in longest), *(texts[i][:-1] + "x" for i in longest)]
    found = clusters(planted)
    for place, i in enumerate(longest):
        assert found[len(texts) + place] == found[len(texts) + 20 + place] == found[i]
    assert len(set(clusters(texts))) > 0.95 * len(texts)


# Drift


def test_drift_names_the_apostrophe_and_the_capitals():
    train = [pair(k, f"la casa {k}", f"te k'op {k}") for k in range(200)]
    test = [pair(1000 + k, f"La casa {k * 3}.", f"te k’op {k * 3}") for k in range(60)]
    drift = describe({"train": train, "valid": [], "test": test})
    said = " ".join(drift.sentences)
    assert "U+2019" in said and "capital" in said and "punctuation mark" in said and "Tseltal" in said
    assert {d.what for d in drift.differences if d.language == "tzh" and d.kind == "split"} == {
        "apostrophe U+0027",
        "apostrophe U+2019",
    }


def test_drift_is_silent_on_two_halves_of_one_source(tseltal):
    records = [pair(k, a, b) for k, (a, b) in enumerate(tseltal)]
    assert describe({"train": records[::2], "valid": [], "test": records[1::2]}).sentences == []


def test_statistics_equal_published_ones():
    # 0.5 of 100 against 0.7 of 100: z = 2.887 pooled. Kolmogorov: shifted by half of the range.
    assert two_proportions(0.5, 100, 0.7, 100) == pytest.approx(0.00389, rel=0.01)
    distance, p = kolmogorov_smirnov(list(range(100)), list(range(50, 150)))
    assert distance == pytest.approx(0.5) and p < 1e-9
    assert kolmogorov_smirnov([1, 2, 3], [1, 2, 3]) == (0.0, 1.0)
