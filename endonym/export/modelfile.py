"""Write an Ollama Modelfile beside a GGUF file, where the chat template can be said in Ollama's own template language.

Ollama guesses a template when it is given none; a wrong guess is the commonest reason why a good model talks nonsense there.
"""

from __future__ import annotations

from pathlib import Path

from endonym.export.source import Source
from endonym.types import Message

TEMPLATE = """{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""


def write_modelfile(model: Source, gguf: Path, out: Path) -> str:
    """Write `Modelfile` when the chat template is ChatML; returns the sentence the model card says about it."""
    system = chatml_system(model)
    if system is None:
        return "\nThere is no Ollama Modelfile, because this model's chat template is not ChatML; Ollama may guess it wrongly.\n"
    lines = [f"FROM ./{gguf.name}", f'TEMPLATE """{TEMPLATE}"""']
    if system:
        lines.append(f'SYSTEM """{system}"""')
    lines += [f'PARAMETER stop "{model.stop_text}"', "PARAMETER temperature 0", f"PARAMETER num_ctx {_context(model)}"]
    (out / "Modelfile").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return "\nThe Modelfile states the prompt format for Ollama; it was checked against the chat template, not in Ollama itself.\n"


def chatml_system(model: Source) -> str | None:
    """The system message the template adds by itself (empty for none), or None when the template is not ChatML."""
    renderer = model.loaded.renderer
    asked = [Message("user", "a b"), Message("assistant", "c"), Message("user", "d")]
    with_system = [Message("system", "s"), *asked]
    if renderer.text(with_system) != _chatml(with_system):
        return None
    plain, rendered = _chatml(asked), renderer.text(asked)
    if rendered == plain:
        return ""
    start, end = "<|im_start|>system\n", "<|im_end|>\n"
    if rendered.endswith(plain) and rendered.startswith(start):
        system = rendered[len(start) : -len(plain)].removesuffix(end)
        return None if '"""' in system or end in system else system
    return None


def _chatml(messages: list[Message]) -> str:
    turns = "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in messages)
    return f"{turns}<|im_start|>assistant\n"


def _context(model: Source) -> int:
    return min(int(model.loaded.model.config.max_position_embeddings), 8192)
