"""The trainer's promises: packing never leaks, batches add up, an interrupted run ends with the same weights."""

from __future__ import annotations

import random
from functools import partial

import pytest
import torch
from safetensors.torch import load_file

from endonym.models.adapters import speed_up
from endonym.models.load import load_model
from endonym.models.pieces import pieces
from endonym.models.render import IGNORE, Example
from endonym.train import attention as packed
from endonym.train import checkpoint
from endonym.train.batches import Cursor, micro_batches, order, pack, steps, together
from endonym.train.fit import Rows, fit
from endonym.train.kept import RunningMean
from endonym.train.losses import CHUNK_BYTES, _LinearLoss, next_token
from endonym.train.network import attention, drop_attention, ready
from endonym.train.settings import FitConfig
from endonym.train.step import learning_rate, mean_loss
from endonym.types import Chat, Message


def _examples(number: int, vocabulary: int, longest: int = 40) -> list[Example]:
    dice = random.Random(7)
    rows = []
    for _ in range(number):
        length = dice.randint(6, longest)
        ids = [dice.randrange(vocabulary) for _ in range(length)]
        answer = dice.randint(2, 5)
        rows.append(Example(ids, [IGNORE] * (length - answer) + ids[-answer:]))
    return rows


@pytest.fixture
def loaded(tiny_model):
    found = load_model(tiny_model, dtype="float32")
    return ready(found, found.model)


def _reference(model: torch.nn.Module, example: Example) -> float:
    """Loss of one row alone through the model's own attention and own loss arithmetic."""
    with attention(model, "sdpa"), torch.no_grad():
        logits = model(input_ids=torch.tensor([example.ids])).logits[0, :-1]
    labels = torch.tensor(example.labels[1:])
    return float(torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum"))


@pytest.mark.parametrize("longest", [40, 400])
def test_a_pack_gives_the_loss_of_its_rows_alone(loaded, longest):
    """Both attention paths (all rows at once, and row by row) must equal transformers' own, row by row."""
    rows = _examples(5, loaded.model.config.vocab_size, longest)
    with torch.no_grad():
        together = float(next_token(loaded.model, pack(rows, torch.device("cpu"))))
    assert together == pytest.approx(sum(_reference(loaded.model, r) for r in rows), rel=1e-5)


def test_flash_attention_is_given_what_each_row_sees(monkeypatch):
    """FlashAttention needs a GPU; what it is handed is checked against its documented meaning, computed row by row."""

    def documented(q, k, v, cu_q, cu_k, max_q, max_k, *, scale, window_size, enable_gqa):
        assert window_size == (-1, 0) and max_q == int(cu_q.diff().max()) and max_k == int(cu_k.diff().max())
        rows = []
        for i in range(len(cu_q) - 1):
            own, seen = q[cu_q[i] : cu_q[i + 1]], slice(int(cu_k[i]), int(cu_k[i + 1]))
            mask = torch.ones(len(own), seen.stop - seen.start, dtype=torch.bool).tril(
                seen.stop - seen.start - len(own)
            )
            parts = (x.transpose(0, 1).unsqueeze(0) for x in (own, k[seen], v[seen]))
            found = torch.nn.functional.scaled_dot_product_attention(
                *parts, attn_mask=mask, scale=scale, enable_gqa=enable_gqa
            )
            rows.append(found[0].transpose(0, 1))
        return torch.cat(rows)

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", documented)
    for rows in (_examples(5, 50), _with_beginnings(50, 40)):
        batch = pack(rows, torch.device("cpu"))
        size = batch.ids.shape[1]
        torch.manual_seed(2)
        query, key, value = torch.randn(1, 4, size, 8), torch.randn(1, 2, size, 8), torch.randn(1, 2, size, 8)
        usual, _ = packed._packed_attention(torch.nn.Module(), query, key, value, None, 0.3, pieces=batch.pieces)
        assert torch.allclose(packed._flash(query, key, value, batch.pieces, 0.3), usual, atol=1e-5)


def _with_beginnings(vocabulary: int, longest: int) -> list[Example]:
    """Rows of which some begin alike: two directions of a task with a beginning of their own, and rows that share nothing."""
    rows = _examples(14, vocabulary, longest)
    dice = random.Random(3)
    common = [dice.randrange(vocabulary) for _ in range(9)]
    starts = [common + [dice.randrange(vocabulary) for _ in range(n)] for n in (6, 11)] + [[]]
    made = [
        Example(starts[i % 3] + row.ids, [IGNORE] * len(starts[i % 3]) + list(row.labels)) for i, row in enumerate(rows)
    ]
    # One row learns from within the common beginning on, and must share less.
    ids = made[0].ids
    return [*made, Example(ids, [*[IGNORE] * 10, *ids[10:]])]


@pytest.mark.parametrize("trained", [True, False])
def test_the_chunked_loss_is_cross_entropy_with_its_gradients(trained):
    vocabulary, width = CHUNK_BYTES // 400, 4
    number = 2 * (CHUNK_BYTES // (4 * vocabulary)) + 7
    torch.manual_seed(1)
    hidden, weight = torch.randn(number, width), torch.randn(vocabulary, width)
    targets = torch.randint(vocabulary, (number,))
    found = []
    for usual in (True, False):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_(trained)
        if usual:
            value = torch.nn.functional.cross_entropy(h @ w.T, targets, reduction="sum")
        else:
            value = _LinearLoss.apply(h, w, targets, torch.float32, True)
        (value / 3).backward()
        found.append((value.detach(), h.grad, w.grad if trained else torch.zeros(1)))
    for usual, own in zip(*found, strict=True):
        assert torch.allclose(usual, own, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("longest", [40, 400])
def test_rows_with_a_common_beginning_compute_it_once_and_learn_alike(loaded, longest):
    """Loss and gradient of a pack must be those of its rows one by one."""
    model = loaded.model.requires_grad_(True)
    rows = _with_beginnings(model.config.vocab_size, longest)
    packed = pack(rows, torch.device("cpu"))
    real = sum(len(e.ids) for e in rows)
    assert packed.num_tokens == real and packed.pieces[-1].end < real
    assert {len(p.before) for p in packed.pieces} >= {0, 15, 20}
    assert packed.num_learned == sum(pack([e], torch.device("cpu")).num_learned for e in rows)

    def gradient(packs) -> tuple[float, torch.Tensor]:
        model.zero_grad()
        total = 0.0
        for rows in packs:
            value = next_token(model, pack(rows, torch.device("cpu")))
            value.backward()
            total += float(value.detach())
        return total, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    once, alone = gradient([rows]), gradient([[e] for e in rows])
    assert once[0] == pytest.approx(alone[0], rel=1e-5)
    assert torch.allclose(once[1], alone[1], rtol=1e-3, atol=1e-4)


def test_beginnings_are_shared_where_that_saves_most():
    def row(text: str) -> Example:
        return Example([ord(c) for c in text], [IGNORE] * (len(text) - 1) + [ord(text[-1])])

    few = [
        row("translate to A: one"),
        row("translate to A: two"),
        row("translate to B: red"),
        row("nothing alike at all"),
    ]
    found = {tuple(sorted("".join(map(chr, e.ids)) for e in rows)): shared for rows, shared in together(few)}
    assert found == {
        ("translate to A: one", "translate to A: two", "translate to B: red"): 13, ("nothing alike at all",): 0,
    }  # fmt: skip
    many = [
        row(f"translate to {x}: a long instruction of many words, {n}") for x in "AB" for n in ("one", "two", "ten")
    ]
    assert sorted((len(rows), shared) for rows, shared in together(many)) == [(3, 50), (3, 50)]


def test_a_row_never_sees_its_neighbour(loaded):
    first, second, other = _examples(3, loaded.model.config.vocab_size)
    device = torch.device("cpu")
    blind = Example(first.ids, [IGNORE] * len(first.ids))
    different = Example(other.ids, [IGNORE] * len(other.ids))
    with torch.no_grad():
        after_first = float(next_token(loaded.model, pack([blind, second], device)))
        after_other = float(next_token(loaded.model, pack([different, second], device)))
    assert after_first == pytest.approx(after_other, abs=1e-5)


def test_fast_layers_equal_the_ones_they_replace(loaded):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        loaded.model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    rows = pack(_examples(4, model.config.vocab_size), torch.device("cpu"))

    def run() -> tuple[float, torch.Tensor]:
        model.zero_grad()
        value = next_token(model, rows)
        value.backward()
        return float(value), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    before, gradient = run()
    assert speed_up(model) > 0
    after, fast_gradient = run()
    assert after == pytest.approx(before, rel=1e-5)
    assert torch.allclose(fast_gradient, gradient, rtol=1e-3, atol=1e-4)


def test_every_turn_is_learned_as_it_would_be_generated(loaded):
    """Ids stay the same, the answers of all turns and their end markers are learned, and nothing else is."""
    turns = [Message("system", "Translate."), Message("user", "el agua"), Message("assistant", "te ha'")]
    turns += [
        Message("user", "la casa"),
        Message("assistant", "te na"),
        Message("user", "ሰላም"),
        Message("assistant", "ሰላም ነው።"),
    ]
    chat = Chat("c", tuple(turns), "x")
    last, every = loaded.renderer.example(chat), loaded.renderer.example(chat, every_turn=True)
    assert every.ids == last.ids
    end = loaded.renderer.end_ids[:1]
    answers = [[*loaded.renderer.answer_ids(t.content), *end] for t in turns if t.role == "assistant"]
    assert [i for i in last.labels if i != IGNORE] == answers[-1]
    assert [i for i in every.labels if i != IGNORE] == [i for answer in answers for i in answer]
    assert all(label in (IGNORE, i) for label, i in zip(every.labels, every.ids, strict=True))
    for at, turn in enumerate(turns):
        if turn.role == "assistant":
            start = len(loaded.renderer.prompt_ids(turns[:at]))
            assert every.ids[:start] == loaded.renderer.prompt_ids(turns[:at])
            assert every.labels[start] == every.ids[start] and every.labels[start - 1] == IGNORE


@pytest.mark.parametrize("script", ["amharic", "sanskrit", "tseltal"])
def test_long_text_is_divided_at_sentence_ends_and_nothing_is_lost(loaded, script, request):
    ends = {"amharic": "። ", "sanskrit": "। ", "tseltal": ". "}
    said = [pair[0 if script == "tseltal" else 1].strip(" .።।!?") for pair in request.getfixturevalue(script)[:40]]
    text = "".join(sentence[:1].upper() + sentence[1:] + ends[script] for sentence in said)
    chat = Chat("c", (Message("assistant", text),), "x", weight=0.5)
    parts = pieces(chat, loaded.renderer, 400)
    assert len(parts) > 2 and "".join(part.answer for part, _ in parts) == text
    assert all(part.answer.endswith(ends[script]) and part.weight == 0.5 for part, _ in parts)
    assert all(len(example.ids) <= 400 for _, example in parts)
    end = loaded.renderer.example(chat).ids[-1]
    assert [example.ids[-1] == end and example.labels[-1] == end for _, example in parts] == [False] * (
        len(parts) - 1
    ) + [True]
    learned = [i for _, example in parts for i in example.labels if i not in (IGNORE, end)]
    assert loaded.renderer.decode(learned) == text


def test_micro_batches_keep_every_row_and_their_limit():
    rows = _examples(50, 100)
    packs = micro_batches(rows, 100)
    assert sorted(map(id, (r for p in packs for r in p))) == sorted(map(id, rows))
    assert all(sum(len(r.ids) for r in p) <= 100 for p in packs)


def test_order_is_a_function_of_seed_epoch_and_cursor():
    weights = [1.0] * 17
    assert sorted(order(17, weights, 3, 0)) == list(range(17))
    assert order(17, weights, 3, 0) != order(17, weights, 3, 1)
    rows_of = partial(order, 17, weights, 3)
    whole = steps(rows_of, 5, Cursor())
    walked = [next(whole) for _ in range(9)]
    resumed = steps(rows_of, 5, walked[3][1])
    assert [next(resumed)[0] for _ in range(5)] == [rows for rows, _ in walked[4:]]


def test_weights_say_how_often_a_row_comes():
    seen = [i for epoch in range(400) for i in order(3, [0.25, 1.0, 2.0], 1, epoch)]
    counts = [seen.count(i) for i in range(3)]
    assert counts[1] == 400
    assert counts[2] == 800
    assert 70 < counts[0] < 130


def test_learning_rate_rises_then_falls():
    cfg = FitConfig(steps=100, learning_rate=1.0, warmup=0.1, final=0.02)
    rates = [learning_rate(s, cfg) for s in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(1.0)
    assert rates[99] == pytest.approx(0.02, abs=0.01)
    straight = cfg.model_copy(update={"schedule": "linear", "warmup_steps": 20})
    assert [learning_rate(s, straight) for s in (0, 19, 60)] == pytest.approx([0.05, 1.0, 0.51])
    level = cfg.model_copy(update={"schedule": "constant"})
    assert learning_rate(99, level) == 1.0


def test_the_settings_of_adam_reach_it(tiny_model, tmp_path):
    usual, _, job = _fitted(tiny_model, tmp_path / "usual")
    other, _, sparse = _fitted(tiny_model, tmp_path / "other", beta1=0.5, beta2=0.9, epsilon=1e-4, log_every=5)
    assert not torch.equal(usual["model.norm.weight"], other["model.norm.weight"])
    assert sorted(job.curves["loss"]) == list(range(1, 13))
    assert sorted(sparse.curves["loss"]) == [5, 10, 12]


def test_mean_loss_does_not_depend_on_the_packing(loaded):
    rows = _examples(12, loaded.model.config.vocab_size)
    assert mean_loss(loaded.model, rows, next_token, 64) == pytest.approx(
        mean_loss(loaded.model, rows, next_token, 4096), rel=1e-5
    )


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path):
    weights = {"w": torch.nn.Parameter(torch.zeros(3))}
    optimizer = torch.optim.AdamW(weights.values())
    for step in (1, 2):
        with torch.no_grad():
            weights["w"].fill_(float(step))
        checkpoint.save(tmp_path, checkpoint.State(step=step), checkpoint.collected(weights, optimizer, {}))
    damaged = checkpoint.newest(tmp_path) / "weights.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x01")
    found = checkpoint.newest(tmp_path)
    assert found.name == "step-00000001"
    state = checkpoint.load(found, weights, optimizer, {})
    assert state.step == 1
    assert weights["w"].tolist() == [1.0, 1.0, 1.0]


def test_a_save_that_was_interrupted_leaves_nothing_to_trip_over(tmp_path):
    (tmp_path / ".tmp-12345678").mkdir()
    (tmp_path / "step-00000007").mkdir()  # a folder without a manifest is no checkpoint
    assert checkpoint.newest(tmp_path) is None
    assert not (tmp_path / ".tmp-12345678").exists()


class _Job:
    """What `fit` needs of a job, without a database: curves in a dict, lines in a list, and it can die at a step."""

    def __init__(self, folder, dies_at: int = 0):
        self.folder, self.dies_at = folder, dies_at
        self.curves: dict[str, dict[int, float]] = {}
        self.lines: list[str] = []

    def metric(self, name, value, step=0):
        if step and step == self.dies_at:
            raise KeyboardInterrupt
        self.curves.setdefault(name, {})[step] = value

    def log(self, text):
        self.lines.append(text)

    def tick(self, *_, **__): ...

    def event(self, *_, **__): ...

    def cancelled(self):
        return False


SHORT_RUN = {
    "steps": 12,
    "batch_size": 4,
    "evaluate_every": 3,
    "save_every": 2,
    "learning_rate": 3e-3,
    "dtype": "float32",
}


HIGH = {
    "learning_rate": 0.12,
    "final": 1.0,
    "warmup": 0.0,
    "average": 5,
    "evaluate_every": 6,
    "steps": 60,
    "batch_size": 2,
    "seed": 9,
}


def _pulled(model, batch):
    """Each learned token pulls the last norm elsewhere: a constant learning rate keeps every number of it dancing about its place.

    How rows are packed changes nothing in it, so which weights are better does not hang on rounding.
    """
    places = torch.randn(300, model.model.norm.weight.numel(), generator=torch.Generator().manual_seed(3))
    return (model.model.norm.weight - places[batch.targets]).square().sum()


def _fitted(tiny_model, folder, dies_at=0, part="", loss=next_token, **settings):
    """Train the tiny model a little; returns its weights, how it ended, and the job."""
    loaded = load_model(tiny_model, dtype="float32")
    loaded = ready(loaded, loaded.model)
    drop_attention(loaded.model, 0.2)
    rows = _examples(30, 300)
    job = _Job(folder, dies_at)
    cfg = FitConfig(**{**SHORT_RUN, **settings})
    result = fit(
        loaded.model,
        Rows(rows, [1.0] * len(rows), ["x"] * len(rows), ["x"] * len(rows)),
        rows[:8],
        loss,
        cfg,
        job,
        part=part,
    )
    return {n: p.detach().clone() for n, p in loaded.model.named_parameters()}, result, job


def test_the_mean_of_the_last_weights_is_kept_where_it_is_better(tiny_model, tmp_path):
    """With a constant, too high learning rate the mean of the last weights beats each of them."""
    weights, result, job = _fitted(tiny_model, tmp_path, loss=_pulled, **HIGH)
    assert result.averaged == 5 and "the mean is kept" in job.lines[-1]
    assert result.best_loss < min(job.curves["valid_loss"].values())
    kept = [load_file(tmp_path / "checkpoints" / f"recent-{step:08d}.safetensors") for step in (36, 42, 48, 54, 60)]
    for name, tensor in weights.items():
        assert torch.allclose(tensor, sum(k[name] for k in kept) / 5, atol=1e-7)
    low, result, job = _fitted(tiny_model, tmp_path / "low", average=3)
    assert result.averaged == 0 and "the best step is kept" in job.lines[-1]
    assert result.best_loss == min(job.curves["valid_loss"].values())
    assert torch.equal(low["model.norm.weight"], _fitted(tiny_model, tmp_path / "off")[0]["model.norm.weight"])


@pytest.mark.parametrize("dies_at", [4, 50, 60])
def test_a_killed_run_goes_on_to_the_same_mean_of_weights(tiny_model, tmp_path, dies_at):
    whole, expected, _ = _fitted(tiny_model, tmp_path / "whole", loss=_pulled, **HIGH)
    with pytest.raises(KeyboardInterrupt):
        _fitted(tiny_model, tmp_path / "broken", dies_at, loss=_pulled, **HIGH)
    resumed, found, _ = _fitted(tiny_model, tmp_path / "broken", loss=_pulled, **HIGH)
    assert expected.averaged == found.averaged == 5
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_running_mean_of_the_weights_is_kept_where_it_is_better(tiny_model, tmp_path):
    """As the weights dance about their place, their mean comes nearer to it; it is the mean that the rule says."""
    settings = {**HIGH, "average": 0, "ema": 0.8}
    weights, result, job = _fitted(tiny_model, tmp_path, loss=_pulled, **settings)
    assert result.running_mean and result.best_loss == min(job.curves["mean_valid_loss"].values())
    assert result.best_loss < min(job.curves["valid_loss"].values())
    kept = load_file(tmp_path / "checkpoints" / f"best-{result.best_step:08d}.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights.items())
    off = _fitted(tiny_model, tmp_path / "off", loss=_pulled, **{**settings, "ema": 0.0})
    assert not off[1].running_mean and off[2].curves["valid_loss"] == job.curves["valid_loss"]


def test_the_running_mean_is_what_its_rule_says():
    weight = torch.nn.Parameter(torch.zeros(1))
    mean = RunningMean({"w": weight}, 0.3)
    with torch.no_grad():
        weight.fill_(1.0)
    mean.follow(1)  # keeps 2/11 of 0
    mean.follow(20)  # keeps 0.3
    assert torch.allclose(mean.weights["w"], torch.tensor([1 - 2 / 11 * 0.3]))
    with mean.inside():
        assert torch.allclose(weight, torch.tensor([1 - 2 / 11 * 0.3]))
    assert weight.item() == 1.0 and not RunningMean({"w": weight}, 0.0).weights


def test_a_killed_run_goes_on_to_the_same_running_mean(tiny_model, tmp_path):
    settings = {**HIGH, "average": 0, "ema": 0.8}
    whole, expected, _ = _fitted(tiny_model, tmp_path / "whole", loss=_pulled, **settings)
    with pytest.raises(KeyboardInterrupt):
        _fitted(tiny_model, tmp_path / "broken", 50, loss=_pulled, **settings)
    resumed, found, _ = _fitted(tiny_model, tmp_path / "broken", loss=_pulled, **settings)
    assert expected.running_mean and found.running_mean
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_finished_part_is_not_trained_again(tiny_model, tmp_path):
    first, _, job = _fitted(tiny_model, tmp_path, part="one", patience=1, learning_rate=0.5)
    assert (tmp_path / "checkpoints" / "one").is_dir() and "one/loss" in job.curves
    assert max(job.curves["one/loss"]) < SHORT_RUN["steps"]
    again, _, second = _fitted(tiny_model, tmp_path, part="one", patience=1, learning_rate=0.5)
    assert "one/loss" not in second.curves
    assert all(torch.equal(first[name], again[name]) for name in first)
