"""Features of frames by tiny models of real families."""

import dataclasses

import numpy as np
import pytest
import torch
from tests.plugins.robotics.rewards.alignment.conftest import record

from prefalign.interfaces import PrefalignError, RecordError, Response
from prefalign_robotics.rewards.alignment.codec import StepsCodec
from prefalign_robotics.rewards.alignment.encoders import PerceptronEncoder
from prefalign_robotics.rewards.alignment.frames import FrameFeatures
from prefalign_robotics.rewards.alignment.reward import AlignedReward

transformers = pytest.importorskip("transformers")

VIT = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "image_size": 16,
    "patch_size": 8,
}


def network(family):
    if family == "ResNet":
        return transformers.ResNetModel(
            transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
        )
    if family == "ViTMAE":
        return transformers.ViTMAEModel(transformers.ViTMAEConfig(**VIT))
    return transformers.ViTModel(transformers.ViTConfig(**VIT))


def saved(folder, family):
    torch.manual_seed(0)
    network(family).save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module", params=["ResNet", "ViT", "ViTMAE"])
def family(request):
    return request.param


@pytest.fixture(scope="module")
def features(family, tmp_path_factory):
    return FrameFeatures(saved(tmp_path_factory.mktemp(family), family), batch_size=4)


def frames(steps, seed=0, side=20):
    return np.random.default_rng(seed).integers(0, 256, (steps, side, side, 3), dtype=np.uint8)


def response(steps, seed=0):
    return Response(arrays={"frames": frames(steps, seed), "actions": np.zeros((steps, 1)), "camera": np.zeros(2)})


def test_pictures_have_the_same_features_in_any_company(features):
    """A masked autoencoder too, which would hide other parts of a picture each time."""
    shown = frames(6)
    found = features(shown)
    assert found.dtype == np.float32
    assert found.shape[0] == 6
    np.testing.assert_allclose(features(shown[3:]), found[3:], atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-4


def test_resnet_features_are_its_pooled_maps(tmp_path):
    features, shown = FrameFeatures(saved(tmp_path, "ResNet")), frames(3)
    pixels = (torch.from_numpy(shown[:, :16, :16]).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    with torch.no_grad():
        pooled = features.network(pixel_values=pixels).pooler_output.flatten(1)
    np.testing.assert_allclose(features(shown[:, :16, :16]), pooled, atol=1e-5)
    assert found_width(features) == 12


def found_width(features):
    return features(frames(1)).shape[1]


def test_features_take_the_place_of_frames(features):
    given = record(response(5), response(4, 1), response(3, 2))
    seen = []
    original = FrameFeatures.__call__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FrameFeatures, "__call__", lambda self, shown: seen.append(len(shown)) or original(self, shown))
        first, again = features.extract([given, dataclasses.replace(given, id="s")], every=2)
    assert sorted(seen) == [2, 2, 3]  # the second record's are known already
    for one in (*first.responses, first.reference_answer):
        assert set(one.arrays) == {"features", "actions", "camera"}
        assert len(one.arrays["features"]) == len(one.arrays["actions"])
        assert len(one.arrays["camera"]) == 2
    np.testing.assert_allclose(first.reference_answer.arrays["features"], features(frames(5)[::2]), atol=1e-6)
    assert again.responses == first.responses
    assert first.provenance == {"features": features.fingerprint}


def test_a_linear_map_learns_on_them(features):
    """The published set-up, end to end, but for its size."""
    (extracted,) = features.extract([record(response(5), response(4, 1), response(3, 2))])
    reward = AlignedReward(PerceptronEncoder(found_width(features), [], array="features"))
    reward.configure_model()
    batch = reward.codec.collate([reward.codec.encode(extracted)])
    loss = -torch.log(reward.compare(batch)).sum()
    loss.backward()
    assert reward.encoder.network[0].weight.grad.abs().sum() > 0


def test_a_record_may_have_no_anchor(features):
    (found,) = features.extract([record(None, response(2), response(3, 1))])
    assert found.reference_answer is None
    assert StepsCodec("features", found_width(features), anchored=False).encode(found).anchor is None


def test_other_weights_have_another_fingerprint(tmp_path):
    one = FrameFeatures(saved(tmp_path / "a", "ViT"))
    assert FrameFeatures(saved(tmp_path / "b", "ViT")).fingerprint == one.fingerprint
    torch.manual_seed(1)
    network("ViT").save_pretrained(tmp_path / "b")
    assert FrameFeatures(str(tmp_path / "b")).fingerprint != one.fingerprint


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"observations": np.zeros((2, 3))}, r"there are \['observations'\]"),
        ({"frames": np.zeros((2, 8, 8, 3), np.float32)}, "of uint8, got .* float32"),
        ({"frames": np.zeros((2, 3, 8, 8), np.uint8)}, r"of uint8, got \(2, 3, 8, 8\)"),
        ({"frames": np.zeros((0, 8, 8, 3), np.uint8)}, r"got \(0, 8, 8, 3\)"),
    ],
)
def test_what_is_no_film_is_refused(features, arrays, problem):
    given = record(response(2), response(2, 1), Response(arrays=arrays))
    with pytest.raises(RecordError, match=rf"'r'.*responses\[1\]\.arrays\.frames.*{problem}"):
        list(features.extract([given]))


def test_models_that_are_not_there_or_read_text(tmp_path):
    with pytest.raises(PrefalignError, match="no model folder"):
        FrameFeatures(str(tmp_path / "none"))
    text = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = transformers.CLIPConfig(text_config={**text, "vocab_size": 50}, vision_config=VIT, projection_dim=4)
    transformers.CLIPModel(config).save_pretrained(tmp_path)
    transformers.ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    with pytest.raises(PrefalignError, match="is a CLIPModel; expected a model of images alone"):
        FrameFeatures(str(tmp_path))
