"""Joining image tensors of contexts and dealing them out to rows, on numbers small enough to write down."""

import pytest
import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from prefalign.interfaces import PrefalignError
from prefalign_vision_llm.policies.features import deal_features, feature_count, features_only
from prefalign_vision_llm.policies.images import collate_images, dealt, image_tensors, join


def test_join_pads_all_axes_but_the_first() -> None:
    """(1, 2, 1, 1) and (2, 1, 1, 1) make (3, 2, 1, 1); what is missing is 0."""
    first, second = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1), torch.tensor([3.0, 4.0]).reshape(2, 1, 1, 1)
    assert join("x", [first, second], sized=False).squeeze().tolist() == [[1, 2], [3, 0], [4, 0]]


def test_join_pads_pixels_only_where_padding_is_told() -> None:
    small, large = torch.ones(1, 3, 2, 2), torch.ones(1, 3, 2, 4)
    joined = join("pixel_values", [small, large], sized=True)
    assert joined.shape == (2, 3, 2, 4)
    assert joined[0, :, :, 2:].abs().sum() == 0
    with pytest.raises(
        PrefalignError, match=r"pixel_values: the images of one batch differ in size \[\(2, 2\), \(2, 4\)\]"
    ):
        join("pixel_values", [small, large], sized=False)


def test_flat_patches_need_no_size() -> None:
    """(patches, width) of images with unequal numbers of patches: concatenated as they are."""
    assert join("pixel_values", [torch.ones(3, 5), torch.ones(7, 5)], sized=False).shape == (10, 5)


def test_contexts_without_images_have_no_entries() -> None:
    inputs = collate_images([{"pixel_values": torch.ones(2, 3)}, {}, {"pixel_values": torch.zeros(1, 3)}])
    assert inputs["image_entries"] == {"pixel_values": [2, 0, 1]}
    assert image_tensors(inputs)["pixel_values"].tolist() == [[1] * 3, [1] * 3, [0] * 3]
    assert image_tensors(collate_images([{}, {}])) == {}


def test_dealt_entries_follow_the_rows() -> None:
    """Contexts have entries [0, 1], [] and [2]; rows of the contexts 2, 0, 1, 0."""
    assert dealt(torch.tensor([0, 1, 2]), [2, 0, 1], [2, 0, 1, 0]).tolist() == [2, 0, 1, 0, 1]


@pytest.mark.parametrize("form", ["list", "tuple", "flat", "tiles"])
def test_features_keep_their_form(form: str) -> None:
    """Three images of 2 vectors, the first two in context 0, the third in context 1; rows of the contexts 1, 0, 1."""
    vectors = torch.arange(6.0).reshape(6, 1)
    features = {
        "list": list(vectors.split(2)),
        "tuple": vectors.split(2),
        "flat": vectors,
        "tiles": vectors.reshape(3, 2, 1),
    }[form]
    encoded = BaseModelOutputWithPooling(last_hidden_state=torch.ones(9), pooler_output=features)
    assert feature_count(features) == 6
    assert features_only(encoded).last_hidden_state is None
    spread = deal_features(encoded, [4, 2], [1, 0, 1]).pooler_output
    assert isinstance(spread, torch.Tensor) == (form in ("flat", "tiles"))
    if form == "tiles":
        assert spread.shape == (4, 2, 1)
    whole = torch.cat(list(spread)).flatten() if form != "flat" else spread.flatten()
    assert whole.tolist() == [4, 5, 0, 1, 2, 3, 4, 5]


def test_layers_are_dealt_alike() -> None:
    encoded = BaseModelOutputWithPooling(pooler_output=torch.arange(2.0)[:, None])
    encoded.deepstack_features = [[torch.tensor([[5.0], [6.0]])], [torch.tensor([[7.0], [8.0]])]]

    class Output(BaseModelOutputWithPooling):
        def __init__(self, pooler_output: object, deepstack_features: object = None) -> None:
            super().__init__(pooler_output=pooler_output)
            self.deepstack_features = deepstack_features

    encoded.__class__ = Output
    layers = deal_features(encoded, [1, 1], [1, 0, 1]).deepstack_features
    assert [torch.cat(layer).flatten().tolist() for layer in layers] == [[6, 5, 6], [8, 7, 8]]


def test_unknown_forms_are_told() -> None:
    encoded = BaseModelOutputWithPooling(pooler_output=[(0, torch.ones(2, 3))])
    with pytest.raises(PrefalignError, match="set share_vision to false"):
        deal_features(encoded, [2], [0])
