"""Certify that an export answers as the trained model does, by reloading it in a fresh process.

Compared on held-out rows: prompt and answer token ids; the export's best token after every prefix of the live model's greedy
answer; the freely generated text; bits per byte of the reference answers; and, for safetensors, the logits themselves.
Number formats differ in the last digits, so a different best token where the live model itself was undecided (its two best
logits closer than `near_tie`) is listed as a near tie and not counted as a disagreement.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.errors import ParityError

if TYPE_CHECKING:
    import torch

    from endonym.export.observe import Row, Seen
    from endonym.types import Chat

SECONDS = 1800


@dataclass(frozen=True)
class Tolerance:
    """How far an export may be from the live model."""

    near_tie: float
    """In logits: a different choice is no disagreement where the live model's two best are closer than this."""
    bits_per_byte: float
    """Largest absolute difference on the reference answers."""
    agreement: float = 1.0
    """Smallest share of greedy positions that agree or are near ties."""
    logit_gap: float | None = None
    """Largest absolute difference of any logit; None where the runtime does not give logits."""


def certify(
    live: Any,
    shipped: Path,
    runtime: str,
    tolerance: Tolerance,
    chats: Sequence[Chat],
    num_tokens: int = 24,
    num_answer_tokens: int = 16,
) -> dict[str, Any]:
    """Reload `shipped` in a fresh process and compare it with `live` on `chats`; returns the certificate.

    Raises ParityError naming what differs, or when the export cannot be loaded at all.
    """
    from endonym.export.observe import Seen, reference

    rows, logits = reference(live, chats, num_tokens, num_answer_tokens)
    with tempfile.TemporaryDirectory(prefix="endonym-parity-") as temporary:
        folder = Path(temporary)
        request = {
            "runtime": runtime,
            "path": str(shipped.resolve()),
            "base": str(live.base),
            "num_tokens": num_tokens,
            "rows": [asdict(row) for row in rows],
        }
        (folder / "request.json").write_text(json.dumps(request, ensure_ascii=False), encoding="utf-8")
        ask(folder, shipped)
        answer = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
        other = _read_logits(folder)
    seen = [Seen(**row) for row in answer["rows"]]
    gap = None if other is None else float((other - logits).abs().max()) if other.shape == logits.shape else math.inf
    certificate = {
        "compared": _said(runtime),
        "reference": "the live model (base and adapter) in float32",
        "runtime": answer["runtime"],
        "num_rows": len(rows),
        "num_tokens": num_tokens,
        "tolerance": asdict(tolerance),
        **measure(rows, seen, tolerance.near_tie),
        "max_logit_gap": gap,
    }
    differs = problems(certificate, tolerance)
    if differs:
        raise ParityError(
            f"the export {shipped.name} does not answer as the trained model does: " + "; ".join(differs),
            "Nothing was published. Export another format or type, or report this with the job's log.",
        )
    return certificate


def measure(rows: Sequence[Row], seen: Sequence[Seen], near_tie: float) -> dict[str, Any]:
    """Count agreements of what was seen with the live rows; differences keep row, position and both tokens."""
    near: list[dict[str, Any]] = []
    wrong: list[dict[str, Any]] = []
    for number, (row, other) in enumerate(zip(rows, seen, strict=True)):
        for position, (token, gap, choice) in enumerate(zip(row.greedy, row.gap, other.choices, strict=True)):
            if choice != token:
                where = {
                    "row": number,
                    "position": position,
                    "live": token,
                    "export": choice,
                    "live_gap": round(gap, 5),
                }
                (near if gap < near_tie else wrong).append(where)
    positions = sum(len(row.greedy) for row in rows)
    live_nats, other_nats = sum(row.nats for row in rows), sum(other.nats for other in seen)
    per_byte = math.log(2) * max(1, sum(row.num_bytes for row in rows))
    tied = {item["row"] for item in near}
    different = [n for n, (row, other) in enumerate(zip(rows, seen, strict=True)) if not _same_text(row, other)]
    # A runtime may answer token by token otherwise than it judges the same prefix at once: by rounding, in a near tie.
    tied |= {n for n in different if rows[n].gap and rows[n].gap[_parted(rows[n], seen[n])] < near_tie}
    return {
        "prompt_ids": {
            "identical": sum(r.prompt_ids == s.prompt_ids for r, s in zip(rows, seen, strict=True)),
            "different_rows": [
                n for n, (r, s) in enumerate(zip(rows, seen, strict=True)) if r.prompt_ids != s.prompt_ids
            ],
        },
        "answer_ids": {
            "identical": sum(r.answer_ids == s.answer_ids for r, s in zip(rows, seen, strict=True)),
            "different_rows": [
                n for n, (r, s) in enumerate(zip(rows, seen, strict=True)) if r.answer_ids != s.answer_ids
            ],
        },
        "greedy": {
            "positions": positions,
            "agree": positions - len(near) - len(wrong),
            "near_ties": near,
            "disagreements": wrong,
        },
        "text": {
            "identical": len(rows) - len(different),
            "different_after_near_tie": [n for n in different if n in tied],
            "different": [n for n in different if n not in tied],
        },
        "bits_per_byte": {
            "live": live_nats / per_byte,
            "export": other_nats / per_byte,
            "difference": (other_nats - live_nats) / per_byte,
        },
    }


def problems(certificate: dict[str, Any], tolerance: Tolerance) -> list[str]:
    """Everything outside tolerance, in words."""
    found = []
    for name in ("prompt_ids", "answer_ids"):
        rows = certificate[name]["different_rows"]
        if rows:
            found.append(
                f"{name.replace('_', ' ')} differ in {len(rows)} of {certificate['num_rows']} rows (first: row {rows[0]})"
            )
    greedy = certificate["greedy"]
    share = 1 - len(greedy["disagreements"]) / max(1, greedy["positions"])
    if share < tolerance.agreement:
        first = greedy["disagreements"][0]
        found.append(
            f"greedy tokens agree at {share:.1%} of {greedy['positions']} positions, wanted {tolerance.agreement:.1%} "
            f"(first: row {first['row']} position {first['position']}, live gap {first['live_gap']})"
        )
    if tolerance.agreement == 1.0 and certificate["text"]["different"]:
        found.append(f"greedy text differs in rows {certificate['text']['different']}")
    difference = certificate["bits_per_byte"]["difference"]
    if not abs(difference) <= tolerance.bits_per_byte:
        found.append(f"bits per byte differ by {difference:+.4f}, allowed {tolerance.bits_per_byte}")
    gap = certificate["max_logit_gap"]
    if tolerance.logit_gap is not None and (gap is None or not gap <= tolerance.logit_gap):
        found.append(f"logits differ by up to {gap}, allowed {tolerance.logit_gap}")
    return found


def _same_text(row: Row, other: Seen) -> bool:
    # The last token may end inside a character, which one runtime shows as U+FFFD and the other leaves out.
    return row.text.rstrip("\ufffd") == other.text.rstrip("\ufffd")


def _parted(row: Row, other: Seen) -> int:
    """The position of the live greedy text at which the other text leaves it."""
    left = (i for i, text in enumerate(row.spelled) if not other.text.startswith(text.rstrip("\ufffd")))
    return next(left, len(row.greedy) - 1)


def _said(runtime: str) -> str:
    common = (
        "prompt and answer token ids; best token after every prefix of the live greedy answer; freely generated greedy text; "
        "bits per byte of the first tokens of the reference answers"
    )
    if runtime == "llama_cpp":
        return f"{common}; prompts rendered by llama.cpp's own template engine; log-probabilities as llama.cpp reports them"
    return f"{common}; all logits at the first answer positions"


def ask(folder: Path, shipped: Path) -> None:
    """Have the request in `folder` answered by a fresh process. Raises ParityError where it fails."""
    command = [sys.executable, "-m", "endonym.export.parity", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ParityError(
            f"{shipped.name} did not answer within {SECONDS} seconds", "Nothing was published."
        ) from error
    if done.returncode or not (folder / "answer.json").is_file():
        last = [line for line in done.stderr.strip().splitlines() if line.strip()][-3:]
        raise ParityError(
            f"{shipped.name} could not be loaded and asked in a fresh process (exit {done.returncode}): "
            + " | ".join(last),
            "Nothing was published. If a module is missing, install it: pip install 'endonym[train,gguf,onnx]'",
        )


def _read_logits(folder: Path) -> torch.Tensor | None:
    if not (folder / "logits.safetensors").is_file():
        return None
    from safetensors.torch import load_file

    return load_file(folder / "logits.safetensors")["logits"]


def _load(runtime: str, path: Path, base: str) -> tuple[Any, str]:
    """The export as its users load it, and with what; a folder with an adapter is put on `base`."""
    if runtime == "transformers":
        import transformers

        from endonym.models.load import load_model

        is_adapter = (path / "adapter_config.json").is_file()
        loaded = load_model(base, path, dtype="float32") if is_adapter else load_model(path, dtype="float32")
        return loaded, f"transformers {transformers.__version__}"
    from endonym.models.graph import load_graph

    if runtime == "onnx":
        import onnxruntime

        return load_graph(path), f"onnxruntime {onnxruntime.__version__}"
    import torch

    return load_graph(path), f"torch.export of torch {torch.__version__}"


def main(folder: Path) -> int:
    """Answer `request.json` in `folder`: load what it names, write `answer.json` (and logits) beside it."""
    from endonym.export.observe import Row, by_llama_cpp, by_torch

    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    if request["runtime"] == "head":
        from endonym.export.headed import answer as judge

        judge(folder, request)
        return 0
    rows = [Row(**row) for row in request["rows"]]
    path = Path(request["path"])
    if request["runtime"] == "llama_cpp":
        import xllamacpp

        seen = by_llama_cpp(path, rows, request["num_tokens"])
        runtime = f"llama.cpp through xllamacpp {xllamacpp.__version__}"
    else:
        from safetensors.torch import save_file

        loaded, runtime = _load(request["runtime"], path, request["base"])
        seen, logits = by_torch(loaded, rows, request["num_tokens"])
        save_file({"logits": logits.contiguous()}, folder / "logits.safetensors")
    answer = {"runtime": runtime, "rows": [row.as_json() for row in seen]}
    (folder / "answer.json").write_text(json.dumps(answer, ensure_ascii=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
