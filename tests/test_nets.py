"""Networks over bytes: what comes later changes nothing earlier, rows do not see each other, a byte at a time equals all at once."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BltConfig, BltForCausalLM

from endonym.models.byte_tokenizer import OFFSET, byte_tokenizer, may_follow
from endonym.models.generate import Sampling, choose, generate_batch, stream, whole_characters
from endonym.models.load import on_bytes
from endonym.models.nets import one_row
from endonym.models.nets.bytelatent import ByteLatentConfig, ByteLatentForCausalLM
from endonym.models.nets.chunks import BACK, KINDS, Cut, by_rule, completes, ratio_loss, smoothed, straight
from endonym.models.nets.hierarchical import HierarchicalConfig, HierarchicalForCausalLM
from endonym.models.nets.ngrams import FACTOR, PRIME, hashed, history
from endonym.models.render import IGNORE, Example
from endonym.train.attention import register_attention
from endonym.train.batches import pack
from endonym.train.losses import next_token

TEXTS = ("ሰላም፡ ነህ? I see, hm", "ab", "አማርኛ ቋንቋ is it. No", "Ya jk'an. क 🌍")


def ids_of(text: str) -> list[int]:
    return [OFFSET + byte for byte in text.encode()]


def tiny(kind: str, **other) -> HierarchicalForCausalLM:
    """A network whose weights are so large that every byte counts."""
    torch.manual_seed(3)
    shape = {"hidden_size": 32, "head_size": 16, "before": 1, "trunk": 1, "after": 1, "trunk_size": 48, "ngram_rows": 64,
             "chunk_bytes": 3.0, "window": 8}  # fmt: skip
    model = HierarchicalForCausalLM(HierarchicalConfig(chunks=kind, **{**shape, **other})).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and "residual" not in name:
                weight.mul_(8)
        if kind == "dynamic":
            model.model.router.query.weight.normal_()
    return model


def latent(kind: str) -> ByteLatentForCausalLM:
    """A small Byte Latent Transformer; its patcher, where it has one, finds every other byte surprising."""
    torch.manual_seed(2)
    small = {"num_attention_heads": 2, "intermediate_size": 48}
    local = {"vocab_size": 264, "hidden_size": 32, "hidden_size_global": 64, "cross_attn_k": 2, **small}
    config = ByteLatentConfig(
        vocab_size=264, use_cache=False, patch_in_forward=kind == "entropy", patching_mode=kind, patch_size=3,
        patching_threshold=5.1, local_attention_window_len=None, encoder_hash_byte_group_vocab=64,
        encoder_hash_byte_group_size=[2, 3, 4], cross_attn_k=2, max_position_embeddings=512,
        patcher_config={"vocab_size": 264, "hidden_size": 32, "num_hidden_layers": 1, "sliding_window": None, **small},
        encoder_config={**local, "num_hidden_layers": 1, "cross_attn_all_layers": False},
        decoder_config={**local, "num_hidden_layers": 2}, global_config={"hidden_size": 64, "num_hidden_layers": 2, **small},
    )  # fmt: skip
    return ByteLatentForCausalLM(config).eval()


LATENT = ("entropy", "space", "char", "fixed")


@pytest.fixture(scope="module", params=[*KINDS, *(f"latent {kind}" for kind in LATENT)])
def model(request) -> Any:
    family, _, kind = request.param.rpartition(" ")
    return latent(kind) if family else tiny(kind)


def logits(model, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0]


def test_the_tokenizer_is_the_bytes_of_the_text_and_is_loaded_by_any_transformers(tmp_path):
    tokenizer = byte_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in (*TEXTS, "".join(map(chr, range(0x300))), "\r\n \t"):
        for one in (tokenizer, again):
            assert one.encode(text, add_special_tokens=False) == ids_of(text)
            assert one.decode(ids_of(text), skip_special_tokens=False, clean_up_tokenization_spaces=False) == text
    chat = [{"role": "user", "content": "ሀ"}]
    text = again.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert again.encode(text, add_special_tokens=False) == [5, *ids_of("ሀ"), 3, 6]


@settings(max_examples=12, deadline=None)
@given(text=st.text(min_size=2, max_size=12), at=st.floats(0, 0.99), other=st.binary(min_size=1, max_size=6))
def test_no_byte_changes_a_chunk_or_a_prediction_before_it(model, text, at, other):
    ids = ids_of(text)
    place = 1 + int(at * (len(ids) - 1))
    changed = ids[:place] + [OFFSET + byte for byte in other]
    whole, cut = logits(model, ids), model.model.cut
    begun = None if cut is None else cut.begins[:place]
    found, cut = logits(model, changed), model.model.cut
    assert torch.allclose(whole[:place], found[:place], atol=1e-4)
    assert begun is None or cut.begins[:place].equal(begun)


def test_padding_on_either_side_and_other_rows_change_nothing(model):
    rows = [ids_of(text) for text in TEXTS]
    longest = max(map(len, rows))
    for front in (True, False):
        pads = [[0] * (longest - len(row)) for row in rows]
        ids = [pad + row if front else row + pad for pad, row in zip(pads, rows, strict=True)]
        mask = [
            [0] * len(p) + [1] * len(r) if front else [1] * len(r) + [0] * len(p)
            for p, r in zip(pads, rows, strict=True)
        ]
        with torch.no_grad():
            found = model(torch.tensor(ids), attention_mask=torch.tensor(mask)).logits
        for row, kept, own in zip(found, mask, rows, strict=True):
            assert torch.allclose(row[torch.tensor(kept).bool()], logits(model, own), atol=1e-4)


def test_rows_of_a_pack_have_the_loss_they_have_alone(model):
    """A beginning that two rows share is computed for both."""
    register_attention()
    start = ids_of("the same beginning ")
    rows = [Example(start + ids, [IGNORE] * len(start) + ids) for ids in map(ids_of, TEXTS)]
    with torch.no_grad():
        together = next_token(model, pack(rows, torch.device("cpu")))
    alone = sum(
        torch.nn.functional.cross_entropy(logits(model, row.ids)[:-1], torch.tensor(row.labels[1:]), reduction="sum")
        for row in rows
    )
    assert float(together) == pytest.approx(float(alone), rel=1e-5)


def test_a_byte_at_a_time_equals_all_at_once(model):
    """Also when rows end, and when one goes on in two ways."""
    rows = [ids_of(text) for text in TEXTS]
    dice = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        growing = model.decoding(rows)
        for step in range(30):
            whole = torch.stack([logits(model, row)[-1] for row in rows])
            assert torch.allclose(growing.logits, whole, atol=1e-4)
            assert growing.logits.argmax(-1).equal(whole.argmax(-1))
            new = torch.randint(OFFSET, OFFSET + 256, (len(rows),), generator=dice) if step % 3 else whole.argmax(-1)
            growing.feed(new)
            rows = [[*row, int(byte)] for row, byte in zip(rows, new, strict=True)]
            if step == 15:
                growing.choose(torch.tensor([3, 1, 1]))
                rows = [list(rows[i]) for i in (3, 1, 1)]


def test_what_was_kept_of_a_conversation_goes_on_in_another_process(model, tmp_path):
    """Bytes that come by the handful, by one and from a file give the logits of all at once."""
    dice = torch.Generator().manual_seed(4)
    with torch.inference_mode():
        ids = ids_of(TEXTS[0])[:3]
        row = model.decoding([ids])
        for several in (1, 7, 2, 1, 40, 3, 1, 1, 12):
            new = torch.randint(OFFSET, OFFSET + 256, (several,), generator=dice)
            if several == 7:
                new = torch.tensor(ids_of("ab, cd "))
            row.feed(new) if several == 1 else row.extend(new)
            ids = [*ids, *new.tolist()]
            whole = logits(model, ids)[-1]
            assert torch.allclose(row.logits[0], whole, atol=1e-4)
            save_file({k: v.contiguous() for k, v in row.state().items()}, tmp_path / "row.safetensors")
            row = model.restored(load_file(tmp_path / "row.safetensors"))
            assert row.logits[0].argmax() == whole.argmax()


def test_one_row_as_a_graph_computes_it_is_the_same(model):
    for text in TEXTS:
        made = model.get_output_embeddings()(one_row.states(model, torch.tensor(ids_of(text))))
        assert torch.allclose(made, logits(model, ids_of(text)), atol=1e-4)


def test_saved_and_loaded_it_computes_the_same_bits(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, use_safetensors=True).eval()
    assert logits(again, ids_of(TEXTS[0])).equal(logits(model, ids_of(TEXTS[0])))
    made = again.generate(torch.tensor([ids_of("ab")]), max_new_tokens=3, do_sample=False)
    assert made[0, 2] == logits(model, ids_of("ab"))[-1].argmax()


@pytest.mark.parametrize("kind", LATENT)
def test_a_byte_latent_transformer_computes_what_transformers_does(kind):
    """With the same weights and n-grams, told where the patches are; the last one is the place of the byte to come."""
    own = latent(kind)
    theirs = BltForCausalLM(BltConfig(**{k: v for k, v in own.config.to_dict().items() if k != "model_type"})).eval()
    theirs.load_state_dict(own.state_dict())
    ids = torch.tensor(ids_of(TEXTS[2]))
    found = logits(own, ids.tolist())
    starts = [0, *(1 + own.model.cut.begins.nonzero()[:, 0]).tolist()]
    lengths = [after - start for start, after in itertools.pairwise([*starts, len(ids) + 1])]
    assert lengths[0] == 1 and len(set(lengths)) > 1 and sum(lengths) == len(ids) + 1
    states = own.model.local_encoder.embed_tokens(ids)
    recent = history(ids, torch.arange(len(ids)), 4)
    for number, length in enumerate((2, 3, 4)):
        states = states + own.model.encoder_hash_tok_embedding(hashed(recent, length, 64) + number * 64)
    with torch.no_grad():
        expected = theirs(inputs_embeds=states[None], patch_lengths=torch.tensor([lengths]), use_cache=False).logits[0]
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "ends"), [("aሰb", [0, 3, 4]), ("🌍é", [3, 5]), ("\u00e9".encode()[1:], [0]), ("ሰ".encode()[:2], [])]
)
def test_a_character_is_complete_at_its_last_byte(text, ends):
    ids = torch.tensor([OFFSET + byte for byte in (text.encode() if isinstance(text, str) else text)])
    assert completes(history(ids, torch.arange(len(ids)), BACK)).nonzero()[:, 0].tolist() == ends


@pytest.mark.parametrize(
    ("kind", "text", "begins"),
    [
        ("space", "ab, cd ef", [0, 2, 6]),
        ("space", "ሰላም፡ነህ", [0, 11]),
        ("space", "ሰ። ላ", [0, 5]),
        ("space", "jk'an it", [0, 5]),
        ("space", "क। ख", [0, 5]),
        ("char", "aሰ🌍b", [0, 1, 4, 8]),
        ("fixed", "abcdefg", [0, 3, 6]),
    ],
)
def test_chunks_begin_where_the_rule_says(kind, text, begins):
    ids = torch.tensor(ids_of(text))
    positions = torch.arange(len(ids))
    assert by_rule(kind, history(ids, positions, BACK), positions, 3).nonzero()[:, 0].tolist() == begins


def test_a_mark_of_a_conversation_begins_a_chunk():
    ids = torch.tensor([5, *ids_of("ab"), 3, 6])
    positions = torch.arange(5)
    assert by_rule("space", history(ids, positions, BACK), positions, 3).tolist() == [True, False, False, True, True]


def test_the_hash_of_an_n_gram_is_the_one_of_whole_numbers():
    """Computed with numbers of any size; in 63 bits nothing may overflow on the way."""
    ids = [263] * 13 + [OFFSET, 3, 200]
    recent = history(torch.tensor(ids), torch.arange(len(ids)), 12)
    for length in (2, 3, 4, 6, 9, 12):
        for place in range(len(ids)):
            number = 0
            for back in range(length - 1, -1, -1):
                number = (number * FACTOR + (ids[place - back] if place >= back else 0) + 1) % PRIME
            assert int(hashed(recent, length, 8192)[place]) == number % 8192
    assert 1000 * (PRIME - 1) * (1 << 20) < 2**63, "n-grams of a thousand ids of a million kinds"


def test_smoothing_is_the_running_mean_of_each_row():
    p = torch.tensor([1.0, 0.7, 0.5, 1.0, 0.25], requires_grad=True)
    z = torch.tensor([[1.0], [2.0], [4.0], [8.0], [16.0]])
    row, place = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 0, 1])
    found = smoothed(z, p, row, place, (2, 3))
    second = 0.7 * 2 + 0.3 * 1
    expected = torch.tensor([1.0, second, 0.5 * 4 + 0.5 * second, 8.0, 0.25 * 16 + 0.75 * 8])
    assert torch.allclose(found[:, 0], expected)
    found.sum().backward()
    assert p.grad is not None and p.grad[1] == pytest.approx(1 + 0.5)  # 2 - 1, and half of it in the next


def test_the_router_learns_through_a_factor_of_one():
    p = torch.tensor([0.9, 0.2], requires_grad=True)
    factor = straight(p, torch.tensor([True, False]))
    factor.sum().backward()
    assert factor.tolist() == [1.0, 1.0] and p.grad.tolist() == [1.0, -1.0]


def test_the_ratio_loss_is_the_one_of_the_paper():
    """Four bytes a chunk are wanted: a row of two in four, and one of one in four at the target."""
    begins = torch.tensor([1, 0, 1, 0, 1, 0, 0, 0]).bool()
    p = torch.tensor([1.0, 0.2, 0.6, 0.2, 0.25, 0.25, 0.25, 0.25], requires_grad=True)
    cut = Cut(begins, p, torch.tensor([0] * 4 + [1] * 4), 2)
    first = 4 / 3 * (3 * 0.5 * 0.5 + 0.5 * 0.5)
    value = ratio_loss(cut, 4.0, torch.tensor([2.0, 3.0]))
    assert value.item() == pytest.approx(2 * first + 3 * 1.0)
    value.backward()
    # Too many chunks: the probabilities fall. At the target nothing moves.
    assert p.grad[:4].tolist() == pytest.approx([2 * 4 / 3 * (3 * 0.5 - 0.5) / 4] * 4) and math.isclose(
        p.grad[4], 0, abs_tol=1e-7
    )


def test_what_may_follow_is_what_python_decodes():
    """A byte may follow where some bytes after it make it text."""

    def decodes(data: bytes) -> bool:
        try:
            return bool(data.decode())
        except UnicodeDecodeError:
            return False

    ends = [b"", *(bytes([last]) * number for last in (0x80, 0x90, 0xA0) for number in (1, 2, 3))]

    starts = [
        b"",
        b"a",
        b"\xc3",
        b"\xe0",
        b"\xe1",
        b"\xed",
        b"\xef",
        b"\xf0",
        b"\xf3",
        b"\xf4",
        b"\xe1\x88",
        b"\xf0\x9f",
        b"\xf0\x9f\x8c",
    ]
    for start in (*starts, "ሰ🌍é".encode()):
        allowed = may_follow([OFFSET + byte for byte in start])
        assert [any(decodes(start + bytes([b]) + end) for end in ends) for b in range(256)] == allowed[OFFSET:].tolist()
        inside = not start.decode(errors="ignore") and bool(start)
        assert allowed[:OFFSET].tolist() == [not inside] * OFFSET


def test_a_model_over_bytes_writes_whole_characters_alone():
    """Sampled from a network that knows nothing, in a batch and in a stream."""
    loaded = replace(on_bytes(Path()), model=tiny("char"))
    sampling = Sampling(60, 1.5, 0.95, seed=4, top_k=200, min_p=1e-4, repetition_penalty=1.2)
    for text in (
        "".join(whole_characters(stream(loaded, [1], sampling), loaded.renderer)),
        *generate_batch(loaded, [[1], [1, 200]], sampling)[0],
    ):
        assert len(text) > 5 and "\ufffd" not in text[:-1]


def test_each_setting_leaves_the_tokens_it_says():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))

    def drawn(**settings) -> set[int]:
        generator = torch.Generator().manual_seed(0)
        return {int(choose(logits, Sampling(temperature=1.0, **settings), generator, [[0]])[0]) for _ in range(200)}

    assert drawn() == {0, 1, 2, 3} and drawn(top_k=2) == {0, 1} and drawn(top_p=0.9) == {0, 1, 2}
    assert drawn(min_p=0.4) == {0, 1} and drawn(top_k=3, min_p=0.5) == {0, 1}
    # 0 was there before: log(0.5) doubled is log(0.25), below 0.3.
    assert int(choose(logits, Sampling(repetition_penalty=2.0), torch.Generator(), [[0]])[0]) == 1
