"""Heads on models: each loss by hand, packed as alone, saved and resumed bit for bit, and what is trained is evaluated and asked."""

from __future__ import annotations

import base64
import io
import json
import math
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import silent_job
from test_modules import banked
from test_nets import latent, tiny

from endonym.cli.main import main
from endonym.data.dataset import Dataset
from endonym.errors import DataError, EndonymError
from endonym.export import headed
from endonym.export.source import Source
from endonym.jobs.plan import run_plan
from endonym.jobs.submit import submit
from endonym.models.heads import Asked, judge_of, load_headed, load_judge
from endonym.models.load import load_model, load_tokenizer, on_bytes
from endonym.models.nets.heads import HeadConfig, HeadModel, settings_of
from endonym.project import Project
from endonym.train.batches import pack
from endonym.train.fit import Rows, fit
from endonym.train.forecast import planned
from endonym.train.heads import HeadLoss, Labeller, Left, _choice_loss, config_of, labelled
from endonym.train.network import ready, standing
from endonym.train.recipes import heads
from endonym.types import Chat, Message

KINDS = ("classify", "tag", "answer", "embed")
TEXT = "Juan vive en San Cristóbal desde 1990."


def chat(task: str, text: str, answer: str, **meta) -> Chat:
    about = {"source": text, "direction": "spa", **meta}
    return Chat(
        f"{task} {text} {answer}",
        (Message("user", text), Message("assistant", answer)),
        "raw/a.txt:1",
        task,
        "spa",
        meta=about,
    )


CHATS = {
    "classify": [chat("classify", "El agua es fría", "agua"), chat("classify", "La casa es grande y el agua es fría", "casa")],
    "tag": [chat("tag", TEXT, "B-PER O O B-LOC I-LOC O O"), chat("tag", "ja' naxix", "O O")],
    "answer": [
        chat("answer", "1", "San Cristóbal", context=TEXT, question="¿Dónde vive Juan?", start=13),
        chat("answer", "2", "1990", context=TEXT, question="¿Desde cuándo vive allí?", start=30),
    ],
    "embed": [chat("embed", "uno", "jun"), chat("embed", "dos", "cheb"), chat("embed", "tres", "oxeb")],
}  # fmt: skip


def made(loaded, kind: str, **settings):
    """A head on a loaded model, with its labeller, the rows of `CHATS` and its loss."""
    cfg = heads.Config(head=kind, dtype="float32", width=8, **settings)
    config = config_of(cfg, CHATS[kind])
    model = heads.build(cfg, config)(loaded)
    ready(loaded, model)
    labeller = Labeller(loaded.renderer, config, cfg, CHATS[kind])
    return model, labeller, [labeller.row(c) for c in CHATS[kind]], HeadLoss(config, cfg.temperature)


def value(model, loss, rows) -> torch.Tensor:
    with standing(model):
        return loss(model, pack(rows, torch.device("cpu")))


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_in_a_pack_have_the_loss_they_have_alone(tiny_model, kind, pooling):
    model, _, rows, loss = made(load_model(tiny_model, dtype="float32"), kind, pooling=pooling)
    together = value(model, loss, [*rows, *rows])
    assert together.item() == pytest.approx(2 * sum(loss.alone(model, row).item() for row in rows), rel=1e-5)


def test_each_loss_by_hand(tiny_model):
    """With a head that looks at nothing the loss is that of its biases, or of chance."""
    # Biases log 3 and 0 give the two classes 3/4 and 1/4; nine words have one of four tags each.
    for kind, learned, wanted in (("classify", 2, -math.log(3 / 4) - math.log(1 / 4)), ("tag", 9, 9 * math.log(4))):
        model, _, rows, loss = made(load_model(tiny_model, dtype="float32"), kind)
        torch.nn.init.zeros_(model.head.weight)
        model.head.bias.data = torch.tensor([math.log(3), 0.0]) if kind == "classify" else torch.ones(4)
        assert value(model, loss, rows).item() == pytest.approx(wanted, rel=1e-5)
        assert sum(row.num_learned for row in rows) == learned
    model, labeller, rows, loss = made(load_model(tiny_model, dtype="float32"), "answer")
    torch.nn.init.zeros_(model.head.weight)
    tokens = len(labeller.renderer.answer_ids(TEXT))
    assert value(model, loss, rows).item() == pytest.approx(4 * math.log(tokens), rel=1e-5)
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    nats = math.log(math.exp(2) + 1 + math.exp(-2)) - 2
    assert _choice_loss(vectors, 0.5).item() == pytest.approx(nats, rel=1e-6)


def test_labels_stand_at_the_tokens_that_are_read(tiny_model):
    """Of a word its last token, of an answer its first and last, each in the second reading of the text."""
    loaded = load_model(tiny_model, dtype="float32")
    _, labeller, rows, _ = made(loaded, "tag")
    ids, labels = rows[0].ids, rows[0].labels
    ends = [n - 1 for n, label in enumerate(labels) if label >= 0]
    assert [labeller.config.outputs[labels[n + 1]] for n in ends] == ["B-PER", "O", "O", "B-LOC", "I-LOC", "O", "O"]
    second = len(labeller.renderer.answer_ids(TEXT)) + 1
    read = [
        loaded.renderer.decode(ids[a:b]).strip()
        for a, b in zip([second, *(n + 1 for n in ends)], [n + 1 for n in ends])
    ]
    assert read == TEXT.split()
    _, _, (row, _), _ = made(loaded, "answer")
    first, last = (n - 1 for n, label in enumerate(row.labels) if label >= 0)
    assert (
        "San Cristóbal" in loaded.renderer.decode(row.ids[first : last + 1]) and first in row.span and last in row.span
    )


def test_what_cannot_be_learned_from_says_why(tiny_model):
    loaded = load_model(tiny_model, dtype="float32")
    cases = {
        "classify": (chat("classify", "El sol", "sol"), "heads.unknown_label"),
        "tag": (chat("tag", "dos palabras", "O"), "heads.words_changed"),
        "answer": (chat("answer", "3", "Tuxtla", context=TEXT, question="?", start=3), "heads.answer_not_there"),
        "embed": (chat("embed", "solo", "jun", direction="tzh"), "heads.nothing_beside"),
    }
    for kind, (one, reason) in cases.items():
        _, labeller, _, _ = made(loaded, kind)
        left = labeller.row(one)
        assert isinstance(left, Left) and left.reason == reason
        loaded = load_model(tiny_model, dtype="float32")
    _, labeller, _, _ = made(loaded, "answer", max_length=16)
    assert labeller.row(CHATS["answer"][0]).reason == "train.too_long"  # never cut, so that no answer falls off
    moved = chat("answer", "4", "1990", context=f"  {TEXT}", question="?", start=0)
    _, labeller, _, _ = made(load_model(tiny_model, dtype="float32"), "answer")
    assert isinstance(labeller.row(moved), type(labeller.row(CHATS["answer"][1])))  # cleaning moved it, and it is found


FAMILIES = {
    "llama": lambda folder: load_model(folder, dtype="float32").model,
    "modules": lambda folder: banked(folder).model,
    "chunks": lambda folder: tiny("space"),
    "latent": lambda folder: latent("space"),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["classify", "answer"])
def test_saved_and_loaded_it_computes_bit_for_bit_the_same(tiny_model, tmp_path, family, kind):
    network = FAMILIES[family](tiny_model)
    loaded = on_bytes(tmp_path) if family in ("chunks", "latent") else load_model(tiny_model, dtype="float32")
    config = HeadConfig(kind, ["a", "b", "c"], pooling="mean", echo=True, foundation=settings_of(network))
    model = HeadModel(config, network).eval()
    model.save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    again = load_headed(tmp_path)
    ids = torch.randint(8, 264, (2, 15), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(again.model(input_ids=ids).logits, model(input_ids=ids).logits)
    judge = judge_of(again)
    asked = [Asked(text, "¿Qué?") for text in ("El agua", "La casa grande está allí", "ja'")]
    together = judge.logits([judge.read(one) for one in asked])
    assert all(
        torch.allclose(row, judge.logits([judge.read(one)])[0], atol=1e-5)
        for row, one in zip(together, asked, strict=True)
    )
    with pytest.raises(EndonymError, match="it judges texts"):
        load_model(tmp_path)


@pytest.mark.parametrize(("kind", "frozen"), [("classify", True), ("embed", False)])
def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(tiny_model, tmp_path, kind, frozen):
    def run(folder: Path, dies: int = -1) -> dict[str, torch.Tensor]:
        def sample(step: int) -> None:
            if step == dies:
                raise KeyboardInterrupt

        job = silent_job(folder)
        cfg = {
            "steps": 4,
            "save_every": 1,
            "evaluate_every": 1,
            "batch_size": 2,
            "frozen": frozen,
            "learning_rate": 1e-2,
        }
        torch.manual_seed(20)
        model, labeller, rows, loss = made(load_model(tiny_model, dtype="float32"), kind, **cfg)
        data = Rows(rows, [1.0] * len(rows), [""] * len(rows), [""] * len(rows))
        before = {name: tensor.clone() for name, tensor in model.foundation.state_dict().items()}
        fit(model, data, rows, loss, labeller.cfg, job, sample)
        same = [tensor.equal(before[name]) for name, tensor in model.foundation.state_dict().items()]
        assert all(same) if frozen else not all(same)
        return dict(model.state_dict())

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", 2)
    again = run(tmp_path / "broken")
    assert all(tensor.equal(again[name]) for name, tensor in whole.items())


SETTINGS = """
steps = ["ingest", "clean", "align", "split", "compose"]

[project]
language = "eng"
pivot = "spa"
base = "{base}"

[[sources]]
files = [{files}]
reader = "text"

[sources.settings]
language = "eng"
paragraphs = "line"

[clean]
plugins = ["unicode", "duplicate"]

[split]
test_size = 20
valid_size = 20

[split.document]
block = 1

[compose]
plugins = ["classify"]

[compose.classify.files]
sports = ["raw/topic-sports*"]
travel = ["raw/topic-travel*"]
"""


@pytest.fixture(scope="module")
def project(tiny_model, tmp_path_factory) -> Project:
    """Sentences of SIB-200 about two topics, known by the files they stand in."""
    folder = tmp_path_factory.mktemp("heads") / "topics"
    (folder / "raw").mkdir(parents=True)
    examples = Path(__file__).parent.parent / "examples" / "gita" / "raw"
    files = [
        Path(shutil.copy(examples / f"topic-{name}.eng.txt", folder / "raw")).name for name in ("sports", "travel")
    ]
    named = ", ".join(f'"raw/{name}"' for name in files)
    (folder / "endonym.toml").write_text(SETTINGS.format(base=tiny_model, files=named), encoding="utf-8")
    found = Project(folder)
    run_plan(found)
    return found


FEW = {"steps": 20, "batch_size": 16, "evaluate_every": 10, "save_every": 10, "dtype": "float32"}


def test_a_head_is_trained_beside_the_plain_base_evaluated_and_asked(project, tiny_model, tmp_path):
    """On a foundation with modules that stays as it is; the plain base, a majority and the head stand in one table."""
    foundation = banked(tiny_model)
    for name in foundation.model.bank.names:
        # What these modules do is noise; the less of it there is, the sooner a head sees through it.
        for b in foundation.model.bank.member(name).b.parameters():
            b.data *= 0.1
    foundation.model.save_pretrained(tmp_path / "foundation")
    foundation.tokenizer.save_pretrained(tmp_path / "foundation")
    row = submit(project, "train", "heads", {**FEW, "base": str(tmp_path / "foundation")}, wait=True)
    output = project.output(row.id)
    about = json.loads((output / "model.json").read_text(encoding="utf-8"))
    assert about["trained_parameters"] == 2 * 64 + 2 and about["best_valid_loss"] < math.log(2)
    head = load_headed(output).model
    assert all(torch.equal(p, head.foundation.state_dict()[n]) for n, p in foundation.model.state_dict().items())
    assert head.foundation.bank.names == ["law", "river", "song"] and not hasattr(
        load_headed(output / "plain").model.foundation, "bank"
    )
    scored = submit(project, "evaluate", "", {}, wait=True)
    rows = json.loads((project.output(scored.id) / "scores.json").read_text(encoding="utf-8"))["rows"]
    found = {(r["system"], r["metric"]): r for r in rows}
    assert {system for system, _ in found} == {"tuned", "base", "majority"}
    assert (
        found["tuned", "accuracy"]["low"] <= found["tuned", "accuracy"]["value"] <= found["tuned", "accuracy"]["high"]
    )
    assert found["tuned", "macro_f1"]["value"] > found["majority", "macro_f1"]["value"]
    with redirect_stdout(io.StringIO()) as said:
        assert main(["predict", "The team won the match", "--project", str(project.path), "--json"]) == 0
    told = json.loads(said.getvalue())
    assert told["label"] in ("sports", "travel") and sum(told["probabilities"].values()) == pytest.approx(1)


def test_what_a_head_needs_is_told_before(project):
    cfg = heads.Config(**{**FEW, "learning_rate": 1e-3})
    told, _ = planned("heads", heads, cfg, Dataset(project.newest("chats"), "train"), project, {})
    assert told.steps == 20 and told.memory.optimizer == 8 * (2 * 64 + 2)


def test_a_head_of_which_there_are_no_rows_says_which_task_is_missing(project, tiny_model):
    data = Dataset(project.newest("chats"), "train")
    with pytest.raises(DataError, match="none has the task 'tag'"):
        labelled(heads.Config(head="tag"), data, load_tokenizer(tiny_model).renderer)


@pytest.fixture
def judged(tiny_model, tmp_path):
    """A head of a kind as a run leaves it, with what an export is given."""

    def make(kind: str, family: str = "llama", **settings) -> Source:
        folder = tmp_path / kind / family
        folder.mkdir(parents=True)
        loaded = on_bytes(folder) if family in ("chunks", "latent") else load_tokenizer(tiny_model)
        loaded = replace(loaded, model=FAMILIES[family](tiny_model))
        model, *_ = made(loaded, kind, **settings)
        model.eval().save_pretrained(folder / "weights")
        loaded.tokenizer.save_pretrained(folder / "weights")
        about = {"renderer": loaded.renderer.hash, "base": str(tiny_model), "recipe": "heads"}
        (folder / "model.json").write_text(json.dumps(about), encoding="utf-8")
        (folder / "out").mkdir()
        return headed.source_of(Source(load_headed(folder), folder, "tiny"))

    return make


def test_an_export_judges_as_the_live_model(judged):
    """One kind reloaded in a fresh process, another here; what no runtime can do is refused in words."""
    source = judged("answer")
    shipped, live = headed.export(source, "f32", source.folder / "out"), judge_of(source.loaded)
    certificate = headed.certify(live, shipped, "f32", CHATS["answer"])
    assert certificate["max_logit_gap"] < 1e-4 and certificate["verdicts"]["identical"] == 2
    assert not headed.problems(certificate)
    other = {**certificate, "max_logit_gap": math.nan, "verdicts": {"identical": 1, "different_rows": [1]}}
    assert headed.problems(other) == ["logits differ by up to nan, allowed 0.01", "verdicts differ in rows [1]"]
    assert "pipeline_tag: question-answering" in (source.folder / "out" / "README.md").read_text(encoding="utf-8")
    source = judged("classify", pooling="last")
    graph = load_judge(headed.export(source, "f32", source.folder / "out"))
    asked = [Asked(text) for text in ("El agua", TEXT)]
    both = (judge.logits([judge.read(one) for one in asked]) for judge in (judge_of(source.loaded), graph))
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(*both, strict=True))
    with pytest.raises(EndonymError, match="has no architecture for a head"):
        headed.refuse("gguf", "classify")


@pytest.mark.parametrize(("kind", "family"), [("answer", "modules"), ("classify", "chunks"), ("tag", "latent")])
def test_a_head_on_modules_or_over_bytes_is_one_graph_too(judged, kind, family):
    source = judged(kind, family)
    graph, live = load_judge(headed.export(source, "f32", source.folder / "out")), judge_of(source.loaded)
    asked = [Asked(text, "¿Qué?") for text in ("a", "El agua es fría", TEXT, "La casa")]
    alone = [graph.logits([graph.read(one)])[0] for one in asked]
    together = [judge.logits([judge.read(one) for one in asked]) for judge in (graph, live)]
    assert all(
        torch.allclose(row, one, atol=1e-4)
        for rows in (alone, together[0])
        for row, one in zip(rows, together[1], strict=True)
    )
    if family == "modules":
        bank = source.loaded.model.foundation.bank
        with bank.without(*bank.names, refit=False):
            without = live.logits([live.read(one) for one in asked])
        assert not any(torch.allclose(row, one, atol=1e-3) for row, one in zip(alone, without, strict=True))


def test_a_server_answers_with_what_the_head_says(judged):
    from endonym.serve.answer import Params
    from endonym.serve.backends import heads as backend

    folder = judged("answer").folder
    engine = backend.load(folder, backend.Config())
    asked = [Message("user", f"{TEXT}\n\n¿Dónde vive Juan?")]
    text = "".join(engine.generate(asked, Params()).pieces)
    assert text and text in TEXT and engine.encode(asked) == engine.judge.read(Asked(TEXT, "¿Dónde vive Juan?")).ids
    engine = backend.load(judged("classify").folder, backend.Config())
    label, _, share = "".join(engine.generate("El agua", Params()).pieces).partition("\t")
    assert label in ("agua", "casa") and 0.5 <= float(share) <= 1


def test_vectors_are_asked_for_as_openais_are(judged):
    """As numbers, and as bytes in base64, which OpenAI's own client asks for where nobody says."""
    from fastapi.testclient import TestClient

    from endonym.serve.backends import heads as backend
    from endonym.serve.openai import create_app

    engine = backend.load(judged("embed").folder, backend.Config())
    with TestClient(create_app(engine, "key"), "http://127.0.0.1", headers={"Authorization": "Bearer key"}) as client:
        texts = ["jun", "cheb oxeb"]
        told = client.post("/v1/embeddings", json={"input": texts}).json()
        wanted = [said["vector"] for said in engine.judge.judge([Asked(text) for text in texts])]
        assert [one["embedding"] for one in told["data"]] == [pytest.approx(vector, abs=1e-6) for vector in wanted]
        assert told["usage"]["prompt_tokens"] == sum(len(engine.encode(text)) for text in texts)
        narrow = client.post("/v1/embeddings", json={"input": "jun", "encoding_format": "base64"}).json()["data"]
        assert np.frombuffer(base64.b64decode(narrow[0]["embedding"]), "<f4") == pytest.approx(wanted[0], abs=1e-6)
        for body, words in (
            ({"input": "jun", "dimensions": 2}, "dimensions"),
            ({"input": ["jun", "cheb " * 5000]}, "text 2 has"),
            ({"input": []}, "input"),
        ):
            refused = client.post("/v1/embeddings", json=body)
            assert refused.status_code == 400 and words in refused.json()["error"]["message"]
    engine = backend.load(judged("classify").folder, backend.Config())
    with TestClient(create_app(engine, "key"), "http://127.0.0.1", headers={"Authorization": "Bearer key"}) as client:
        refused = client.post("/v1/embeddings", json={"input": "jun"})
        assert refused.status_code == 400 and "makes no vectors" in refused.json()["error"]["message"]
