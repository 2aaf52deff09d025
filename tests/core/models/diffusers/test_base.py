"""Loading, refusing, precision, and what the pipeline's parts are doing meanwhile."""

import pytest
import torch

from prefalign.interfaces import Message, PrefalignError, Prompt
from prefalign.models.diffusers.base import dynamic_shift
from prefalign.models.diffusers.tiny import END, HashTokenizer
from prefalign.models.diffusers.unet import UNet
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.testing.denoiser_contract import batch_of


def ready(model=None, **options):
    denoiser = UNet({} if model is None else model, height=16, width=16, **options)
    denoiser.configure_model()
    return denoiser


def saved_pipeline(folder, denoiser):
    """The denoiser's pipeline on the disk; its tokenizer is a real one, as the stand-in has no files."""
    from transformers import CLIPTokenizer

    pipeline = denoiser.pipeline
    letters = [f"{letter}{end}" for letter in "abcdefghijklmnopqrstuvwxyz" for end in ("", "</w>")]
    words = ["<pad>", "<|endoftext|>", "<|startoftext|>", *letters]
    tokenizer = CLIPTokenizer(vocab={word: n for n, word in enumerate(words)}, merges=[], pad_token="<pad>")
    tokenizer.model_max_length = 16
    pipeline.register_modules(tokenizer=tokenizer)
    pipeline.save_pretrained(folder)


def test_a_folder_of_a_pipeline_is_loaded_whole(tmp_path):
    made = ready(init_seed=3)
    saved_pipeline(tmp_path, made)
    loaded = ready(str(tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), loaded.parameters(), strict=True))
    prompts = [Prompt(text="dogs"), Prompt(text="cats and dogs")]
    states = loaded.condition(prompts).tensors["encoder_hidden_states"]
    assert torch.allclose(states, made.condition(prompts).tensors["encoder_hidden_states"])
    assert loaded.network.training is False
    trained = {id(p) for p in loaded.parameters() if p.requires_grad}
    assert trained == {id(p) for p in loaded.network.parameters()}
    assert not any(p.requires_grad for p in loaded.pipeline.text_encoder.parameters())


def test_precision_is_that_of_all_parts(tmp_path):
    for denoiser in (ready(dtype="bfloat16"),):
        policy = DenoisingPolicy(denoiser)
        policy.configure_model()
        assert {p.dtype for p in policy.parameters()} == {torch.bfloat16}
        assert denoiser.pipeline.text_encoder.dtype == torch.bfloat16
        scores = policy.scores(batch_of(policy))
        assert scores.logps.dtype == torch.float32
        assert scores.logps.isfinite().all()
        scores.logps.sum().backward()


def test_what_is_no_pipeline_is_refused(tmp_path):
    with pytest.raises(PrefalignError, match="no model folder '/nowhere'"):
        ready("/nowhere")
    with pytest.raises(PrefalignError, match="StableDiffusionPipeline cannot load"):
        ready(str(tmp_path))


def test_an_unknown_name_of_the_config_is_refused_with_a_near_one():
    with pytest.raises(PrefalignError, match="no 'sampel_size'; did you mean sample_size"):
        ready({"sampel_size": 8})


def test_seeds_decide_the_weights_and_values_the_size():
    one, same, other = ready(), ready(), ready(init_seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert ready({"in_channels": 8, "out_channels": 8}).latent_shape(Prompt(text="x")) == (8, 8, 8)
    state = torch.get_rng_state()
    ready()
    assert torch.equal(torch.get_rng_state(), state)


def test_configuring_twice_changes_nothing():
    denoiser = ready()
    network = denoiser.network
    denoiser.configure_model()
    assert denoiser.network is network


def test_prompts_without_plain_text_are_refused():
    for prompt, match in ((Prompt(messages=(Message("user", ()),)), "chat turns"), (Prompt(), "no text")):
        with pytest.raises(PrefalignError, match=match):
            ready().condition([prompt])


def test_a_prompts_condition_says_the_size_and_must_fit():
    denoiser = ready()
    assert denoiser.latent_shape(Prompt(text="x", conditions={"height": 32})) == (4, 16, 8)
    with pytest.raises(PrefalignError, match=r"multiples of 2 pixels, got \[16, 17\]"):
        denoiser.latent_shape(Prompt(text="x", conditions={"width": 17}))


def test_usual_steps_and_guidance_can_be_replaced():
    assert (ready().steps, ready().guidance) == (50, 7.5)
    changed = ready(steps=9, guidance=1.0)
    assert (changed.steps, changed.guidance) == (9, 1.0)


def test_the_shift_is_linear_between_two_lengths():
    """With Flux's numbers: 0.5 at 256 tokens, 1.15 at 4096, and a third of the way 0.5 + 0.65 / 3."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler()
    found = [dynamic_shift(scheduler, tokens) for tokens in (256, 4096, 1536)]
    assert found == pytest.approx([0.5, 1.15, 0.5 + 0.65 / 3])


def test_words_are_hashed_to_numbers():
    tokenizer = HashTokenizer(size=64, model_max_length=5)
    one = tokenizer(["A dog", "a b c d e f g"], padding="max_length", truncation=True)
    assert one.input_ids.shape == (2, 5)
    assert one.attention_mask.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert one.input_ids[0, 2] == one.input_ids[1, 4] == END
    assert one.input_ids[0, 0] == one.input_ids[1, 0]
    assert tokenizer("", padding="longest").input_ids.tolist() == [[END]]
    assert int(one.input_ids.max()) < 64


def test_weights_of_another_network_are_refused(tmp_path):
    ready({"block_out_channels": (8, 32)}).network.save_pretrained(tmp_path)
    with pytest.raises(PrefalignError, match=r"network_weights: .* is no network of this size: .*size mismatch"):
        ready(network_weights=str(tmp_path))
    with pytest.raises(PrefalignError, match="no model folder '/nowhere'"):
        ready(network_weights="/nowhere")
