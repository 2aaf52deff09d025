"""CLIP and BLIP beside what Transformers itself says."""

import pytest
import torch
from PIL import Image

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.rewards.transformers_views import BlipViews, ClipJudge, ClipViews

TEXTS = ["a chair", "two stools, side by side"]


def pictures(side=32, views=3):
    return torch.randint(
        0, 256, (2, views, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def expected_clip(folder, images):
    """Unit vectors of pictures and texts, through Transformers' own processor."""
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    model = CLIPModel.from_pretrained(folder).eval()
    opened = [Image.fromarray(image) for image in images.flatten(0, 1).numpy()]
    pixels = CLIPImageProcessorPil.from_pretrained(folder)(opened, return_tensors="pt")["pixel_values"]
    tokens = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        seen = model.get_image_features(pixel_values=pixels).pooler_output
        told = model.get_text_features(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).pooler_output
    unit = torch.nn.functional.normalize
    return unit(seen, dim=-1).view(*images.shape[:2], -1), unit(told, dim=-1), model.logit_scale.exp().item()


@pytest.mark.parametrize(("side", "tolerance"), [(32, 1e-5), (48, 5e-3)])
def test_the_judge_is_the_cosine(clip, side, tolerance):
    """Where pictures are resized, theirs is rounded to whole colours on the way and ours is not."""
    images = pictures(side)
    judge = ClipJudge(clip)
    judge.configure_model()
    seen, told, scale = expected_clip(clip, images)
    cosines = torch.einsum("nkd,nd->nk", seen, told)
    assert torch.allclose(judge(images, TEXTS), cosines, atol=tolerance)
    scaled = ClipJudge(clip, scaled=True)
    scaled.configure_model()
    assert torch.allclose(scaled(images, TEXTS), scale * cosines, atol=scale * tolerance)


def test_a_row_does_not_depend_on_its_batch(clip):
    images = pictures()
    judge = ClipJudge(clip)
    judge.configure_model()
    assert torch.allclose(judge(images, TEXTS)[:1], judge(images[:1], TEXTS[:1]), atol=1e-6)


def test_a_prompt_without_text_needs_another(clip):
    images = pictures()
    judge = ClipJudge(clip, prompt="a chair")
    judge.configure_model()
    assert torch.allclose(judge(images, ["", ""]), judge(images, ["a chair"] * 2))
    bare = ClipJudge(clip)
    bare.configure_model()
    with pytest.raises(PrefalignError, match="no text for CLIP"):
        bare(images, ["a chair", ""])


def test_long_prompts_are_cut_and_not_refused(clip):
    judge = ClipJudge(clip)
    judge.configure_model()
    assert judge(pictures(), ["chair " * 40, "a"]).isfinite().all()


def test_vectors_of_views_hold_picture_and_match(clip):
    images = pictures(views=2)
    encoder = ClipViews(clip)
    encoder.configure_model()
    found = encoder(images, [TEXTS, TEXTS[::-1]])
    seen, told, _ = expected_clip(clip, images)
    assert (encoder.width, found.shape) == (24, (2, 2, 24))
    assert torch.allclose(found[..., :12], seen, atol=1e-5)
    assert found[0, 1, 12:].sum().item() == pytest.approx((seen[0, 1] @ told[1]).item(), abs=1e-5)
    assert found[1, 1, 12:].sum().item() == pytest.approx((seen[1, 1] @ told[0]).item(), abs=1e-5)


def test_blip_reads_the_prompt_with_the_picture_in_sight(blip):
    from transformers import AutoTokenizer, BlipForImageTextRetrieval, BlipImageProcessorPil

    images = pictures(views=2)
    encoder = BlipViews(blip)
    encoder.configure_model()
    found = encoder(images, [TEXTS, TEXTS])
    model = BlipForImageTextRetrieval.from_pretrained(blip).eval()
    picture = Image.fromarray(images[1, 0].numpy())
    pixels = BlipImageProcessorPil.from_pretrained(blip)(picture, return_tensors="pt")["pixel_values"]
    tokens = AutoTokenizer.from_pretrained(blip)(TEXTS[0], return_tensors="pt")
    with torch.no_grad():
        seen = model.vision_model(pixel_values=pixels).last_hidden_state
        states = model.text_encoder(input_ids=tokens["input_ids"], encoder_hidden_states=seen).last_hidden_state
    assert (encoder.width, found.shape) == (16, (2, 2, 16))
    assert torch.allclose(found[1, 0], states[0, 0], atol=1e-5)
    assert not torch.allclose(found[0, 0], found[1, 0], atol=1e-4)


def test_fingerprints_tell_uses_apart(clip, blip):
    made = [ClipJudge(clip), ClipJudge(clip, prompt="x"), ClipViews(clip), BlipViews(blip), BlipViews(blip, 9)]
    for one in made:
        one.configure_model()
    assert len({one.fingerprint() for one in made}) == len(made)


def test_refuses_other_families_and_work_before_loading(clip, blip):
    with pytest.raises(PrefalignError, match="is a 'blip' model; expected one of clip"):
        ClipJudge(blip).configure_model()
    with pytest.raises(PrefalignError, match="is a 'clip' model; expected one of blip"):
        BlipViews(clip).configure_model()
    with pytest.raises(PrefalignError, match="there is no model folder"):
        ClipJudge("./nowhere").configure_model()
    for model in (ClipViews(clip), BlipViews(blip)):
        with pytest.raises(PrefalignError, match="call configure_model first"):
            model(pictures(), [TEXTS])
