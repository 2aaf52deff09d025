"""Frozen parts run once: latents and conditions in the record are those that the policy would have made."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from prefalign.data.build import build
from prefalign.data.encoding import EncodeLatents
from prefalign.data.sources import open_records
from prefalign.data.store import write_parquet
from prefalign.interfaces import Media, Pair, PrefalignError, PreferenceRecord, Prompt, Response, StageReport
from prefalign.models.condition import Condition
from prefalign.models.diffusers.unet import UNet
from prefalign.policies.denoising import DenoisingPolicy


def picture(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return Response(media=(Media(kind="image", data=buffer.getvalue()),))


@pytest.fixture
def policy():
    policy = DenoisingPolicy(UNet({}, height=16, width=16))
    policy.configure_model()
    return policy


@pytest.fixture
def records():
    return [
        PreferenceRecord(
            id=f"r{number}",
            prompt=Prompt(text=text),
            responses=(picture(number), picture(-number - 1 + 50)),
            verdict=Pair(0, 1),
        )
        for number, text in enumerate(["a red square", "a blue circle above a green line"])
    ]


def scores(policy, records):
    return policy.scores(policy.collate([policy.encode(record) for record in records])).logps


def test_a_set_encoded_on_disk_scores_as_the_pictures_do(policy, records, tmp_path):
    write_parquet(records, tmp_path / "pictures.parquet")
    manifest = build(
        open_records(str(tmp_path / "pictures.parquet")), [EncodeLatents(policy.denoiser)], tmp_path / "encoded", seed=0
    )
    assert [shard["records"] for shard in manifest["outputs"]] == [2]
    encoded = list(open_records(str(tmp_path / "encoded")))
    assert all(not response.media for record in encoded for response in record.responses)
    with torch.no_grad():
        assert torch.allclose(scores(policy, encoded), scores(policy, records), rtol=1e-5)


def test_neither_autoencoder_nor_text_encoder_is_asked_again(policy, records, monkeypatch):
    encoded = list(EncodeLatents(policy.denoiser)(iter(records), 0, StageReport()))
    for name in ("encode", "condition"):
        monkeypatch.setattr(policy.denoiser, name, lambda *_: pytest.fail("a frozen part was run"))
    scores(policy, encoded)


def test_what_is_encoded_already_stays(policy, records):
    stage = EncodeLatents(policy.denoiser)
    once = list(stage(iter(records), 0, StageReport()))
    assert list(stage(iter(once), 0, StageReport())) == once


def test_media_are_kept_and_prompts_left_alone_on_demand(policy, records):
    (made, _) = EncodeLatents(policy.denoiser, conditions=False, keep_media=True)(iter(records), 0, StageReport())
    assert [set(response.arrays) for response in made.responses] == [{"latents"}] * 2
    assert [response.media for response in made.responses] == [response.media for response in records[0].responses]


def test_other_weights_of_a_frozen_part_are_another_plan(policy):
    before = EncodeLatents(policy.denoiser).settings()
    assert EncodeLatents(policy.denoiser).settings() == before
    with torch.no_grad():
        next(policy.denoiser.pipeline.vae.parameters()).add_(1)
    assert EncodeLatents(policy.denoiser).settings() != before


def test_conditions_with_parts_that_are_no_tensors_are_refused(policy, records, monkeypatch):
    condition = Condition({"states": torch.zeros(1, 2, 3)}, {"table": torch.zeros(5)})
    monkeypatch.setattr(policy.denoiser, "condition", lambda prompts: condition)
    with pytest.raises(PrefalignError, match=r"UNet.*table.*conditions=False"):
        next(EncodeLatents(policy.denoiser)(iter(records), 0, StageReport()))
