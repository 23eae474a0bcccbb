"""Make tokenizer folders that transformers loads: a base's with more merges, or a new one with the base's special tokens."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from endonym.data.lexicon import QUOTES
from endonym.errors import DataError, Problem, UsageError
from endonym.models.spelling import byte_alphabet, definition_of, is_byte_level
from endonym.tokenizer.corpus import there_and_back
from endonym.tokenizer.merges import Bpe, Merges

_WORD = r"\p{L}\p{M}\x{200C}\x{200D}"
CUT = rf" ?[{_WORD}]+(?:[{QUOTES}][{_WORD}]+)*[{QUOTES}]?|\p{{N}}| ?[^\s\p{{N}}{_WORD}]+|\s*[\r\n]+|\s+(?!\S)|\s+"
"""Pre-tokens of a new tokenizer. Letters hold together with their marks, joiners and inner apostrophes; numbers are single
digits; other signs, such as the word separators and full stops of Ethiopic and the danda of Devanagari, stand apart."""


def base_bpe(tokenizer: Any, name: str) -> Bpe:
    """The merges of a byte-level BPE tokenizer. Raises UsageError for any other kind, saying what to do instead."""
    definition = definition_of(tokenizer)
    model = definition.get("model", {})
    if model.get("type") != "BPE" or not is_byte_level(tokenizer):
        kind = model.get("type", "none that can be read")
        raise UsageError(
            f"the tokenizer of {name} cannot be extended: its model is {kind}, and only byte-level BPE has merges to go on with",
            "Train a new one: endonym tokenizer train; or choose a base such as SmolLM2, Llama 3 or Qwen.",
        )
    if model.get("dropout") or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise UsageError(
            f"the tokenizer of {name} cannot be extended: it uses BPE dropout, a subword prefix or a word suffix",
            "Train a new one: endonym tokenizer train",
        )
    merges = [tuple(m.split(" ") if isinstance(m, str) else m) for m in model["merges"]]
    backend = tokenizer.backend_tokenizer.model
    return Bpe(
        {**tokenizer.get_vocab(), **model["vocab"]},
        [(a, b) for a, b in merges],
        lambda word: [token.id for token in backend.tokenize(word)],
        bool(model.get("ignore_merges")),
    )


def pre_tokens(tokenizer: Any, texts: Iterable[str]) -> Counter[str]:
    """How often each pre-token, spelled in the byte alphabet, stands in `texts` as the tokenizer cuts them."""
    backend = tokenizer.backend_tokenizer
    counts: Counter[str] = Counter()
    for text in texts:
        plain = backend.normalizer.normalize_str(text) if backend.normalizer else text
        counts.update(piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(plain))
    return counts


def extended(base: Any, merges: Merges, folder: Path) -> Any:
    """Write the tokenizer `base` with `merges` behind its own into `folder`, and load it from there.

    Tokens that stood beside the vocabulary get their ids inside it, because a loader numbers such tokens by the size of the
    vocabulary, which has changed.
    """
    definition = definition_of(base)
    model = definition["model"]
    model["vocab"].update({token["content"]: token["id"] for token in definition.get("added_tokens", [])})
    model["vocab"].update(merges.tokens)
    model["merges"] = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    model["merges"] += [list(pair) for pair in merges.pairs]
    return _written(base, definition, folder)


def trained(base: Any, texts: Sequence[str], model: str, size: int, cut: str, folder: Path) -> Any:
    """Train a byte-level `bpe` or `unigram` tokenizer of `size` tokens on `texts`, the special tokens of `base` among them.

    Both are trained on text in the byte alphabet, so that nothing is ever unknown. `cut` is `words` (`CUT`) or `base`, as the
    base cuts. Raises UsageError where the bytes and the special tokens alone are more than `size`.
    """
    from tokenizers import Tokenizer, decoders, models, trainers

    whole = _special(base)
    # The unigram trainer stops at its size only where it finds a piece longer than a byte before.
    if size < (least := len(whole) + len(byte_alphabet()) + (model == "unigram")):
        raise UsageError(
            f"a tokenizer of {size} tokens has no room for the {len(byte_alphabet())} bytes and the {len(whole)} tokens that "
            "the base matches whole",
            f"Give it at least {least}: --size {least}, or --new-size for endonym tokenizer decide.",
        )
    backend = Tokenizer(models.Unigram() if model == "unigram" else models.BPE())
    backend.pre_tokenizer = _cutting(base, cut)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(byte_alphabet())
    if model == "unigram":
        trainer: Any = trainers.UnigramTrainer(
            vocab_size=size, special_tokens=whole, initial_alphabet=alphabet, show_progress=False
        )
    else:
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=whole, initial_alphabet=alphabet, min_frequency=2, show_progress=False
        )
    backend.train_from_iterator(texts, trainer)
    return _written(base, _as_special_as(base, backend), folder)


def bytes_only(base: Any, folder: Path) -> Any:
    """Write a tokenizer whose tokens are the 256 bytes and the special tokens of `base`."""
    from tokenizers import Tokenizer, decoders, models

    names = [*(str(token) for token in _special(base)), *sorted(byte_alphabet())]
    backend = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, []))
    backend.pre_tokenizer = _cutting(base, "words")
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(_special(base))
    return _written(base, _as_special_as(base, backend), folder)


def round_trips(tokenizer: Any, texts: Iterable[str]) -> str | None:
    """The first text that does not come back byte for byte from its tokens, or None."""
    return next((text for text, _, back in there_and_back(tokenizer, texts) if back != text), None)


def must_round_trip(tokenizer: Any, texts: Iterable[str], name: str) -> None:
    """Raise DataError naming the first text that `tokenizer` does not give back as it is."""
    text = round_trips(tokenizer, texts)
    if text is not None:
        _, _, back = next(there_and_back(tokenizer, [text]))
        repair = "endonym clean --filters unicode writes text in composed form"
        raise DataError(Problem(name, 0, "text", f"{text!r} comes back from its tokens as {back!r}", repair))


def _special(base: Any) -> list[Any]:
    """The tokens of `base` that are matched before text is cut, in the order of their ids."""
    return [token for _, token in sorted(base.added_tokens_decoder.items())]


def _as_special_as(base: Any, backend: Any) -> dict[str, Any]:
    """The definition of `backend`, in which a token is left out of answers only where it is in the base's.

    Trainers make every token they are given special; of GPT-NeoX's these are runs of spaces, which would vanish from answers.
    """
    definition: dict[str, Any] = json.loads(backend.to_str())
    special = {str(token): token.special for token in _special(base)}
    for token in definition["added_tokens"]:
        token["special"] = special[token["content"]]
    return definition


def _cutting(base: Any, cut: str) -> Any:
    from tokenizers import Regex, pre_tokenizers

    if cut == "base":
        if not is_byte_level(base):
            raise UsageError(
                "the base does not cut text into bytes, so its cutting would lose letters", "Use --cut words."
            )
        return base.backend_tokenizer.pre_tokenizer
    words = pre_tokenizers.Split(Regex(CUT), behavior="isolated")
    return pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _written(base: Any, definition: dict[str, Any], folder: Path) -> Any:
    """Save `definition` in `folder` with the base's template and settings, and load it as any model's tokenizer is loaded."""
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    names = ("bos_token", "eos_token", "unk_token", "pad_token")
    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(definition)),
        **{name: getattr(base, name) for name in names if getattr(base, name) is not None},
        chat_template=base.chat_template,
        clean_up_tokenization_spaces=False,
        model_max_length=base.model_max_length,
    )
    folder.mkdir(parents=True, exist_ok=True)
    made.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)
