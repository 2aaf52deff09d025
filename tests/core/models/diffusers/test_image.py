"""Pictures as responses."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from prefalign.interfaces import Media, Pair, PreferenceRecord, Prompt, RecordError, Response
from prefalign.models.diffusers.image import ImageCodec
from prefalign.models.diffusers.unet import UNet
from prefalign.policies.denoising import DenoisingPolicy


def png(height, width, colour=(255, 0, 127), kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), colour, np.uint8)).save(buffer, format=kind)
    return Media(kind="image", data=buffer.getvalue())


def pair(*media):
    responses = tuple(Response(media=(medium,)) for medium in media)
    return PreferenceRecord(id="p", prompt=Prompt(text="a picture"), responses=responses, verdict=Pair(0, 1))


def test_pictures_of_any_size_become_one_size_between_minus_one_and_one():
    example = ImageCodec(8, 16).encode(pair(png(30, 20), png(5, 50)))
    for row in example.rows:
        assert row.data.shape == (3, 8, 16)
        assert row.encoded is False
        assert torch.allclose(row.data.mean((1, 2)), torch.tensor([1.0, -1.0, 127 / 127.5 - 1]))


def test_the_middle_of_a_wide_picture_is_kept():
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 255
    buffer = io.BytesIO()
    Image.fromarray(wide).save(buffer, format="PNG")
    row = ImageCodec(8, 8).encode(pair(Media(kind="image", data=buffer.getvalue()), png(8, 8))).rows[0]
    assert row.data.mean() > 0.95


def test_pairs_of_pictures_are_scored_and_the_score_is_repeatable(tmp_path):
    policy = DenoisingPolicy(UNet({}, height=16, width=16))
    policy.configure_model()
    path = tmp_path / "one.png"
    path.write_bytes(png(20, 20).data)
    record = pair(Media(kind="image", path=str(path)), png(16, 16, (0, 0, 0)))
    scores = [policy.scores(policy.collate([policy.encode(record)])).logps for _ in range(2)]
    assert torch.equal(*scores)
    assert scores[0][0] != scores[0][1]


@pytest.mark.parametrize(
    ("media", "match"),
    [
        ((), "expected an array named 'latents', or one image; got media"),
        ((Media(kind="audio", data=b"x"),), "got media"),
        ((Media(kind="image", data=b"not a picture"),), "cannot be read"),
        ((Media(kind="image", data=png(30, 30).data[:60]),), "cannot be read"),
        ((Media(kind="image", data=b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),), "cannot be read"),
        ((Media(kind="image", path="/nowhere/x.png"),), "cannot be read"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_records_id(media, match):
    record = PreferenceRecord(
        id="bad",
        prompt=Prompt(text="x"),
        responses=(Response(text="t", media=media), Response(text="u")),
        verdict=Pair(0, 1),
    )
    with pytest.raises(RecordError, match=match) as caught:
        ImageCodec(8, 8).encode(record)
    assert "bad" in str(caught.value)


def test_the_size_is_part_of_the_fingerprint():
    assert len({ImageCodec(*size).fingerprint() for size in ((8, 8), (8, 16), (16, 8))}) == 3
