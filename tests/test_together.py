"""Attention of short rows at once, and coins that cost little: what they compute is what PyTorch does row by row."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from endonym.models.nets.dropout import Coins, Dropout, dropped
from endonym.models.nets.ngrams import summed
from endonym.models.nets.rows import Laid, filled
from endonym.models.nets.together import Piece, Together, plan

LENGTHS = [40, 5, 17, 38, 3, 16]


@pytest.mark.parametrize(("kind", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_rows_at_once_see_what_each_sees_alone_and_learn_the_same(kind, near):
    torch.manual_seed(1)
    q, k, v, wanted = torch.randn(4, sum(LENGTHS), 2, 8).to(kind).unbind(0)
    made = []
    for attend in (lambda *x: Laid(LENGTHS, q.device).attend(0, *x, 0, 0.0), one_by_one):
        given = [x.clone().requires_grad_() for x in (q, k, v)]
        seen = attend(*given)
        (seen * wanted).sum().backward()
        made.append([seen.detach(), *(x.grad for x in given)])
    for together, alone in zip(*made, strict=True):
        assert (together - alone).abs().max() <= near * max(1.0, float(alone.abs().max()))


@pytest.mark.parametrize(("kind", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_what_rows_share_learns_from_each_of_them_once(kind, near):
    """Five rows after one beginning: in 16 bits the block is filled up with more of them."""
    torch.manual_seed(1)
    given = [torch.randn(1, 2, 44, 8).to(kind).requires_grad_() for _ in range(3)]
    wanted = torch.randn(1, 44, 2, 8).to(kind)
    pieces = [Piece(0, 9), *(Piece(9 + 7 * n, 16 + 7 * n, range(9)) for n in range(5))]
    seen = Together.apply(*given, plan(pieces, 2, 2, kind), 0.5)
    found = torch.autograd.grad((seen * wanted).sum(), given)
    places = torch.tensor([[t in p.keys and t <= q for t in range(44)] for p in pieces for q in range(p.start, p.end)])
    plainly = scaled_dot_product_attention(*given, places, scale=0.5).transpose(1, 2)
    for mine, theirs in zip(found, torch.autograd.grad((plainly * wanted).sum(), given), strict=True):
        assert (mine - theirs).abs().max() <= near * max(1.0, float(theirs.abs().max()))


def one_by_one(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    rows = zip(*(x.split(LENGTHS) for x in (q, k, v)), strict=True)
    return torch.cat(
        [
            scaled_dot_product_attention(*(x.transpose(0, 1) for x in row), is_causal=True).transpose(0, 1)
            for row in rows
        ]
    )


def test_weights_are_dropped_and_what_is_dropped_learns_nothing():
    torch.manual_seed(2)
    given = [torch.randn(1, 2, 32, 4, requires_grad=True) for _ in range(3)]
    wanted = torch.randn(1, 32, 2, 4)
    torch.manual_seed(3)
    seen = Together.apply(*given, plan([Piece(0, 32)], 2, 2, torch.float32), 0.5, 0.4)
    found = torch.autograd.grad((seen * wanted).sum(), given)
    torch.manual_seed(3)
    q, k, v = given
    weights = (0.5 * q @ k.transpose(2, 3) + torch.full((32, 32), float("-inf")).triu(1)).softmax(-1)
    stays = Coins(0.4).toss(weights[0])
    plainly = ((weights * stays) @ v).transpose(1, 2)
    assert torch.allclose(seen, plainly, atol=1e-5)
    for mine, theirs in zip(found, torch.autograd.grad((plainly * wanted).sum(), given), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_coins_fall_as_often_as_they_should_and_again_alike():
    torch.manual_seed(4)
    coins, ones = Coins(0.3), torch.ones(333, 301)
    first, second = coins.drop(ones), coins.drop(ones)
    assert float((first == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(first.mean()) == pytest.approx(1, abs=0.01)
    assert not torch.equal(first, second)
    again = coins.again()
    assert torch.equal(again.drop(ones), first) and torch.equal(again.drop(ones), second)
    torch.manual_seed(4)
    assert torch.equal(dropped(ones, 0.3, True), first)
    layer = Dropout(0.3)
    assert layer.eval()(ones) is ones
    assert float((layer.train()(ones) == 0).float().mean()) == pytest.approx(0.3, abs=0.01)


def test_rows_are_filled_up_for_training_alone():
    here = torch.device("cpu")
    assert filled([3, 5], here, None) == [3, 5, 24]
    assert filled([30, 34], here, None) == [30, 34]
    assert filled([3, 5], torch.device("meta"), None) == [3, 5]


def test_n_grams_are_left_out_as_wholes_and_in_training_alone():
    torch.manual_seed(5)
    grams = torch.ones(500, 3, 4)
    made = summed(grams, 0.5, True)
    assert set(made[:, 0].tolist()) == {0.0, 2.0, 4.0, 6.0} and bool((made == made[:, :1]).all())
    assert torch.equal(summed(grams, 0.5, False), grams.sum(1)) and torch.equal(summed(grams, 0.0, True), grams.sum(1))
