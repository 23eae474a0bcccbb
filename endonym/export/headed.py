"""Export a model with a head as one graph, and certify that it judges held-out texts as the live model does."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.errors import ParityError, UsageError
from endonym.export.card import write_card
from endonym.export.parity import ask
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.export.source import Source
    from endonym.models.heads import Asked, Judge

GRAPHS = ("onnx",)
"""The formats that a head has."""
GAP = {"f32": 1e-2, "int8": 1.0}
"""Largest difference of a logit that each number format may make."""
SAME = {"f32": 1.0, "int8": 0.9}
"""Smallest share of verdicts that must be the same."""
UNDECIDED = 1e-3
"""In logits: where the live model's two best are closer, another verdict is no difference."""


def refuse(name: str, kind: str) -> None:
    """Raise UsageError for a format that cannot hold a head."""
    if name in GRAPHS:
        return
    why = {
        "gguf": f"llama.cpp has no architecture for a head of the kind '{kind}' on a decoder",
        "adapter": "peft has no adapter to put it in",
    }.get(name, "the format is for models that write")
    raise UsageError(f"a model with a head cannot be exported as {name}: {why}", "Use: endonym export onnx")


def export(model: Source, number: str, out: Path) -> Path:
    """Write the graph, its settings, tokenizer and model card. Raises UsageError for a foundation that cannot be traced."""
    import torch

    from endonym.export.formats.onnx import LARGEST, round_matrices
    from endonym.models.graph import ONNX

    network: Any = model.loaded.model
    graph = torch.onnx.export(
        _traced(network),
        (),
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamo=True,
        verbose=False,
    )
    assert graph is not None
    weights = sum(one.numel() * one.element_size() for one in network.state_dict().values())
    graph.save(out / ONNX, external_data=weights > LARGEST)
    if number == "int8":
        round_matrices(out / ONNX)
    network.config.save_pretrained(out)
    model.save_tokenizer(out)
    write_card(model, out, "onnx", USE.replace("KIND", network.config.kind))
    return out


def _traced(network: Any) -> Any:
    import torch

    from endonym.models.graph import SHORTEST
    from endonym.models.nets.one_row import states

    class Row(torch.nn.Module):
        """One row of bytes, for what a network over them computes depends on what stands there."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: Any, mask: Any) -> Any:
            return self.network.said(states(self.network.foundation, ids[0])[None], mask)

    over_bytes = getattr(network.foundation, "over_bytes", False)
    any_size, length = torch.export.Dim.AUTO, torch.export.Dim("length", min=SHORTEST)
    sizes = {1: length} if over_bytes else {0: any_size, 1: any_size}
    ids = torch.arange(12).reshape(1 if over_bytes else 2, -1)
    whole = Row() if over_bytes else network
    try:
        with torch.no_grad():
            return torch.export.export(
                whole.eval(), (ids, torch.ones_like(ids)), dynamic_shapes=(sizes, sizes), strict=False
            )
    except Exception as error:  # of many kinds; what cannot be traced is a property of the network
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(
            f"a head on a '{network.config.foundation['model_type']}' cannot be written as one graph: {said}",
            "Its folder weights/ is what there is to ship: safetensors, read by endonym.models.nets.heads.",
        ) from error


def held_out(chats: Any, kind: str, number: int) -> tuple[list[Chat], str]:
    """Evenly spread validation chats of the head's task, and the split's name."""
    rows = [c for c in chats.records("valid") if isinstance(c, Chat) and c.task == kind]
    if not rows:
        raise ParityError("there is no validation row to compare the export on", "Make the valid split larger.")
    return rows[:: max(1, len(rows) // number)][:number], "valid"


def certify(live: Judge, shipped: Path, number: str, chats: Sequence[Chat]) -> dict[str, Any]:
    """Reload `shipped` in a fresh process and compare what it says of the chats' texts; returns the certificate.

    Raises ParityError naming what differs, or when the export cannot be loaded at all.
    """
    from safetensors.torch import load_file

    asked = [(str(c.meta.get("context", c.meta["source"])), str(c.meta.get("question", ""))) for c in chats]
    rows, said = verdicts(live, asked)
    with tempfile.TemporaryDirectory(prefix="endonym-parity-") as temporary:
        folder = Path(temporary)
        request = {"runtime": "head", "path": str(shipped.resolve()), "asked": asked}
        (folder / "request.json").write_text(json.dumps(request, ensure_ascii=False), encoding="utf-8")
        ask(folder, shipped)
        answer = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
        other = load_file(folder / "logits.safetensors")
    gaps = [
        float((other[f"{n:05}"] - row).abs().max()) if other[f"{n:05}"].shape == row.shape else math.inf
        for n, row in enumerate(rows)
    ]
    different = [
        n for n, (one, two) in enumerate(zip(said, answer["said"], strict=True)) if one != two and gaps[n] > UNDECIDED
    ]
    certificate = {
        "compared": "token ids, all logits and the verdict of each text", "reference": "the live model in float32",
        "runtime": answer["runtime"], "num_rows": len(rows), "kind": live.config.kind,
        "tolerance": {"logit_gap": GAP[number], "same": SAME[number]}, "max_logit_gap": max(gaps),
        "verdicts": {"identical": len(rows) - len(different), "different_rows": different},
    }  # fmt: skip
    if differs := problems(certificate):
        raise ParityError(
            f"the export {shipped.name} does not judge as the trained model does: " + "; ".join(differs),
            "Nothing was published. Report this with the job's log.",
        )
    return certificate


def problems(certificate: dict[str, Any]) -> list[str]:
    """Everything outside tolerance, in words."""
    found, allowed, gap = [], certificate["tolerance"], certificate["max_logit_gap"]
    if not gap <= allowed["logit_gap"]:
        found.append(f"logits differ by up to {gap:g}, allowed {allowed['logit_gap']}")
    if certificate["verdicts"]["identical"] < allowed["same"] * certificate["num_rows"]:
        found.append(f"verdicts differ in rows {certificate['verdicts']['different_rows']}")
    return found


def verdicts(judge: Judge, asked: Sequence[Sequence[str]]) -> tuple[list[Any], list[Any]]:
    """Logits of each text, and in words what they mean; a vector means nothing in words."""
    from endonym.models.heads import Asked

    texts: list[Asked] = [Asked(text, question) for text, question in asked]
    rows = judge.logits([judge.read(one) for one in texts])
    said = [{k: v for k, v in one.items() if k in ("label", "words", "answer")} for one in judge.judge(texts)]
    return [row.contiguous() for row in rows], said


def answer(folder: Path, request: dict[str, Any]) -> None:
    """Judge the texts of a request with the export it names, in the process that was started for it."""
    import onnxruntime
    from safetensors.torch import save_file

    from endonym.models.heads import load_judge

    rows, said = verdicts(load_judge(Path(request["path"])), request["asked"])
    save_file({f"{n:05}": row for n, row in enumerate(rows)}, folder / "logits.safetensors")
    told = {"runtime": f"onnxruntime {onnxruntime.__version__}", "said": said}
    (folder / "answer.json").write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")


def source_of(model: Source) -> Source:
    """The source with the foundation's own base, of which the card tells."""
    return replace(model, loaded=replace(model.loaded, base=Path(model.about["base"])))


USE = """```python
from endonym.models.heads import Asked, load_judge

print(load_judge(Path("FOLDER")).judge([Asked("a text")]))
```

In other programs: `model.onnx` takes `input_ids` and `attention_mask`, padded at the end, and gives `logits`; over bytes it takes one row. The head is of the kind `KIND`;
`config.json` names its `outputs`, and says whether a text is read twice (`echo`). With Endonym, in the project: `endonym predict --export JOB "a text"`.
"""
