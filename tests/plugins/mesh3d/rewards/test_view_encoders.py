"""Encoders of views without weights, and those of others."""

import io

import pytest
import torch
from PIL import Image

from prefalign.interfaces import Encoder, PrefalignError
from prefalign_mesh3d.rewards.view_encoders import MediaViews, PixelViews

PROMPTS = [["p", "q", "r"], ["p", "q", "r"]]


def pictures():
    return torch.randint(0, 256, (2, 3, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_pixels_by_hand():
    """A picture whose left half is black and right half white: two columns of -1 and 1."""
    image = torch.zeros(1, 1, 8, 8, 3, dtype=torch.uint8)
    image[..., 4:, :] = 255
    found = PixelViews(2)(image, [["p"]])
    assert found.shape == (1, 1, 12)
    assert found.view(3, 2, 2).tolist() == [[[-1, 1], [-1, 1]]] * 3


def test_pixels_keep_views_apart():
    images = pictures()
    found = PixelViews(4)(images, PROMPTS)
    assert torch.equal(found[1, 2], PixelViews(4)(images[1:, 2:], [["x"]])[0, 0])
    assert PixelViews(4).fingerprint() != PixelViews(5).fingerprint()
    with pytest.raises(PrefalignError, match="at least 1 pixel"):
        PixelViews(0)


class Corner(Encoder):
    """The colour of the first pixel."""

    width = 3

    def forward(self, media):
        opened = [Image.open(io.BytesIO(medium.data)) for medium in media]
        assert {medium.kind for medium in media} == {"image"}
        return torch.tensor([picture.getpixel((0, 0)) for picture in opened], dtype=torch.float64)

    def fingerprint(self):
        return "corner"


def test_any_encoder_of_pictures_sees_each_view():
    images = pictures()
    encoder = MediaViews(Corner())
    found = encoder(images, PROMPTS)
    assert found.dtype == torch.float32
    assert torch.equal(found, images[:, :, 0, 0].float())
    assert (encoder.width, encoder.fingerprint()) == (3, "corner")
