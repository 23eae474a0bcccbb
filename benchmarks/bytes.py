"""Bits a byte of new models over bytes and over tokens, trained on the same text for the same seconds of one processor.

    python benchmarks/bytes.py PATH [--seconds 100] [--only NAME ...] [--members 3] [--on dev|test] [--salt WORD] [--json]

PATH is text with one document a line, or JSON lines whose `text` is a document; `.gz` too. Documents are divided by the hash of their
text: one of 20 each into `valid`, by which a model in training keeps its best weights, `dev`, which all choices were made on, and `test`. Every model sees and is measured on the same windows of at
most 256 bytes, each by itself, cut between characters; what ends a window is not charged. A model's seconds include its tokenizer and
its patcher. With `--members` each model is trained with so many seeds, for the seconds each, measured together as the mean of their
probabilities, and one more learns from them for as long, the time of their answers counted in. Noise is in the measured windows alone:
characters left out, letters of either case, Amharic letters of one sound for each other. PPMd-8 reads the windows of training and `valid` and then one after the other of those that are measured, and learns from these too.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import math
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM  # noqa: F401  loaded here, so that no model's seconds include it

from endonym.data.ppm import Compressor
from endonym.models.generate import Sampling, stream
from endonym.models.load import Loaded, on_bytes
from endonym.models.nets.bytelatent import ByteLatentForCausalLM  # noqa: F401
from endonym.models.nets.hierarchical import HierarchicalForCausalLM  # noqa: F401
from endonym.models.render import IGNORE, Example, Renderer
from endonym.train import distil
from endonym.train.batches import Loss, pack
from endonym.train.kept import RunningMean
from endonym.train.losses import next_token
from endonym.train.network import ready, standing
from endonym.train.recipes import bytelatent, hierarchical, scratch
from endonym.train.rows import evenly
from endonym.train.settings import FitConfig
from endonym.train.step import adamw, mean_loss

WINDOW = 256
"""Bytes of a window at most."""
STEP_BYTES = 2048
"""Bytes of the rows of one step, about."""
GENERATED = 256
"""Tokens generated to measure the speed of that."""
DROPPED = 0.1
"""Share of the characters left out of noisy windows."""
ALIKE = ("ሀሐኀ", "ሰሠ", "አዐ", "ጸፀ")
"""First letters of the Ethiopic series that Amharic reads alike; the other six orders of each follow it in Unicode."""
LOOKS = 20
"""Times that a model in training is looked at on held-out windows, at equal distances; the weights that did best are kept."""
LOOKED_AT = 64
"""How many windows these are."""
TEACHING = 0.7
"""Share of what the last model learns that is the members' probabilities."""


@dataclass(frozen=True)
class Arm:
    """What is compared: a recipe's settings, how its tokens are made, the share of its seconds that go to the patcher, and bytes a step."""

    recipe: Any
    settings: dict[str, Any]
    merges: int = 0
    patcher_share: float = 0.0
    step_bytes: int = STEP_BYTES


SEEN_ONCE = {"dropout": 0.0}
"""Of 800 kB little more than one reading is done in 100 seconds. For smaller texts, or longer, `--set dropout=0.3`."""
ROWS = {"ngram_rows": 16384, **SEEN_ONCE}
OUTER = {"width": 128, "trunk_width": 192, "layers": 6, **ROWS}
LATENT = {"width": 256, "layers": 6, "patch_bytes": 6, **ROWS}
ARMS = {
    "BPE-1024": Arm(scratch, {"size": 2.0, **SEEN_ONCE}, merges=1024),
    "bytes": Arm(hierarchical, {"chunks": "none", "width": 192, "layers": 4, "ngrams": [], **SEEN_ONCE}),
    "bytes, n-grams": Arm(hierarchical, {"chunks": "none", "width": 192, "layers": 4, **ROWS}),
    "hierarchical, space": Arm(hierarchical, {"chunks": "space", **OUTER}),
    "hierarchical, char": Arm(hierarchical, {"chunks": "char", **OUTER}),
    "hierarchical, dynamic": Arm(hierarchical, {"chunks": "dynamic", **OUTER}),
    "BLT, space": Arm(bytelatent, {"patches": "space", **LATENT}),
    "BLT, char": Arm(bytelatent, {"patches": "char", **LATENT}),
    "BLT, entropy": Arm(bytelatent, {"patches": "entropy", "patcher_width": 96, **LATENT}, patcher_share=0.15),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row a model; `--json` prints all numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--seconds", type=float, default=100.0, help="Seconds of the processor each model trains for.")
    parser.add_argument("--only", nargs="+", default=["PPMd-8", *ARMS], choices=["PPMd-8", *ARMS], metavar="NAME")
    parser.add_argument("--step-bytes", type=int, default=STEP_BYTES, help="Bytes of the rows of one step, about.")
    parser.add_argument("--members", type=int, default=1, help="Models of each kind, and one that learns from them.")
    parser.add_argument("--held", type=int, default=300, help="Windows to measure on, at equal distances in the part.")
    parser.add_argument("--salt", default="", help="Another word divides the documents otherwise.")
    parser.add_argument("--on", choices=["dev", "test"], default="test")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="Another value of a recipe's setting."
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    parts = divided(read(options.path), options.salt)
    train, valid = windows(parts["train"]), windows(parts["valid"])
    held = evenly(windows(parts[options.on]), options.held)
    noisy = {name: [make(text, number) for number, text in enumerate(held)] for name, make in NOISES.items()}
    noisy = {name: texts for name, texts in noisy.items() if texts != held}
    changes = {name: json.loads(value) for name, _, value in (one.partition("=") for one in options.set)}
    rows: list[dict[str, Any]] = []
    printed = 0
    for name in options.only:
        if name == "PPMd-8":
            every = [*train, *valid]
            noise_bits = {kind: compressed(every, texts) for kind, texts in noisy.items()}
            rows.append({"name": name, "bits": compressed(every, held), "noise_bits": noise_bits})
        else:
            arm = replace(ARMS[name], settings={**ARMS[name].settings, **changes}, step_bytes=options.step_bytes)
            rows += [
                {**row, "name": f"{name}{row.pop('as', '')}"}
                for row in compared(arm, train, valid, held, noisy, options)
            ]
        if not options.json:
            print("\n".join(line(row) for row in rows[printed:]), flush=True)
        printed = len(rows)
    if options.json:
        sizes = {name: sum(len(text.encode()) for text in texts) for name, texts in parts.items()}
        print(
            json.dumps(
                {
                    "seconds": options.seconds,
                    "step_bytes": options.step_bytes,
                    "on": options.on,
                    "bytes": sizes,
                    "windows": len(held),
                    "rows": rows,
                },
                indent=1,
            )
        )
    return 0


def read(path: Path) -> list[str]:
    """The documents of a file."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = [one for one in raw.decode().split("\n") if one.strip()]
    return [str(json.loads(one)["text"]) for one in lines] if ".jsonl" in path.name else lines


def divided(documents: Sequence[str], salt: str = "") -> dict[str, list[str]]:
    """The documents by part, by another division for each `salt`; equal texts come into the same one."""
    parts: dict[str, list[str]] = {"train": [], "valid": [], "dev": [], "test": []}
    for text in documents:
        number = hashlib.sha256((salt + text).encode()).digest()[0] % 20
        parts[{0: "dev", 1: "test", 2: "valid"}.get(number, "train")].append(text)
    return parts


def windows(documents: Sequence[str]) -> list[str]:
    """The documents in pieces of at most `WINDOW` bytes, cut between characters."""
    found = []
    for text in documents:
        piece, size = "", 0
        for character in text:
            more = len(character.encode())
            if size + more > WINDOW:
                found.append(piece)
                piece, size = "", 0
            piece, size = piece + character, size + more
        found.append(piece)
    return [piece for piece in found if piece]


def dropped(text: str, seed: int) -> str:
    """The text without a tenth of its characters; never nothing."""
    dice = random.Random(f"dropped:{seed}")
    return "".join(c for c in text if dice.random() >= DROPPED) or text


def cased(text: str, seed: int) -> str:
    """The text with each letter in one of its two cases, by a coin; the same text where the script has none."""
    dice = random.Random(f"cased:{seed}")
    return "".join(c.upper() if dice.random() < 0.5 else c.lower() for c in text)


def respelled(text: str, seed: int) -> str:
    """The text with each Amharic letter that others sound like as one of them, by chance."""
    dice = random.Random(f"respelled:{seed}")
    sounds = {
        chr(ord(a) + order): [chr(ord(b) + order) for b in row] for row in ALIKE for a in row for order in range(7)
    }
    return "".join(dice.choice(sounds[c]) if c in sounds else c for c in text)


NOISES: dict[str, Callable[[str, int], str]] = {"dropped": dropped, "case": cased, "homophones": respelled}


def compressed(train: Sequence[str], held: Sequence[str]) -> float:
    """Bits a byte of PPMd-8."""
    compressor = Compressor(train)
    return sum(compressor.bits(text) for text in held) / sum(len(text.encode()) for text in held)


def compared(
    arm: Arm,
    train: Sequence[str],
    valid: Sequence[str],
    held: Sequence[str],
    noisy: Mapping[str, Sequence[str]],
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """The row of a model; of an ensemble a row each: a member, all together, and the model that learned from them."""
    found, members = [], []
    for number in range(options.members):
        own = replace(arm, settings={**arm.settings, "seed": arm.settings.get("seed", 20) + number})
        row, loaded = measure(own, train, valid, held, noisy, options.seconds)
        members.append(loaded)
        found.append({**row, "as": f", seed {row['settings']['seed']}" if options.members > 1 else ""})
    if options.members == 1:
        return found
    networks, renderer = [m.model for m in members], members[0].renderer
    both = distil.together(networks)
    found.append({"as": f", mean of {len(members)}", **told(networks[0], held, noisy, renderer, both)})
    own = replace(arm, settings={**arm.settings, "seed": arm.settings.get("seed", 20) + len(members)})
    row, _ = measure(own, train, valid, held, noisy, options.seconds, distil.distilled(networks, TEACHING))
    return [*found, {**row, "as": ", that learned from them"}]


def told(
    model: Any, held: Sequence[str], noisy: Mapping[str, Sequence[str]], renderer: Renderer, loss: Loss = next_token
) -> dict[str, Any]:
    """Bits a byte of the windows and of them with each noise."""
    clean = bits(model, held, renderer, loss)
    return {"bits": clean, "noise_bits": {kind: bits(model, texts, renderer, loss) for kind, texts in noisy.items()}}


def measure(
    arm: Arm,
    train: Sequence[str],
    valid: Sequence[str],
    held: Sequence[str],
    noisy: Mapping[str, Sequence[str]],
    seconds: float,
    loss: Loss = next_token,
) -> tuple[dict[str, Any], Loaded]:
    """Train for `seconds` of the processor, then measure; the row, and the model."""
    started = time.process_time()
    loaded = tokens(arm.merges, train)
    cfg = arm.recipe.Config(**{"max_length": 2 * WINDOW, **arm.settings})
    examples = [rendered(text, loaded.renderer) for text in train]
    per_step = max(1, round(arm.step_bytes * len(train) / sum(len(text.encode()) for text in train)))
    model = arm.recipe.network(cfg)(loaded)
    loaded = ready(loaded, model)
    if arm.patcher_share:
        patcher(model, examples, cfg, per_step, lambda: (time.process_time() - started) / (seconds * arm.patcher_share))
    begun, steps = time.process_time(), 0
    left = max(seconds - (begun - started), 1e-9)
    loss = balanced(cfg, loss) if getattr(cfg, "chunks", "") == "dynamic" else loss
    watched = [rendered(text, loaded.renderer) for text in evenly(valid, LOOKED_AT)]
    steps = descend(model, examples, loss, cfg, per_step, lambda: (time.process_time() - begun) / left, watched)
    model.eval()
    seen = steps * per_step * sum(len(text.encode()) for text in train) / len(train)
    return {
        **told(model, held, noisy, loaded.renderer),
        "parameters": sum(p.numel() for p in model.parameters()), "steps": steps, "epochs": steps * per_step / len(train),
        "train_bytes_per_second": seen / left, "generated_bytes_per_second": speed(loaded), "bytes_per_chunk": length(model, held, loaded),
        "settings": {**arm.settings, "seed": cfg.seed},
    }, loaded  # fmt: skip


def tokens(merges: int, train: Sequence[str]) -> Loaded:
    """Bytes, or a byte-level BPE of `merges` tokens learned from the training windows."""
    loaded = on_bytes(Path())
    if not merges:
        return loaded
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    own = Tokenizer(models.BPE())
    own.pre_tokenizer, own.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    own.train_from_iterator(
        train,
        trainers.BpeTrainer(
            vocab_size=merges, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
        ),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=own, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    return replace(loaded, tokenizer=fast, renderer=Renderer(fast))


def rendered(text: str, renderer: Renderer) -> Example:
    """A window as a row: the start of a text, which is not learned, then its tokens."""
    start, ids = renderer.prompt_ids(()), renderer.answer_ids(text)
    return Example([*start, *ids], [IGNORE] * len(start) + ids)


def descend(
    model: Any,
    examples: Sequence[Example],
    loss: Loss,
    cfg: FitConfig,
    per_step: int,
    done: Callable[[], float],
    watched: Sequence[Example] = (),
) -> int:
    """Steps of AdamW until `done` says 1: a warm-up in the first twentieth, then half a cosine. Returns how many.

    Of `LOOKS` states the one that does best on the `watched` examples is kept, as `endonym train` does. With `cfg.ema` the model is
    left with the running mean of its weights, whichever is better.
    """
    best, kept, looks = math.inf, {}, 1
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer, order, steps = adamw(weights, cfg, getattr(model, "rates", None)), [], 0
    mean = RunningMean(weights, cfg.ema)
    dice = random.Random(cfg.seed)
    torch.manual_seed(cfg.seed)
    model.train()
    while (share := done()) < 1:
        if len(order) < per_step:
            order = dice.sample(range(len(examples)), len(examples))
        batch = pack([examples[order.pop()] for _ in range(per_step)], torch.device("cpu"))
        rate = min(share / 0.05, 0.5 * (1 + math.cos(math.pi * share)) + 0.02)
        for group in optimizer.param_groups:
            group["lr"] = cfg.learning_rate * max(rate, 1e-3) * group["rate"]
        with standing(model):
            (loss(model, batch) / batch.num_learned).backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        steps += 1
        mean.follow(steps)
        if watched and done() >= looks / LOOKS:
            looks += 1
            with standing(model):
                found = mean_loss(model, watched, next_token, 4096)
            if found < best:
                best, kept = found, {name: p.detach().clone() for name, p in weights.items()}
    with torch.no_grad():
        for name, tensor in (mean.weights or kept).items():
            weights[name].copy_(tensor)
    return steps


def patcher(model: Any, examples: Sequence[Example], cfg: Any, per_step: int, done: Callable[[], float]) -> None:
    """Train the patcher first, then set its threshold, as the recipe does."""

    class Done:
        cancelled = False

    def train(own: FitConfig, part: str) -> Any:
        descend(model, examples, next_token, own, per_step, done)
        return Done

    class Quiet:
        def log(self, text: str) -> None:
            print(text, file=sys.stderr)

    prepared: Any = (type("Rows", (), {"examples": examples}), (), ())
    bytelatent.learn_patches(model, train, cfg, prepared, Quiet())  # type: ignore[arg-type]


def balanced(cfg: Any, inner: Loss) -> Loss:
    """The loss of a network with a router."""
    from endonym.train.chunked import Chunked

    quiet: Any = None
    return Chunked(cfg.chunk_bytes, cfg.ratio_weight, 1, quiet, inner).loss


def bits(model: Any, held: Sequence[str], renderer: Renderer, loss: Loss = next_token) -> float:
    """Bits a byte of windows."""
    examples = [rendered(text, renderer) for text in held]
    with standing(model):
        nats = mean_loss(model, examples, loss, 4096) * sum(e.num_learned for e in examples)
    return nats / math.log(2) / sum(len(text.encode()) for text in held)


def speed(loaded: Loaded) -> float:
    """Bytes of text generated a second of the processor, one at a time, after the start of a text."""
    started = time.process_time()
    made = list(stream(loaded, loaded.renderer.prompt_ids(()), Sampling(GENERATED, 1.0)))
    return len(loaded.renderer.decode(made).encode()) / (time.process_time() - started)


def length(model: Any, held: Sequence[str], loaded: Loaded) -> float | None:
    """Mean bytes a chunk or patch, of some windows; None where there are none."""
    if not hasattr(model.get_decoder(), "cut"):
        return None
    with standing(model), torch.no_grad():
        next_token(model, pack([rendered(text, loaded.renderer) for text in held[:16]], torch.device("cpu")))
    cut = model.get_decoder().cut
    return None if cut is None else len(cut.begins) / float(cut.begins.sum())


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    text = f"{row['name']:24} {row['bits']:.3f} bits/byte"
    text += "".join(f", {kind} {value:.3f}" for kind, value in row["noise_bits"].items())
    if "parameters" in row:
        chunk = "" if row["bytes_per_chunk"] is None else f", {row['bytes_per_chunk']:.1f} bytes a chunk"
        text += (
            f"; {row['parameters'] / 1e6:.1f}M, {row['steps']} steps, {row['epochs']:.1f} epochs, {row['train_bytes_per_second']:,.0f} "
            f"bytes/s in training, {row['generated_bytes_per_second']:,.0f} generated{chunk}"
        )
    return text


if __name__ == "__main__":
    sys.exit(main())
