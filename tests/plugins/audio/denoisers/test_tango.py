"""Tango keeps the contract, samples as the original does, and comes through both layouts of files."""

import json
import re
from fractions import Fraction

import pytest
import torch

from prefalign.functional.noise_path import StepPath
from prefalign.interfaces import PrefalignError, Prompt
from prefalign.models.diffusers.unet import small_unet
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.testing.denoiser_contract import TEXTS, DenoiserContract, batch_of, disturbed
from prefalign_audio.denoisers.mel_tiny import tiny_t5_encoder, tiny_t5_tokenizer
from prefalign_audio.denoisers.tango import Tango
from prefalign_audio.denoisers.tango_checkpoint import VOCODER

SECONDS = 0.32


def policy_of(model=None, **options):
    policy = DenoisingPolicy(Tango({} if model is None else model, seconds=SECONDS, **options))
    policy.configure_model()
    return policy


class TestTango(DenoiserContract):
    @pytest.fixture
    def make(self):
        return lambda: Tango({}, seconds=SECONDS)


def original_sampling(pipeline, prompts, latents, steps, guidance, generator):
    """The original's loop: padded texts, and the empty text padded to as many tokens."""

    def encoded(wanted, **options):
        tokens = pipeline.tokenizer(wanted, truncation=True, return_tensors="pt", **options)
        states = pipeline.text_encoder(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)[0]
        return states, tokens.attention_mask == 1

    states, mask = encoded(prompts, padding=True, max_length=64)
    if guidance > 1:
        empty, seen = encoded([""] * len(prompts), padding="max_length", max_length=states.shape[1])
        states, mask = torch.cat([empty, states]), torch.cat([seen, mask])
    scheduler = pipeline.scheduler
    scheduler.set_timesteps(steps)
    for timestep in scheduler.timesteps:
        twice = torch.cat([latents, latents]) if guidance > 1 else latents
        found = pipeline.unet(twice, timestep, encoder_hidden_states=states, encoder_attention_mask=mask).sample
        if guidance > 1:
            null, conditioned = found.chunk(2)
            found = null + guidance * (conditioned - null)
        latents = scheduler.step(found, timestep, latents, generator=generator).prev_sample
    return latents


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_sampling_is_the_originals(guidance, prediction):
    policy = disturbed(policy_of(), 0.05)
    denoiser = policy.denoiser
    denoiser.scheduler.register_to_config(prediction_type=prediction)
    noise = torch.randn(2, 4, 8, 4, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = original_sampling(
            denoiser.pipeline, list(TEXTS[:2]), noise, 4, guidance, torch.Generator().manual_seed(5)
        )
    condition = denoiser.condition([Prompt(text=text) for text in TEXTS[:2]])
    found = policy.generate(noise, condition, 1, 4, guidance, torch.Generator().manual_seed(5))
    assert torch.allclose(found, expected, atol=1e-4)


def test_steps_and_prediction_are_those_of_stable_diffusion_2_1():
    """beta from 0.00085 to 0.012, even in its root: the last product of 1 − beta is 0.0047."""
    path = policy_of().denoiser.path
    assert isinstance(path, StepPath)
    assert path.prediction == "v_prediction"
    assert path.alphas_cumprod[0].item() == pytest.approx(1 - 0.00085)
    assert path.alphas_cumprod[-1].item() == pytest.approx(0.00466, rel=1e-2)


def test_usual_settings():
    denoiser = Tango({})
    assert (denoiser.steps, denoiser.guidance, denoiser.seconds, denoiser.rate) == (200, 3.0, 10.24, 16_000)
    denoiser.configure_model()
    assert denoiser.latent_shape(Prompt(text="x"))[1:] == (256, 4)


def test_a_folder_of_a_pipeline_is_loaded_whole(tmp_path):
    made = disturbed(policy_of(init_seed=3), 0.1)
    made.denoiser.pipeline.save_pretrained(tmp_path)
    loaded = policy_of(str(tmp_path))
    assert torch.allclose(loaded.scores(batch_of(loaded)).logps, made.scores(batch_of(made)).logps, rtol=1e-5)
    assert not any(p.requires_grad for part in loaded.denoiser.frozen_parts() for p in part.parameters())


# The original's layout ------------------------------------------------------------------------------------------------

RENAMED = [  # from names of Diffusers to those of AudioLDM's autoencoder
    (r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block."),
    (r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample."),
    (r"up_blocks\.(\d+)\.resnets\.", lambda m: f"up.{2 - int(m[1])}.block."),
    (r"up_blocks\.(\d+)\.upsamplers\.0\.", lambda m: f"up.{2 - int(m[1])}.upsample."),
    (r"mid_block\.resnets\.(\d)\.", lambda m: f"mid.block_{int(m[1]) + 1}."),
    (r"mid_block\.attentions\.0\.", "mid.attn_1."),
    (r"attn_1\.group_norm\.", "attn_1.norm."),
    (r"attn_1\.to_([qkv])\.", r"attn_1.\1."),
    (r"attn_1\.to_out\.0\.", "attn_1.proj_out."),
    (r"conv_shortcut\.", "nin_shortcut."),
    (r"conv_norm_out\.", "norm_out."),
]


def original_names(vae):
    found = {}
    for name, value in vae.state_dict().items():
        for pattern, new in RENAMED:
            name = re.sub(pattern, new, name)
        convolved = "attn_1" in name and value.ndim == 2
        found[name] = value[:, :, None, None] if convolved else value
    return found


@pytest.fixture(scope="module")
def parts():
    """Small models of the kinds that a checkpoint holds."""
    from diffusers import AutoencoderKL
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    torch.manual_seed(4)
    vae = AutoencoderKL(
        in_channels=1,
        out_channels=1,
        latent_channels=4,
        block_out_channels=(32, 64, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        scaling_factor=0.9,
    )
    vocoder = SpeechT5HifiGan(SpeechT5HifiGanConfig(**VOCODER, model_in_dim=16, upsample_initial_channel=32))
    return {"unet": small_unet(), "text_encoder": tiny_t5_encoder(16), "vae": vae, "vocoder": vocoder}


@pytest.fixture
def checkpoint(tmp_path, parts):
    """A folder in the original's layout, with the text encoder's config beside it."""
    folder, text = tmp_path / "tango", tmp_path / "flan"
    folder.mkdir()
    parts["text_encoder"].config.save_pretrained(text)
    tiny_t5_tokenizer().save_pretrained(text)
    (folder / "configs").mkdir()
    parts["unet"].save_config(folder / "configs")
    (folder / "configs" / "config.json").rename(folder / "configs" / "small.json")
    main = {
        "text_encoder_name": str(text),
        "scheduler_name": "stabilityai/stable-diffusion-2-1",
        "unet_model_name": None,
        "unet_model_config_path": "configs/small.json",
        "snr_gamma": 5.0,
    }
    inner = {"z_channels": 4, "resolution": 16, "in_channels": 1, "out_ch": 1, "ch": 32, "ch_mult": [1, 2, 2]}
    autoencoder = {"embed_dim": 4, "ddconfig": {**inner, "num_res_blocks": 1, "attn_resolutions": []}}
    stft = {"filter_length": 1024, "hop_length": 160, "win_length": 1024, "n_mel_channels": 16, "mel_fmax": 8000}
    written = {"main": main, "vae": {**autoencoder, "scale_factor": 0.9}, "stft": {**stft, "sampling_rate": 16_000}}
    for name, values in written.items():
        (folder / f"{name}_config.json").write_text(json.dumps(values))
    weights = {f"{name}.{key}": v for name in ("unet", "text_encoder") for key, v in parts[name].state_dict().items()}
    torch.save(weights, folder / "pytorch_model_main.bin")
    heard = {
        f"vocoder.{key.replace('upsampler.', 'ups.')}": value
        for key, value in parts["vocoder"].state_dict().items()
        if key not in ("mean", "scale")
    }
    torch.save({**original_names(parts["vae"]), **heard}, folder / "pytorch_model_vae.bin")
    return folder


def changed(folder, name, **values):
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_checkpoint_in_the_originals_layout_is_loaded_whole(checkpoint, parts):
    state = torch.get_rng_state()
    policy = policy_of(str(checkpoint))
    assert torch.equal(torch.get_rng_state(), state)
    pipeline = policy.denoiser.pipeline
    for name, part in parts.items():
        expected, found = part.state_dict(), getattr(pipeline, name).state_dict()
        assert expected.keys() == found.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert pipeline.vae.config.scaling_factor == 0.9
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert policy.scores(batch_of(policy)).logps.isfinite().all()


def test_checkpoints_in_half_precision_are_read_in_the_precision_asked_for(checkpoint):
    path = checkpoint / "pytorch_model_main.bin"
    torch.save({name: value.half() for name, value in torch.load(path, weights_only=True).items()}, path)
    for dtype in ("float32", "bfloat16"):
        denoiser = policy_of(str(checkpoint), dtype=dtype).denoiser
        parts = [denoiser.network, *denoiser.frozen_parts()]
        assert {p.dtype for part in parts for p in part.parameters()} == {getattr(torch, dtype)}


def test_names_of_configs_that_come_with_the_code_need_no_file(checkpoint):
    """The size of the U-Net is then the published one, which the small weights do not fit."""
    for name in ("configs/diffusion_model_config.json", "configs/diffusion_model_xl_config.json"):
        changed(checkpoint, "main_config.json", unet_model_config_path=name)
        with pytest.raises(PrefalignError, match="unet in pytorch_model_main"):
            policy_of(str(checkpoint))


def test_a_scheduler_in_a_folder_is_read(checkpoint, tmp_path):
    from diffusers import DDPMScheduler

    DDPMScheduler(prediction_type="epsilon").save_pretrained(tmp_path / "other" / "scheduler")
    changed(checkpoint, "main_config.json", scheduler_name=str(tmp_path / "other"))
    assert policy_of(str(checkpoint)).denoiser.path.prediction == "epsilon"


def test_the_text_encoder_can_be_somewhere_else(checkpoint, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "flan").rename(elsewhere)
    with pytest.raises(PrefalignError, match="no model folder"):
        policy_of(str(checkpoint))
    assert policy_of(str(checkpoint), text_encoder=str(elsewhere)).denoiser.network is not None


@pytest.mark.parametrize(
    ("name", "values", "match"),
    [
        ("main_config.json", {"unet_model_name": "sd"}, "a U-Net on top of 'sd' is not supported"),
        ("main_config.json", {"unet_model_config_path": "x.json"}, "'x.json', which is not there"),
        ("main_config.json", {"unet_model_config_path": "../flan/config.json"}, "which is not there"),
        ("stft_config.json", {"hop_length": 256}, "expected hop_length 160, got 256"),
        ("vae_config.json", {"embed_dim": 8}, "embed_dim 4 .z_channels.; got .* embed_dim 8"),
        ("vae_config.json", {"ddconfig": {}}, "has no 'ch_mult'"),
    ],
)
def test_configs_that_do_not_fit_are_refused(checkpoint, name, values, match):
    changed(checkpoint, name, **values)
    with pytest.raises(PrefalignError, match=match):
        policy_of(str(checkpoint))


def test_files_that_are_missing_or_hold_more_than_weights_are_refused(checkpoint):
    path = checkpoint / "pytorch_model_vae.bin"
    weights = torch.load(path, weights_only=True)
    lost = next(iter(weights))
    torch.save({name: value for name, value in weights.items() if name != lost}, path)
    with pytest.raises(PrefalignError, match="misses 'encoder"):
        policy_of(str(checkpoint))
    torch.save({"state": Fraction(1, 2)}, path)
    with pytest.raises(PrefalignError, match="cannot be read as weights and nothing else"):
        policy_of(str(checkpoint))
    path.write_bytes(b"nothing of torch's")
    with pytest.raises(PrefalignError, match="cannot be read as weights and nothing else"):
        policy_of(str(checkpoint))
    path.unlink()
    with pytest.raises(PrefalignError, match=r"pytorch_model_vae\.bin is missing"):
        policy_of(str(checkpoint))


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(PrefalignError, match="no model folder '/nowhere'"):
        policy_of("/nowhere")
    with pytest.raises(PrefalignError, match="TangoPipeline cannot load"):
        policy_of(str(tmp_path))
