"""The `endonym` command: read the verb, hand over to it, and turn every error into words and an exit code."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from endonym.cli import verbs
from endonym.cli.console import Console
from endonym.errors import EndonymError, MissingError, UsageError, did_you_mean

if TYPE_CHECKING:
    from endonym.cli.parser import Command

EXTRAS = {
    "train": ("accelerate", "peft", "safetensors", "tokenizers", "torch", "transformers"),
    "qlora": ("bitsandbytes",),
    "gguf": ("gguf", "xllamacpp"),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "serve": ("fastapi", "uvicorn"),
    "studio": ("python_multipart",),
    "ocr": ("PIL", "pypdfium2", "tesserocr"),
    "audio": ("av", "faster_whisper"),
}
"""Optional modules by the extra that installs them."""

USAGE = """\
usage: endonym VERB [options]      (endonym VERB --help for its options)

Teach a language model your language or field from your own material, and measure what it learned."""
FOOT = """\
Options of every verb:
  --project DIR   the project to work in (default: the nearest folder upward with an endonym.toml)
  --json          print the result as JSON on stdout
  --quiet         print errors and results only"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    console = Console(json="--json" in words, quiet="--quiet" in words)
    try:
        return _dispatch(words, console)
    except EndonymError as error:
        console.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is wrong, and the interpreter must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except ModuleNotFoundError as error:
        wrapped = _missing(error)
        if wrapped is None:
            raise
        console.error(wrapped)
        return wrapped.exit_code
    except Exception as error:
        if os.environ.get("ENDONYM_DEBUG"):
            raise
        what = f"something unforeseen went wrong: {type(error).__name__}: {error}"
        console.error(
            EndonymError(what, "This is a fault in Endonym or a plugin. Run it with ENDONYM_DEBUG=1 to see where.")
        )
        return EndonymError.exit_code


def _dispatch(words: list[str], console: Console) -> int:
    verb, rest = _split(words)
    if not verb:
        if "--version" in rest:
            from endonym import __version__

            print(__version__)
            return 0
        print(overview())
        return 0 if not words or "-h" in rest or "--help" in rest else 2
    if verb == "help":
        return _dispatch([*rest, "--help"], console)
    if verbs.home(verb) is None:
        raise UsageError(f"there is no verb '{verb}'", f"{did_you_mean(verb, verbs.names())} See: endonym --help")
    command = build(verb, rest)
    args = command.parse()
    console.json, console.quiet = args.json, args.quiet
    return int(command.run(args, console) or 0)


def build(verb: str, words: list[str]) -> Command:
    """The command of `verb` with its parser; only this verb's code is imported."""
    from endonym.cli.parser import Command

    if verbs.is_command(verb):
        module = import_module(f"endonym.cli.commands.{verb}")
        # A command may read its words itself: `plan train lora` has the options of `train lora`.
        if (own := getattr(module, "command", None)) and (found := own(words)):
            return found
        return Command.of_module(verb, module, words)
    from endonym.cli.stage import stage_command

    return stage_command(verb, words)


def overview() -> str:
    """The help page of the whole command."""
    groups = verbs.grouped()
    longest = max(len(verb) for _, group in groups for verb, _ in group)
    lines = [USAGE]
    for title, group in groups:
        lines += ["", f"{title}:", *(f"  {verb.ljust(longest)}   {words}" for verb, words in group)]
    return "\n".join([*lines, "", FOOT])


def _split(words: list[str]) -> tuple[str, list[str]]:
    """Take the verb out of the command line; options that every verb has may stand before it."""
    skip = False
    for i, word in enumerate(words):
        if skip:
            skip = False
        elif word == "--project":
            skip = True
        elif not word.startswith("-"):
            return word, words[:i] + words[i + 1 :]
    return "", words


def _missing(error: ModuleNotFoundError) -> MissingError | None:
    """A missing optional package as an error with the command that installs it."""
    module = (error.name or "").partition(".")[0]
    for extra, modules in EXTRAS.items():
        if module in modules:
            return MissingError(
                f"the Python module '{module}' is not installed", f"Install it with: pip install 'endonym[{extra}]'"
            )
    return None
