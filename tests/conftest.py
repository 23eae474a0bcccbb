"""Fixtures shared by all tests: a small real data set and a tiny Llama-family model made from it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from endonym.project import Project

# The same examples each time: a suite that is red by chance says nothing about a change. Others: pytest --hypothesis-profile=default
settings.register_profile("same", derandomize=True)
settings.load_profile("same")

TINY = Path(__file__).parent / "data" / "tiny"
LONG = (
    "studio_browser", "curriculum", "ensemble", "trackers", "recovery", "devices", "main_job", "teach", "grow", "qlora", "compare_runs",
    "forecast", "recipes", "embeddings", "cli_jobs", "evaluate", "benchmarks", "export",
)  # fmt: skip
"""Files of tests that train, the longest first: begun last, one would keep a single core busy at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long; the order within a file stays."""
    place = {f"test_{name}": number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="session", autouse=True)
def warm_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Workers that tests start themselves come out of a process that has imported PyTorch already; see `warm.py`. Gives where it listens."""
    import warm

    address = str(tmp_path_factory.mktemp("warm") / "socket")
    running: list[subprocess.Popen[str]] = []

    def ready() -> str:
        if not running:
            command = [sys.executable, warm.__file__, "listen", address]
            running.append(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=warm.environment()
                )
            )
            assert running[0].stdout is not None
            assert running[0].stdout.readline() == "ready\n"
        return address

    if sys.platform == "linux":
        warm.start_warm(ready)
    yield ready
    for one in running:
        one.communicate()


def silent_job(folder: Path) -> Any:
    """A job that nobody hears, for what trains in the process of a test."""
    nothing = lambda *args, **more: None  # noqa: E731
    return SimpleNamespace(
        folder=folder, output=folder, log=nothing, tick=nothing, metric=nothing, event=nothing, cancelled=lambda: False
    )  # fmt: skip


CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

DICTIONARY = """
steps = ["ingest", "clean", "align", "split", "compose"{then}]

[project]
language = "tzh"
pivot = "spa"
base = "{base}"

[split]
test_size = 20
valid_size = 12

[[sources]]
files = ["raw/entries.csv", "raw/senses.csv", "raw/examples.csv"]
reader = "lexicon"
licence = "CC BY 4.0"
attribution = "Gilles Polian 2020"

[sources.settings]
language = "tzh"
pivot = "spa"
senses = {{ file = "senses.csv" }}
examples = {{ file = "examples.csv" }}
"""

MODULES = """
[[module]]
name = "law"
group = "texts"
sources = ["raw/udhr*"]
rank = 4

[[module]]
name = "sentences"
sources = ["raw/examples.csv"]
rank = 4

[[module]]
name = "words"
sources = ["raw/entries.csv", "raw/senses.csv"]
rank = 2
layers = [1, 1]
"""

PLAIN_TEXT = """
[[sources]]
files = ["raw/udhr.tzh.txt"]
reader = "text"
licence = "free to reproduce (United Nations)"

[sources.settings]
language = "tzh"
"""


def read_pairs(name: str) -> list[tuple[str, str]]:
    """Return the rows of `tests/data/tiny/<name>.tsv` as (first column, second column)."""
    lines = (TINY / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return [(a, b) for a, b in (line.split("\t") for line in lines)]


@pytest.fixture(scope="session")
def tseltal() -> list[tuple[str, str]]:
    """400 real (Spanish, Tseltal) sentences."""
    return read_pairs("tseltal")


@pytest.fixture(scope="session")
def amharic() -> list[tuple[str, str]]:
    """80 real (English, Amharic) sentences."""
    return read_pairs("amharic")


@pytest.fixture(scope="session")
def sanskrit() -> list[tuple[str, str]]:
    """80 real (English, Sanskrit in Devanagari) phrases."""
    return read_pairs("sanskrit")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tseltal: list[tuple[str, str]]) -> Path:
    """Folder of a two-layer Llama with random weights and SmolLM2's kind of tokenizer; treat it as read-only.

    Like SmolLM2: byte-level BPE with single digits (llama.cpp pre-tokenizer `smollm`), ChatML, tied embeddings,
    `<|im_end|>` ends a turn. It goes through AutoModelForCausalLM and AutoTokenizer and converts to GGUF.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    # Two layers of 64 gain nothing from threads, and lose much where tests share the cores.
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = _tokenizer([text for pair in tseltal for text in pair])
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.convert_tokens_to_ids("<|im_start|>"),
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        initializer_range=0.08,
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        LlamaForCausalLM(config).float().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def dictionary_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a project with composed chats of a real dictionary; returns its folder.

    `base` is the folder of the model to teach. `then` names steps that follow `compose`, `more` is TOML that follows the settings.
    """
    from endonym.jobs.plan import run_plan
    from endonym.project import Project

    def make(base: Path, *, then: Sequence[str] = (), more: str = "") -> Path:
        folder = tmp_path_factory.mktemp("dictionary") / "tseltal"
        shutil.copytree(TINY.parent / "tseltal", folder / "raw", ignore=shutil.ignore_patterns("*.toml", "*.md"))
        settings = DICTIONARY.format(base=base, then="".join(f', "{step}"' for step in then))
        (folder / "endonym.toml").write_text(settings + more, encoding="utf-8")
        run_plan(Project(folder))
        return folder

    return make


@pytest.fixture(scope="session")
def composed(dictionary_project: Callable[..., Path], tiny_model: Path) -> Path:
    """Folder of a project with composed chats of a real dictionary and a plain text; work in a `copied` one."""
    return dictionary_project(tiny_model, more=PLAIN_TEXT)


@pytest.fixture(scope="session")
def split_project(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Callable[..., Project]:
    """Make a project with a finished `split` of Spanish and Tseltal pairs, as `endonym split` leaves one; `plan` opens its settings."""
    from endonym.data.dataset import DatasetWriter
    from endonym.project import Project
    from endonym.store import jobs
    from endonym.store.process import identity
    from endonym.types import Pair, record_id

    def make(pairs: list[tuple[str, str]], plan: str = "") -> Project:
        folder = tmp_path_factory.mktemp("split") / "home"
        file = Project.create(folder, language="tzh", pivot="spa", base=str(tiny_model)).file
        file.write_text(plan + file.read_text(encoding="utf-8"), encoding="utf-8")
        project = Project(folder)
        row = jobs.find_or_create(project.db, "split", "", "key", {"stage": {}, "plugins": {}}, {})
        output = project.runs / row.folder / "output"
        with DatasetWriter(output) as out:
            for i, (source, target) in enumerate(pairs):
                record = Pair(record_id(source, target), source, target, "spa", "tzh", f"raw/pairs.tsv:{i + 2}")
                out.keep(record, ("train", "train", "train", "train", "train", "train", "valid", "test")[i % 8])
        about = {"job": row.id, "kind": "split", "hash": "0" * 64, "parents": [], "inputs": {}, "summary": {}}
        (output.parent / "artifact.json").write_text(json.dumps(about))
        jobs.claim(project.db, row.id, identity())
        jobs.register_artifact(project.db, row.id, "split", "0" * 64, [])
        jobs.finish(project.db, row.id, "succeeded", {}, {})
        return project

    return make


@pytest.fixture(scope="session")
def copied() -> Callable[[Path, Path], Path]:
    """Copy a project, by another process: when this one closes a database file, SQLite loses the locks it holds on it here."""

    def copy(source: Path, target: Path) -> Path:
        # A worker whose job has just ended may still be removing its checkpoints.
        for last in (False, False, True):
            if not subprocess.run(["cp", "-r", str(source), str(target)], check=last).returncode:
                break
            shutil.rmtree(target, ignore_errors=True)
        return target

    return copy


@pytest.fixture(scope="session")
def field(
    composed: Path, copied: Callable[[Path, Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, Path]:
    """A project that declares three modules, and the output of its run that trained two of them on the tiny model."""
    from endonym.jobs.submit import submit
    from endonym.project import Project

    found = Project(copied(composed, tmp_path_factory.mktemp("modules") / "project"))
    (found.path / "modules.toml").write_text(MODULES, encoding="utf-8")
    (found.path / "two.toml").write_text("[[module]]".join(MODULES.split("[[module]]")[:3]), encoding="utf-8")
    few = {
        "steps": 8,
        "batch_size": 8,
        "evaluate_every": 4,
        "save_every": 4,
        "valid_rows": 8,
        "samples": 1,
        "learning_rate": 1e-2,
    }
    row = submit(found, "train", "modules", {**few, "router_layer": 0, "declared": ["two.toml"]}, wait=True)
    return found, found.output(row.id)


@dataclass
class Studio:
    """A running studio over the projects in `home`."""

    home: Path
    base: str
    entrance: str
    """The address that opens once."""
    token: str
    process: subprocess.Popen[str]

    def program(self, **headers: str) -> httpx.Client:
        """A client with the token; it fails where an answer is not what openapi.json promises."""
        from promised import kept

        headers = {"Authorization": f"Bearer {self.token}", **headers}
        return httpx.Client(base_url=self.base, headers=headers, timeout=60, event_hooks={"response": [kept]})

    def browser(self) -> httpx.Client:
        """A client with a session's cookie and what a browser says of the page that asks."""
        with self.program() as program:
            address = program.post("/api/v1/enter", json={}).json()["path"]
        cookies = httpx.get(self.base + address).cookies
        own_page = {"Origin": self.base, "Sec-Fetch-Site": "same-origin"}
        return httpx.Client(base_url=self.base, cookies=cookies, headers=own_page, timeout=600)


@contextmanager
def studio_over(home: Path, port: str = "0", way: Sequence[str] = ("-m", "endonym")) -> Iterator[Studio]:
    """Start `endonym studio` over `home` as a process of its own, and end it afterwards; `way` says how endonym is started."""
    command = [sys.executable, *way, "studio", str(home), "--port", port, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
        base, _, _ = said["url"].partition("/enter")
        token = (home / ".endonym" / "token").read_text().strip()
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with suppress(httpx.ConnectError):
                httpx.get(base)
                break
            time.sleep(0.05)
        yield Studio(home, base, said["url"], token, process)
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory, warm_workers: Callable[[], str]) -> Iterator[Studio]:
    """One studio for all tests, with workers that start warm; each test makes the projects it needs under names of its own."""
    import warm

    way = [warm.__file__, "endonym", warm_workers()] if sys.platform == "linux" else ["-m", "endonym"]
    with studio_over(tmp_path_factory.mktemp("studio"), way=way) as running:
        yield running


def _tokenizer(texts: list[str]):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        chat_template=CHATML,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )
