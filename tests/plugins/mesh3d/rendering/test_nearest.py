"""The depth buffer."""

import torch

from prefalign_mesh3d.rendering.nearest import NearestBuffer

CPU = torch.device("cpu")


def offered(*things):
    buffer = NearestBuffer(3, CPU)
    for sample, nearness, index in things:
        buffer.add(torch.tensor([sample]), torch.tensor([nearness], dtype=torch.float64), torch.tensor([index]))
    seen = buffer.seen()
    return seen.kept.tolist(), seen.nearness.tolist()


def test_the_nearest_is_kept_in_any_order():
    for order in (1, -1):
        index, nearness = offered(*[(0, 0.25, 7), (0, 0.75, 9), (2, 1.0, 3)][::order])
        assert index == [9, -1, 3]
        assert abs(nearness[0] - 0.75) < 1e-9
        assert nearness[2] == 1


def test_of_equally_near_things_the_first_is_kept():
    assert offered((1, 0.5, 8), (1, 0.5, 2))[0] == [-1, 2, -1]


def test_the_farthest_is_still_there():
    index, nearness = offered((0, 0.0, 2**31 - 1))
    assert index == [2**31 - 1, -1, -1]
    assert nearness[0] > 0  # or else its depth would be infinite, as if nothing were there
