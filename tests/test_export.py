"""What is exported answers as what was trained: in transformers, in llama.cpp, and a damaged export is never published."""

from __future__ import annotations

import copy
import json
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from endonym import plugins
from endonym.data.dataset import Dataset, DatasetWriter
from endonym.errors import ParityError, UsageError
from endonym.export import parity
from endonym.export import run as stage
from endonym.export.formats import gguf as gguf_format
from endonym.export.modelfile import chatml_system
from endonym.export.observe import Row, Seen
from endonym.export.parity import measure
from endonym.export.source import Source
from endonym.models.load import Loaded, load_artifact, load_model, load_tokenizer
from endonym.models.render import Renderer
from endonym.types import Chat, Message


@pytest.fixture(scope="session")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `model` artifact: the tiny model with an adapter that changes it audibly."""
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("trained")
    loaded = load_model(tiny_model, dtype="float32")
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model: Any = get_peft_model(
            loaded.model, LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM")
        )
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder / "adapter")
    about = {"base": str(tiny_model), "renderer": loaded.renderer.hash, "recipe": "lora", "dtype": "float32"}
    (folder / "model.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def chats(
    tseltal: list[tuple[str, str]],
    amharic: list[tuple[str, str]],
    sanskrit: list[tuple[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Held-out chats in three scripts."""
    folder = tmp_path_factory.mktemp("chats")
    with DatasetWriter(folder) as out:
        for number, (source, target) in enumerate([*tseltal[:2], *amharic[:2], *sanskrit[:2]]):
            chat = Chat(str(number), (Message("user", source), Message("assistant", target)), "tiny", "translate")
            out.keep(chat, split="valid")
    return folder


@dataclass
class FakeJob:
    """The parts of a job the stage uses, without a database."""

    folder: Path
    inputs: dict[str, Path]
    plugins: dict[str, tuple[Any, Any]]
    results: dict[str, Any] = field(default_factory=dict)
    verb: str = "export"

    def __post_init__(self) -> None:
        self.output = self.folder / "output"
        self.output.mkdir(parents=True)
        self.project = type(
            "P",
            (),
            {
                "about": {"licence": "CC-BY-4.0"},
                "name": "Bats'il k'op",
                "language": "tzh",
                "pivot": "spa",
                "sources": [],
                "ancestry": lambda folder: {},
            },
        )

    def log(self, text: str) -> None: ...

    def tick(self, *args: Any, **values: Any) -> None: ...

    def summary(self, **values: Any) -> None:
        self.results.update(values)


def run_export(tmp_path: Path, trained: Path, chats: Path, name: str, **settings: Any) -> FakeJob:
    module = plugins.load("format", name)
    job = FakeJob(tmp_path / "job", {"model": trained, "chats": chats}, {name: (module, module.Config(**settings))})
    stage.run(stage.Config(parity_rows=6, parity_tokens=12), job)  # type: ignore[arg-type]
    return job


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("adapter", {}),
        ("merged", {"dtype": "float32"}),
        ("gguf", {"type": "f32"}),
        ("gguf", {"type": "f16"}),
        ("onnx", {}),
        ("torch_export", {}),
    ],
)
def test_an_export_answers_as_the_live_model(tmp_path, trained, chats, name, settings, monkeypatch):
    if name == "merged":  # as everywhere but in tests: by a process that starts from nothing
        monkeypatch.setattr(parity, "subprocess", subprocess)
    job = run_export(tmp_path, trained, chats, name, **settings)
    certificate = json.loads((job.output / "parity.json").read_text(encoding="utf-8"))
    assert certificate["result"] == "certified"
    assert (
        certificate["prompt_ids"]["identical"] == certificate["answer_ids"]["identical"] == certificate["num_rows"] == 6
    )
    assert certificate["greedy"]["disagreements"] == []
    assert certificate["greedy"]["positions"] >= 30
    assert certificate["text"]["different"] == []
    assert set(certificate["files"]) == {p.name for p in job.output.iterdir()} - {"parity.json"}


def test_a_model_of_plain_texts_alone_is_compared_on_them_cut_in_two(tmp_path):
    texts = {"train": ["never asked"], "valid": ["ሰው ሁሉ ሲወለድ ነጻ ነው", "ነጻነት", "a"]}
    with DatasetWriter(tmp_path) as out:
        for split, own in texts.items():
            for text in own:
                out.keep(Chat(text, (Message("assistant", text),), "raw/texts.txt:1", "complete", "amh"), split)
    rows, split = stage.held_out(Dataset(tmp_path, "export"), 16)
    said = [tuple((m.role, m.content) for m in row.messages) for row in rows]
    assert split == "valid"
    assert said == [
        (("user", "ሰው ሁሉ"), ("assistant", "ሲወለድ ነጻ ነው")),
        (("user", "ነጻ"), ("assistant", "ነት")),
    ]


def test_quantised_files_are_smaller_and_within_their_tolerance(tmp_path, trained, chats):
    sizes = {}
    for kind in ("f16", "q8_0", "q4_0"):
        job = run_export(tmp_path / kind, trained, chats, "gguf", type=kind)
        sizes[kind] = next(job.output.glob("*.gguf")).stat().st_size
    assert sizes["q4_0"] < sizes["q8_0"] < sizes["f16"]


@pytest.mark.parametrize("name", ["merged", "gguf"])
def test_a_damaged_export_is_not_published(tmp_path, trained, chats, name, monkeypatch):
    honest = Source.merged

    def damaged(self: Source):
        for weight, tensor in honest(self):
            noise = torch.linspace(-0.4, 0.4, tensor.numel()).reshape(tensor.shape)
            yield weight, tensor + noise if weight.endswith("layers.1.mlp.down_proj.weight") else tensor

    monkeypatch.setattr(Source, "merged", damaged)
    with pytest.raises(ParityError, match=r"bits per byte|logits|greedy"):
        run_export(tmp_path, trained, chats, name)
    assert list((tmp_path / "job" / "output").iterdir()) == []
    assert not (tmp_path / "job" / "uncertified").exists()


def test_a_wrong_tokenizer_in_the_file_is_caught(tmp_path, trained, chats, monkeypatch):
    honest = gguf_format.vocabulary

    def shortened(tokenizer: Any, num_tokens: int) -> Any:
        words = honest(tokenizer, num_tokens)
        return replace(words, merges=words.merges[20:])

    monkeypatch.setattr(gguf_format, "vocabulary", shortened)
    with pytest.raises(ParityError, match="prompt ids differ in 6 of 6 rows"):
        run_export(tmp_path, trained, chats, "gguf", type="f32")


def test_a_file_that_cannot_be_loaded_is_a_parity_error(tmp_path, trained, chats, monkeypatch):
    honest = gguf_format.export

    def truncated(model: Source, cfg: Any, out: Path) -> Path:
        path = honest(model, cfg, out)
        path.write_bytes(path.read_bytes()[:20000])
        return path

    monkeypatch.setattr(gguf_format, "export", truncated)
    with pytest.raises(ParityError, match="could not be loaded"):
        run_export(tmp_path, trained, chats, "gguf")


def test_an_extended_vocabulary_and_a_changed_embedding_survive_export(tmp_path, tiny_model, chats):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_tokens(["bats'il", "ኢትዮጵያ"])
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * 0.1)
    model.config.tie_word_embeddings = False
    folder = tmp_path / "artifact"
    model.save_pretrained(folder / "weights")
    tokenizer.save_pretrained(folder / "weights")
    loaded = load_model(folder / "weights", dtype="float32")
    about = {"base": str(tiny_model), "renderer": loaded.renderer.hash, "recipe": "full", "dtype": "float32"}
    (folder / "model.json").write_text(json.dumps(about), encoding="utf-8")
    job = run_export(tmp_path / "out", folder, chats, "gguf", type="f32")
    assert (job.output / "parity.json").is_file()


def test_llama3_rotary_scaling_is_written(tmp_path, tiny_model, chats):
    rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    folder = with_config(tiny_model, tmp_path, rope_scaling={**rope, "original_max_position_embeddings": 64})
    job = run_export(tmp_path / "out", folder, chats, "gguf", type="f32")
    assert json.loads((job.output / "parity.json").read_text(encoding="utf-8"))["greedy"]["disagreements"] == []


def test_other_families_and_tokenizers_are_refused_with_what_is_supported(tmp_path, trained, tiny_model):
    loaded = load_artifact(trained, dtype="float32")
    source = Source(loaded, trained, "x")
    loaded.model.config.model_type = "gpt_neox"
    with pytest.raises(UsageError, match="gpt_neox") as caught:
        gguf_format.export(source, gguf_format.Config(), tmp_path)
    assert "Llama-family" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_modelfile_and_card_say_what_is_true(tmp_path, trained, chats):
    job = run_export(tmp_path, trained, chats, "gguf", type="q8_0")
    modelfile = (job.output / "Modelfile").read_text(encoding="utf-8")
    assert "FROM ./Bats-il-k-op-q8_0.gguf" in modelfile
    assert 'PARAMETER stop "<|im_end|>"' in modelfile
    assert "SYSTEM" not in modelfile
    card = (job.output / "README.md").read_text(encoding="utf-8")
    assert 'language: ["tzh", "spa"]' in card
    assert "CC-BY-4.0" in card
    assert json.loads((trained / "model.json").read_text())["renderer"] in card
    assert "not been evaluated" in card


def test_a_template_with_its_own_system_message_gives_it_to_ollama(tiny_model):
    def said(template: str) -> str | None:
        loaded = load_model(tiny_model, dtype="float32")
        loaded.tokenizer.chat_template = template
        return chatml_system(Source(replace(loaded, renderer=Renderer(loaded.tokenizer)), tiny_model, "x"))

    plain = load_tokenizer(tiny_model).renderer.template
    first = "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind<|im_end|>\n' }}{% endif %}"
    assert said(first + plain) == "Be kind"
    assert said(plain.replace("<|im_end|>", "</s>")) is None


def with_config(base: Path, tmp_path: Path, **changes: Any) -> Path:
    """A `model` artifact whose whole weights are the base's, with other settings in config.json."""
    import shutil

    folder = tmp_path / "changed"
    shutil.copytree(base, folder / "weights")
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config.pop("rope_parameters", None)
    config.pop("rope_scaling", None)
    (folder / "weights" / "config.json").write_text(
        json.dumps({**config, "rope_theta": 10000.0, **changes}), encoding="utf-8"
    )
    loaded: Loaded = load_model(folder / "weights", dtype="float32")
    about = {"base": str(base), "renderer": loaded.renderer.hash, "recipe": "full", "dtype": "float32"}
    (folder / "model.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def test_a_text_that_leaves_the_live_one_in_a_near_tie_is_no_difference():
    row = Row([], "", [1], [2], [5, 6, 7], [3.0, 0.003, 2.0], "one two", 1.0, 7, ["one", "one two", "one two"])
    same, other = Seen([1], [2], [5, 6, 7], "one two", 1.0), Seen([1], [2], [5, 6, 7], "one of", 1.0)
    assert measure([row], [same], 0.05)["text"] == {"identical": 1, "different_after_near_tie": [], "different": []}
    assert measure([row], [other], 0.05)["text"] == {"identical": 0, "different_after_near_tie": [0], "different": []}
    early = Seen([1], [2], [5, 6, 7], "two", 1.0)
    longer = Seen([1], [2], [5, 6, 7], "one two three", 1.0)
    assert measure([row, row], [early, longer], 0.05)["text"]["different"] == [0, 1]


def test_a_graph_rounded_to_eight_bits_is_certified_and_served(tmp_path, trained, chats):
    from endonym.serve.answer import Params
    from endonym.serve.backends import onnx as backend

    job = run_export(tmp_path, trained, chats, "onnx", type="int8")
    assert not list(job.output.glob("whole*"))
    engine = backend.load(job.output, backend.Config())
    answer = engine.generate([Message("user", "buenos días")], Params(max_tokens=6, temperature=0.0))
    assert len("".join(answer.pieces)) > 0
    assert 0 < answer.completion_tokens <= 6


def test_a_traced_graph_keeps_what_its_family_does(tiny_model):
    """Windows of attention, rows of different length and a cache that grows, in Gemma 3."""
    from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

    from endonym.export.trace import trace
    from endonym.models.graph import GraphModel

    config = AutoConfig.for_model(
        "gemma3_text", vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, sliding_window=6, layer_types=["sliding_attention", "full_attention"],
    )  # fmt: skip
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    module = trace(Source(replace(load_tokenizer(tiny_model), model=model), tiny_model, "x")).module()

    def run(given):
        ids, mask, place, *past = given.values()
        logits, present = module(ids, mask, place, past)
        return [logits, *present]

    graph: Any = GraphModel(copy.deepcopy(config), run, [(1, 16)] * 2)
    ids, mask = torch.randint(3, 300, (2, 9)), torch.ones(2, 9, dtype=torch.long)
    mask[0, :3] = 0
    place = (mask.cumsum(1) - 1).clamp(min=0)
    caches = DynamicCache(config=config), DynamicCache(config=graph.config)
    with torch.no_grad():
        for _ in range(3):
            live, other = (
                network(input_ids=ids, attention_mask=mask, position_ids=place, past_key_values=cache, use_cache=True).logits
                for network, cache in zip((model, graph), caches, strict=True)
            )  # fmt: skip
            assert torch.allclose(live[1], other[1], atol=1e-5)
            assert torch.allclose(live[0, -1], other[0, -1], atol=1e-5)
            ids, place = live[:, -1:].argmax(-1), place[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(2, 1)], 1)
