"""The mask of coordinates: exact where all faces can be listed, and never in the way of a mesh."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LogitsProcessorList

from prefalign_mesh3d.mesh.grid import quantise
from prefalign_mesh3d.tokenizers.coord9 import Coord9
from prefalign_mesh3d.tokenizers.ordering import OrderingMask


def digits(vertex, levels):
    return vertex // levels**2, vertex // levels % levels, vertex % levels


def all_faces(levels):
    """Every face there can be, ascending, as nine coordinates."""
    vertices = range(levels**3)
    faces = [(a, b, c) for a in vertices for b in vertices[a + 1 :] for c in vertices[a + 1 :] if b != c]
    return [sum((digits(vertex, levels) for vertex in face), ()) for face in faces]


def test_the_mask_leaves_exactly_what_can_be_completed():
    """Two levels have 8 vertices and 2 (21 + 15 + 10 + 6 + 3 + 1) = 112 faces: behind each, every prefix is tried."""
    how = Coord9(2)
    mask = OrderingMask(how)
    faces = all_faces(2)
    assert len(faces) == 112
    for last in [(), *faces]:
        following = [face for face in faces if face > last]
        for place in range(9):
            expected = {}
            for face in following:
                expected.setdefault(face[:place], set()).add(face[place])
            if place == 0:
                expected.setdefault((), set()).add(how.eos_id)
            if not expected:
                continue
            rows = torch.tensor([(how.bos_id, *last, *prefix) for prefix in expected])
            for row, (prefix, ids) in zip(mask.allowed(rows, how.vocab_size), expected.items(), strict=True):
                assert set(row.nonzero().ravel().tolist()) == ids, (last, prefix)


@pytest.mark.parametrize("how", [Coord9(16), Coord9(64, "yzx"), Coord9(1024)], ids=lambda how: str(how.settings()))
def test_the_mask_allows_every_token_of_every_mesh(how, any_mesh):
    tokens = how.encode(quantise(any_mesh, how.levels))[:450]
    sequence = torch.tensor([how.bos_id, *tokens, *([how.eos_id] if len(tokens) < 450 else [])])
    mask = OrderingMask(how)
    for end in range(1, len(sequence)):
        assert mask.allowed(sequence[None, :end], how.vocab_size)[0, sequence[end]], end


@pytest.mark.parametrize("levels", [2, 3, 7, 1024])
def test_sampling_under_the_mask_gives_clean_sequences(levels):
    """Random ids from what is left: there is always one, faces ascend, and none is degenerate."""
    torch.manual_seed(levels)
    how = Coord9(levels)
    mask = OrderingMask(how)
    ids = torch.full((64, 1), how.bos_id)
    for _ in range(60):
        # Drawn towards the highest coordinates, where the room ends.
        scores = torch.randn(64, how.vocab_size) + torch.linspace(0, 4, how.vocab_size)
        masked = mask(ids, scores)
        assert (masked > -torch.inf).any(1).all()
        ids = torch.cat([ids, masked.softmax(-1).multinomial(1)], dim=1)
    for row in ids.tolist():
        decoded = how.decode(row)
        ended = how.eos_id in row
        assert decoded.report.degenerate == 0
        assert decoded.report.bad_tokens == (0 if ended else 60 % 9)
        written = row[1 : row.index(how.eos_id)] if ended else row[1:55]
        faces = [tuple(written[at : at + 9]) for at in range(0, len(written), 9)]
        assert faces == sorted(set(faces))


def test_behind_the_end_there_is_only_the_end():
    how = Coord9(4)
    ids = torch.tensor([[how.bos_id, how.eos_id, how.eos_id], [how.bos_id, 0, 0]])
    allowed = OrderingMask(how).allowed(ids, how.vocab_size)
    assert allowed[0].nonzero().ravel().tolist() == [how.eos_id]
    assert allowed[1].nonzero().ravel().tolist() == [0, 1, 2, 3]


def test_a_row_that_left_the_order_may_go_on():
    """A face whose second vertex is its first: no third vertex could mend it, so any coordinate may follow."""
    how = Coord9(2)
    row = torch.tensor([[how.bos_id, 1, 1, 1, 1, 1, 1]])
    assert OrderingMask(how).allowed(row, how.vocab_size)[0].nonzero().ravel().tolist() == [0, 1]


def test_ids_beyond_the_vocabulary_are_masked():
    how = Coord9(4)
    scores = OrderingMask(how)(torch.tensor([[how.bos_id]]), torch.zeros(1, 64))
    assert (scores > -torch.inf).nonzero()[:, 1].tolist() == [0, 1, 2, 3, how.eos_id]


def test_generate_takes_it():
    how = Coord9(8)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=how.vocab_size, n_positions=64, n_embd=16, n_layer=1, n_head=2,
        bos_token_id=how.bos_id, eos_token_id=how.eos_id, pad_token_id=how.eos_id,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    sampled = model.generate(
        torch.full((8, 1), how.bos_id),
        attention_mask=torch.ones(8, 1, dtype=torch.long),
        do_sample=True,
        max_new_tokens=54,
        logits_processor=LogitsProcessorList([OrderingMask(how)]),
    )
    reports = [how.decode(row.numpy()).report for row in sampled]
    assert all(report.bad_tokens == report.degenerate == 0 for report in reports)
