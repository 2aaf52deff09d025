"""The two heads."""

import pytest
import torch

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.rewards.view_heads import ConcatScorer, CrossViewFusion


def vectors(count=3, views=4, width=24, seed=0):
    return torch.randn(count, views, width, generator=torch.Generator().manual_seed(seed))


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_sizes_are_those_published():
    """768 → 1024 → 128 for each view; 4 · 128 → 256 → 64 → 1."""
    each, joint = 768 * 1024 + 1024 + 1024 * 128 + 128, 512 * 256 + 256 + 256 * 64 + 64 + 64 + 1
    assert parameters(ConcatScorer(768, 4)) == each + joint
    last = 768 * 1024 + 1024 + 1024 * 128 + 128 + 128 * 64 + 64 + 64 * 16 + 16 + 16 + 1
    attention, gate = 4 * (768 * 768 + 768), 2 * 768 * 768 + 768
    assert parameters(CrossViewFusion(768)) == attention + gate + last


def test_the_scorer_is_affine_and_knows_its_views():
    head = ConcatScorer(24, 4).eval()
    a, b = vectors(), vectors(seed=1)
    assert torch.allclose(head(0.3 * a + 0.7 * b), 0.3 * head(a) + 0.7 * head(b), atol=1e-5)
    assert not torch.allclose(head(a), head(a.flip(1)), atol=1e-4)


def test_the_fusion_does_not_know_which_view_is_which():
    head = CrossViewFusion(24).eval()
    a = vectors()
    assert torch.allclose(head(a), head(a.flip(1)), atol=1e-5)
    assert not torch.allclose(head(a)[0], head(a)[1], atol=1e-4)


def test_the_gate_mixes_what_was_found_with_what_was_there():
    """Shut, views are scored as they are; open, only what attention found; by default something between."""
    head, a = CrossViewFusion(24).eval(), vectors()
    head.gate.weight.data.zero_()
    found, _ = head.attention(a, a, a)
    for bias, expected in ((-50.0, a), (50.0, found), (0.0, (a + found) / 2)):
        head.gate.bias.data.fill_(bias)
        assert torch.allclose(head(a), head.score(expected.mean(1)).squeeze(-1), atol=1e-5)


def test_dropout_is_on_in_training_only():
    for head in (ConcatScorer(24, 4), CrossViewFusion(24)):
        assert not torch.equal(head(vectors()), head(vectors()))
        head.eval()
        assert torch.equal(head(vectors()), head(vectors()))


def test_refuses_heads_that_do_not_divide():
    with pytest.raises(PrefalignError, match="12 heads do not divide vectors of 25 numbers"):
        CrossViewFusion(25)
