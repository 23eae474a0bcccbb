"""Train a new model on the bytes of the project's own material: in chunks that inner layers see, or plainly byte by byte."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from endonym.train.settings import ByteConfig

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job
    from endonym.models.load import Loaded
    from endonym.project import Project
    from endonym.train.recipe import Build

REQUIRES = {"torch": "train", "transformers": "train"}
LOADS = "tokenizer"


class Config(ByteConfig):
    """Settings of training on bytes from nothing."""

    chunks: Literal["none", "space", "char", "fixed", "dynamic"] = Field(
        "space",
        description="Where chunks begin: at spaces and punctuation, at characters, every so many bytes, or as is learned.",
    )
    chunk_bytes: float = Field(6.0, gt=1, le=64, description="Bytes a chunk, of fixed and dynamic ones.")
    width: int = Field(512, ge=32, multiple_of=16, description="Width of the layers that see every byte.")
    trunk_width: int = Field(
        0, ge=0, multiple_of=16, description="Width of the layers that see chunks; 0 for the same."
    )
    layers: int = Field(6, ge=1, description="Layers in all.")
    outer_layers: int = Field(
        1, ge=1, description="Of these, how many stand before the chunks, and as many after them."
    )
    ngrams: list[int] = Field(
        [2, 3, 4, 6, 9, 12], description="Lengths of byte n-grams that have embeddings of their own; none with []."
    )
    window: int = Field(0, ge=0, description="Bytes that the layers on bytes look back, 0 for all of a row.")
    ratio_weight: float = Field(0.03, ge=0, description="Weight of the loss that holds dynamic chunks to their length.")


def train(cfg: Config, data: Dataset, job: Job) -> Path:
    """Train on the chats of `data`, every byte a token, and write the model to `output/weights`."""
    import torch

    from endonym.models.load import on_bytes
    from endonym.train import noise, recipe
    from endonym.train.chunked import Chunked
    from endonym.train.finish import save_weights
    from endonym.train.rows import chats_of, prepare
    from endonym.train.searched import searched

    torch.manual_seed(cfg.seed)
    empty = on_bytes(job.output / "weights")
    prepared = prepare(chats_of(data, "train"), chats_of(data, "valid"), empty.renderer, cfg, job)
    found = searched(cfg, _short, empty, prepared, job)
    if found is None:
        return job.output
    chunked = Chunked(cfg.chunk_bytes, cfg.ratio_weight, cfg.last_step, job)

    def build(loaded: Loaded) -> Any:
        model = network(found)(loaded)
        job.log(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters; chunks: {cfg.chunks}")
        return model

    return recipe.run(
        "hierarchical", found, data, job, empty, build,
        lambda model, out: save_weights(model, empty.tokenizer, out / "weights"), prepared=prepared,
        course=lambda network: noise.course(cfg), loss=chunked.loss, watch=chunked.watch,
    )  # fmt: skip


def _short(cfg: Config) -> Build:
    """The network of a search: its short runs know no loss that holds chunks to their length, so a router's are at spaces."""
    return network(cfg.model_copy(update={"chunks": "space"}) if cfg.chunks == "dynamic" else cfg)


def network(cfg: Config) -> Build:
    """What makes a new network over bytes. Raises ConfigError where the layers or the widths do not go together."""

    def build(loaded: Loaded) -> Any:
        import torch

        from endonym.errors import ConfigError
        from endonym.models.nets.hierarchical import HierarchicalConfig, HierarchicalForCausalLM
        from endonym.train.network import trainable

        outer = 0 if cfg.chunks == "none" else 2 * cfg.outer_layers
        if outer and cfg.layers <= outer:
            raise ConfigError(
                f"of {cfg.layers} layers none is left for chunks when {cfg.outer_layers} stand before and after them",
                f"Use at least --layers {outer + 1}, or --chunks none.",
            )
        widths = cfg.width, cfg.trunk_width or cfg.width
        head = next(size for size in (64, 32, 16) if not any(width % size for width in widths))
        shape = HierarchicalConfig(
            hidden_size=widths[0], trunk_size=widths[1], head_size=head, chunks=cfg.chunks, chunk_bytes=cfg.chunk_bytes,
            before=cfg.outer_layers if outer else cfg.layers, trunk=cfg.layers - outer, after=cfg.outer_layers if outer else 0,
            ngrams=cfg.ngrams, ngram_rows=cfg.ngram_rows, window=cfg.window, dropout=cfg.dropout,
            max_position_embeddings=cfg.max_length, bos_token_id=loaded.tokenizer.bos_token_id,
            eos_token_id=loaded.tokenizer.eos_token_id, pad_token_id=loaded.tokenizer.pad_token_id,
        )  # fmt: skip
        torch.manual_seed(cfg.seed)
        return trainable(HierarchicalForCausalLM(shape).float().to(loaded.device), cfg, loaded)

    return build


def outline(cfg: Config, project: Project, inputs: Mapping[str, Path]) -> Loaded:
    """What the network begins with: the bytes, whatever the base of the project."""
    from endonym.models.load import on_bytes

    return on_bytes(project.path)


def all_steps(cfg: Config) -> int:
    """Steps of the search and of what comes after it."""
    return cfg.last_step + cfg.searched_steps
