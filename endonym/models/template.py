"""Render chat templates that anybody may have written: in Jinja's immutable sandbox, for so long and so much, and no longer.

The sandbox keeps a template from what it must not touch; it does not keep it from wasting time and memory. Here every loop, call,
filter, operator and piece of output looks at the clock and adds to what has been made, and what multiplies (`*`, `**`, `%`, replace, join,
format, indent) is refused before it is computed. Single operations are short, because what they work on is.
"""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import GeneratorType
from typing import Any

from jinja2 import Environment, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from endonym.errors import ConfigError

MOST_SECONDS = 5.0
"""For one rendering; a real one takes some hundred microseconds."""
MOST_CHARACTERS = 50_000_000
"""Made in one rendering, those of intermediate texts included."""
MOST_ITEMS = 300_000
"""Values looked through inside one list or dictionary, and bits of a number."""
MOST_PLACES = 10_000
"""Largest number that may be said to a filter or a text's method, such as a width; where it counts for each line, a hundredth of it."""
_ITEM = 8
"""Characters that an item of a list counts as."""
_WIDE = ("indent", "tojson", "expandtabs")
_LAZY = frozenset(
    [
        "attr",
        "batch",
        "count",
        "d",
        "default",
        "first",
        "items",
        "last",
        "length",
        "list",
        "map",
        "random",
        "reject",
        "rejectattr",
        "reverse",
        "round",
        "select",
        "selectattr",
        "slice",
    ]
)
"""Filters that look at no more than the outside of what they are given."""
_FREE = (_LAZY - {"batch", "slice"}) | {"format", "format_map", "%"}
"""What numbers may be said to: as a text to show, or instead of nothing."""
_REFUSED = ("wordwrap", "urlize", "xmlattr", "center", "pprint", "filesizeformat", "lipsum", "translate")
"""No chat template needs these, and they multiply."""


class Bounded(ImmutableSandboxedEnvironment):
    """`theirs`, the environment in which transformers renders, with limits; what stays inside them is rendered the same.

    Raises ConfigError where a template goes beyond. Threads may render at the same time.
    """

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self, theirs: Environment):
        extensions = [type(extension) for extension in theirs.extensions.values()]
        super().__init__(trim_blocks=theirs.trim_blocks, lstrip_blocks=theirs.lstrip_blocks, extensions=extensions)
        self.globals |= {name: value for name, value in theirs.globals.items() if name not in _REFUSED}
        self.globals.pop("lipsum", None)
        self.filters = {name: self._limited(name, f) for name, f in theirs.filters.items() if name not in _REFUSED}
        self.filters |= {"_each": self._each, "_joined": self._joined, "_compared": self._compared}
        self.finalize = self._shown
        self._left = threading.local()

    def begin(self) -> None:
        """Give this thread the time and the characters of one rendering, or of compiling, which computes what is constant."""
        self._left.until, self._left.characters = time.monotonic() + MOST_SECONDS, MOST_CHARACTERS

    def spend(self, characters: int) -> None:
        """Say that so many characters were made; raises ConfigError when that, or the time, is too much."""
        left = self._left
        left.characters -= characters
        if left.characters < 0:
            raise refusal(f"makes more than {MOST_CHARACTERS:,} characters")
        if time.monotonic() > left.until:
            raise refusal(f"takes longer than {MOST_SECONDS:g} seconds")

    def _room(self, characters: float) -> None:
        """Refuse what would make more than is left."""
        if characters > self._left.characters:
            raise refusal(f"makes more than {MOST_CHARACTERS:,} characters")

    def size(self, *values: Any) -> int:
        """Characters that values come to as text, about; raises ConfigError for more than may be made, or that many values."""
        waiting, total, seen = list(values), 0, 0
        while waiting:
            value = waiting.pop()
            seen += 1
            if isinstance(value, str | bytes):
                total += len(value)
            elif isinstance(value, Mapping):
                waiting += [*value, *value.values()]
            elif isinstance(value, list | tuple | set | frozenset):
                waiting += value
            total += _ITEM
            if seen + len(waiting) > MOST_ITEMS:
                raise refusal(f"makes a list of more than {MOST_ITEMS:,} values")
            self._room(total)
        return total

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Watched().visit(super()._parse(source, name, filename))
        tree.set_environment(self)
        return tree

    def concat(self, pieces: Iterable[str]) -> str:  # type: ignore[override]
        """Put the output of a template, a macro or a block together."""
        taken = []
        for piece in pieces:
            self.spend(len(piece))
            taken.append(piece)
        return "".join(taken)

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        inner = getattr(obj, "__wrapped__", obj)
        name, owner = getattr(inner, "__name__", ""), getattr(inner, "__self__", None)
        args = _listed(args)
        if isinstance(owner, str | bytes):
            self._bound(name, (owner, *args), kwargs, method=True)
        return self._made(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if (
            operator == "+" and type(left) is type(right) is str
        ):  # by far the most frequent: the clock is for loops and calls
            self._left.characters -= len(left) + len(right)
            self._room(0)
            return left + right
        if operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > MOST_ITEMS:
                raise refusal("computes with numbers of more digits than any text needs")
        elif operator == "*":
            times, what = (left, right) if isinstance(left, int) else (right, left)
            if isinstance(times, int) and hasattr(what, "__len__"):
                self._room(max(0, times) * len(what) * (1 if isinstance(what, str | bytes) else _ITEM))
        elif operator == "%" and isinstance(left, str | bytes):
            self._bound("%", (left, *(right if isinstance(right, tuple) else (right,))), {})
        return self._made(super().call_binop(context, operator, left, right))

    def _limited(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        first = int(hasattr(function, "jinja_pass_arg"))

        @functools.wraps(function)
        def limited(*args: Any, **kwargs: Any) -> Any:
            args = _listed(args)
            self._bound(name, args[first:], kwargs)
            return self._made(function(*args, **kwargs))

        return limited

    def _bound(self, name: str, given: Sequence[Any], kwargs: Mapping[str, Any], method: bool = False) -> None:
        """Refuse what a filter or a method of a text would make too much of; the first of `given` is what it is applied to."""
        what, *others = *given, *kwargs.values()
        if name in _REFUSED:
            raise refusal(f"uses '{name}'")
        most = MOST_PLACES // 100 if name in _WIDE else MOST_PLACES
        if name not in _FREE and any(isinstance(v, int) and abs(v) > most for v in others):
            raise refusal(f"says a number above {most:,} to '{name}'")
        if name == "replace" and len(others) > 1:
            what, old, new = str(what), str(others[0]), str(others[1])
            self._room(len(what) + what.count(old) * len(new))
        elif name == "join":
            # A method stands with what is between, a filter with what is joined.
            items, between = (
                (others[0] if others else (), what) if method else (what, "".join(str(v) for v in others[:1]))
            )
            self._room(self.size(items) + len(between) * len(items if hasattr(items, "__len__") else ()))
        elif name in ("format", "format_map", "%"):
            text = what.decode("latin-1") if isinstance(what, bytes) else str(what)
            if re.search(r"\d{5}|\*|\{[^{}]*\{", text):
                raise refusal("writes a text in more places than any needs")
            self._room(len(text) + (text.count("%") + text.count("{")) * self.size(*others))
        elif name not in _LAZY:
            self._room(6 * self.size(what))

    def _made(self, value: Any) -> Any:
        if isinstance(value, str | bytes):
            self.spend(len(value))
        else:
            self.spend(_ITEM * len(value) if isinstance(value, list | tuple | dict) else _ITEM)
        return value

    def _each(self, values: Any) -> Any:
        self.spend(_ITEM)
        return values

    def _joined(self, values: list[Any]) -> str:
        if not all(type(value) is str for value in values):
            self.size(*values)
        self._room(sum(len(value) for value in values if isinstance(value, str)))
        return str(self._made("".join(map(str, values))))

    def _compared(self, value: Any) -> Any:
        if isinstance(value, list | tuple | Mapping):
            self.size(value)
        return value

    def _shown(self, value: Any) -> Any:
        if type(value) is not str:
            self.size(value)
        return value


def refusal(what: str) -> ConfigError:
    """The error of a template that goes too far."""
    return ConfigError(f"the chat template of the model {what}", "Do not trust this model; get it from its makers.")


def _listed(args: Sequence[Any]) -> tuple[Any, ...]:
    """What is computed only when it is looked at has no size."""
    return tuple(list(value) if isinstance(value, GeneratorType) else value for value in args)


class _Watched(NodeTransformer):
    """Lets loops, joined texts and comparisons of what is no constant pass through filters of `Bounded`."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        assert isinstance(node.iter, nodes.Expr)
        node.iter = _filter(node.iter, "_each")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filter(nodes.List(node.nodes, lineno=node.lineno), "_joined")

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if not any(isinstance(one, nodes.Const) for one in (node.expr, *(operand.expr for operand in node.ops))):
            node.expr = _filter(node.expr, "_compared")
            for operand in node.ops:
                operand.expr = _filter(operand.expr, "_compared")
        return node


def _filter(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class Template:
    """A chat template, compiled once: `render(messages, add_generation_prompt, special)` as transformers' `apply_chat_template` does.

    Raises ConfigError for one that cannot be compiled because it is nested too deeply.
    """

    def __init__(self, source: str):
        self._environment, self._tools = _like_transformers()
        self._environment.begin()
        try:
            self._compiled = self._environment.from_string(source)
        except RecursionError as error:
            raise refusal("is nested deeper than any needs") from error

    def render(self, messages: list[dict[str, str]], add_generation_prompt: bool, special: Mapping[str, Any]) -> str:
        """The text; `special` are the tokenizer's special tokens by name. Raises ConfigError for a template that goes too far."""
        self._environment.begin()
        given = {"tools": self._tools, "documents": None, "add_generation_prompt": add_generation_prompt, **special}
        try:
            return self._compiled.render(messages=messages, **given)
        except RecursionError as error:
            raise refusal("calls itself without end") from error


@functools.lru_cache(maxsize=1)
def _like_transformers() -> tuple[Bounded, Any]:
    """transformers' environment within limits, and what a template is told of tools where there are none, which its versions say
    differently."""
    from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

    said = render_jinja_template([[{"role": "user", "content": ""}]], chat_template="{{ tools is none }}")
    text = said[0][0] if isinstance(said, tuple) else said[0]
    return Bounded(_compile_jinja_template("").environment), None if text == "True" else []
