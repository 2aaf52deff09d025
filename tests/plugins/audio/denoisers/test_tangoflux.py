"""TangoFlux keeps the contract of denoisers, samples as the original does, and loads the original's files."""

import io
import json
import math

import numpy as np
import pytest
import soundfile
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from safetensors.torch import save_file
from torch import nn

from prefalign.interfaces import Media, Pair, PrefalignError, PreferenceRecord, Prompt, Response
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.testing.denoiser_contract import TEXTS, DenoiserContract, batch_of, disturbed
from prefalign_audio.denoisers.tangoflux import MAX_TOKENS, TangoFlux

# Diffusers builds this autoencoder with torch's older weight norm (autoencoder_oobleck.py).
pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")


def policy_of(model=None, seconds=0.5, **options):
    policy = DenoisingPolicy(TangoFlux({} if model is None else model, seconds=seconds, **options), replays=2)
    policy.configure_model()
    return policy


class TestTangoFlux(DenoiserContract):
    @pytest.fixture
    def make(self):
        return lambda: TangoFlux({}, seconds=0.5)


class Original:
    """Sampling of one prompt with the published code's steps, on a denoiser's parts.

    Its text comes before the length, no token is masked in the transformer, and the mean leaves padding out.
    """

    def __init__(self, denoiser):
        self.parts, self.network = denoiser.pipeline, denoiser.network

    def encoded(self, text, tokens):
        read = self.parts.tokenizer([text], padding="max_length", max_length=tokens, truncation=True)
        states = self.parts.text_encoder(input_ids=read.input_ids, attention_mask=read.attention_mask)[0]
        return states, states.where(read.attention_mask.bool()[..., None], math.nan).nanmean(1)

    def __call__(self, text, seconds, noise, steps, guidance):
        tokens = len(text.split()) + 1
        texts = ["", text] if guidance > 1 else [text]
        states, means = (torch.cat(parts) for parts in zip(*[self.encoded(t, tokens) for t in texts], strict=True))
        length = self.parts.duration_embedder(torch.tensor([seconds])).repeat(len(texts), 1, 1)
        scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000)
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps))
        latents = noise[None]
        for timestep in scheduler.timesteps:
            predicted = self.network(
                hidden_states=latents.repeat(len(texts), 1, 1),
                timestep=torch.tensor([timestep / 1000]),
                pooled_projections=self.parts.projection[0](means).relu(),
                encoder_hidden_states=torch.cat([states, length], dim=1),
                txt_ids=torch.zeros(tokens + 1, 3),
                img_ids=torch.arange(noise.shape[0])[:, None].repeat(1, 3),
                return_dict=False,
            )[0]
            if guidance > 1:
                null, conditioned = predicted.chunk(2)
                predicted = null + guidance * (conditioned - null)
            latents = scheduler.step(predicted, timestep, latents).prev_sample
        return latents[0]


@torch.no_grad()
@pytest.mark.parametrize("guidance", [1.0, 4.5])
def test_sampling_is_the_originals_whatever_stands_beside_a_prompt(guidance):
    policy = disturbed(policy_of(), 0.1)
    noise = torch.randn(2, 10, 4, generator=torch.Generator().manual_seed(3))
    prompts = [Prompt(text=TEXTS[0], conditions={"seconds": 0.2}), Prompt(text=TEXTS[1])]
    found = policy.generate(noise, policy.denoiser.condition(prompts), 1, 4, guidance)
    original = Original(policy.denoiser)
    expected = [
        original(TEXTS[number], seconds, noise[number], 4, guidance) for number, seconds in ((0, 0.2), (1, 0.5))
    ]
    assert torch.allclose(found, torch.stack(expected), atol=1e-4)
    assert not torch.allclose(expected[0], original(TEXTS[0], 0.5, noise[0], 4, guidance), atol=1e-3)


def wav(frequency, seconds=0.5, rate=44_100, channels=2):
    wave = 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([wave] * channels, 1), rate, format="WAV")
    return Media(kind="audio", data=buffer.getvalue())


def record(*media, **conditions):
    responses = tuple(Response(media=(medium,)) for medium in media)
    return PreferenceRecord(
        id="r", prompt=Prompt(text="a tone", conditions=conditions), responses=responses, verdict=Pair(0, 1)
    )


def test_sounds_become_the_modes_latents_and_latents_become_sounds():
    """Frames are the first axis; what is shorter than the latents is filled with silence, and cut off again."""
    policy = policy_of({"max_duration": 0.5}, seconds=0.3)
    denoiser, vae = policy.denoiser, policy.denoiser.pipeline.vae
    batch = policy.collate([policy.encode(record(wav(440.0), wav(220.0, 0.1, channels=1)))])
    media = batch.inputs["media"]
    assert media.shape == (2, 2, 13_230)
    latents = denoiser.encode(media)
    assert latents.shape[1:] == denoiser.latent_shape(Prompt(text="x")) == (10, 4)
    filled = torch.zeros(2, 2, 22_050)
    filled[..., :13_230] = media
    with torch.no_grad():
        assert torch.allclose(latents.mT, vae.encode(filled).latent_dist.mean, atol=1e-6)
        expected = vae.decode(latents.mT).sample[0, :, :13_230].clamp(-1, 1)
    made = denoiser.decode(latents)
    samples, rate = soundfile.read(io.BytesIO(made[0][0].data), dtype="float32")
    assert (len(made), rate, samples.shape) == (2, 44_100, (13_230, 2))
    assert np.abs(samples.T - expected.numpy()).max() < 1e-3


def test_a_pair_of_sounds_is_scored_the_same_at_each_visit():
    policy = disturbed(policy_of())
    found = [
        policy.scores(policy.collate([policy.encode(record(wav(440.0), wav(220.0), seconds=0.4))])).logps
        for _ in range(2)
    ]
    assert torch.equal(*found)
    assert found[0].shape == (2,)
    assert found[0][0] != found[0][1]


def test_the_length_told_matters_and_has_an_end():
    denoiser = policy_of().denoiser
    told = [
        denoiser.condition([Prompt(text="x", conditions={"seconds": seconds})]).tensors["encoder_hidden_states"][:, 0]
        for seconds in (0.1, 0.4)
    ]
    assert not torch.allclose(*told)
    with pytest.raises(PrefalignError, match=r"asks for 0.6 seconds.*end after 0.5"):
        denoiser.condition([Prompt(text="x", conditions={"seconds": 0.6})])


def test_texts_end_where_training_cut_them():
    states = policy_of().denoiser.condition([Prompt(text="so " * 100)]).tensors["encoder_hidden_states"]
    assert states.shape[1] == 1 + MAX_TOKENS


@pytest.mark.parametrize(
    ("model", "options", "complaint"),
    [
        ({"num_layer": 1}, {}, "no 'num_layer'; did you mean num_layers"),
        ({"max_duration": 0.25}, {}, r"5 frames stand for 0.25 s; got seconds: 0.5"),
        ({"audio_seq_len": 9}, {}, r"9 frames stand for 0.5 s; got seconds: 0.5, and 10 frames of 2048 samples"),
    ],
)
def test_values_that_do_not_fit_are_refused(model, options, complaint):
    with pytest.raises(PrefalignError, match=complaint):
        policy_of(model, **options)


# Files ---------------------------------------------------------------------------------------------------------------


class Published(nn.Module):
    """The original's module tree, whose names its file of weights has."""

    def __init__(self, parts):
        super().__init__()
        self.text_encoder, self.fc, self.transformer = parts.text_encoder, parts.projection, parts.transformer
        self.duration_emebdder = nn.Module()
        self.duration_emebdder.time_positional_embedding = parts.duration_embedder.time_positional_embedding


def words_tokenizer(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "</s>", "<unk>", *sorted({word for text in TEXTS for word in text.split()})]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )
    made.save_pretrained(folder)
    return made


@pytest.fixture
def checkpoint(tmp_path):
    """A policy, its parts written as the original writes them, and the folder of the text encoder."""
    policy = disturbed(policy_of(init_seed=5))
    parts = policy.denoiser.pipeline
    parts.tokenizer = words_tokenizer(tmp_path / "t5")
    parts.text_encoder.config.save_pretrained(tmp_path / "t5")
    weights = {name: value.contiguous() for name, value in Published(parts).state_dict().items()}
    del weights["text_encoder.encoder.embed_tokens.weight"]
    save_file(weights, tmp_path / "tangoflux.safetensors")
    save_file(parts.vae.state_dict(), tmp_path / "vae.safetensors")
    vae = {name: value for name, value in parts.vae.config.items() if not name.startswith("_")}
    config = {
        "num_layers": 1,
        "num_single_layers": 1,
        "in_channels": 4,
        "attention_head_dim": 8,
        "joint_attention_dim": 16,
        "num_attention_heads": 2,
        "axes_dims_rope": [2, 2, 4],
        "audio_seq_len": 10,
        "max_duration": 0.5,
        "uncondition": False,
        "text_encoder_name": str(tmp_path / "t5"),
        "vae": vae,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    return policy, tmp_path


def sound_scores(policy):
    sounds = record(wav(440.0), wav(220.0))
    return policy.scores(policy.collate([policy.encode(sounds)])).logps


def test_files_of_the_original_are_loaded_whole(checkpoint):
    made, folder = checkpoint
    state = torch.get_rng_state()
    loaded = policy_of(str(folder))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(loaded.scores(batch_of(loaded)).logps, made.scores(batch_of(made)).logps)
    assert torch.equal(sound_scores(loaded), sound_scores(made))
    trained = {id(p) for p in loaded.parameters() if p.requires_grad}
    assert trained == {id(p) for p in loaded.denoiser.network.parameters()}
    assert not any(p.requires_grad for part in loaded.denoiser.frozen_parts() for p in part.parameters())
    assert len(loaded.denoiser.frozen_parts()) == 4


def test_the_text_encoder_may_lie_elsewhere_and_precision_is_that_of_all_parts(checkpoint):
    made, folder = checkpoint
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "text_encoder_name": "/nowhere"}))
    with pytest.raises(PrefalignError, match="no model folder '/nowhere'"):
        policy_of(str(folder))
    loaded = policy_of(str(folder), text_encoder=str(folder / "t5"), dtype="bfloat16")
    parts = [loaded.denoiser.network, *loaded.denoiser.frozen_parts()]
    assert {p.dtype for part in parts for p in part.parameters()} == {torch.bfloat16}
    scores = sound_scores(loaded)
    assert scores.dtype == torch.float32
    assert torch.allclose(scores, sound_scores(made), rtol=0.05)


def test_a_reference_beside_the_weights_is_left_out(checkpoint):
    from safetensors.torch import load_file

    made, folder = checkpoint
    weights = load_file(folder / "tangoflux.safetensors")
    reference = {"ref_" + name: value + 1 for name, value in weights.items() if name.startswith("transformer.")}
    save_file({**weights, **reference}, folder / "tangoflux.safetensors")
    loaded = policy_of(str(folder))
    assert torch.equal(loaded.scores(batch_of(loaded)).logps, made.scores(batch_of(made)).logps)


def change(name, **values):
    def changed(folder):
        from safetensors.torch import load_file

        weights = {**load_file(folder / name), **values}
        save_file({key: value for key, value in weights.items() if value is not None}, folder / name)

    return changed


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: (f / "vae.safetensors").unlink(), "vae.safetensors"),
        (lambda f: (f / "config.json").write_text("{"), "config.json is no JSON"),
        (lambda f: (f / "config.json").write_text("[]"), "hold a mapping, got list"),
        (lambda f: (f / "tangoflux.safetensors").write_bytes(b"x" * 64), "tangoflux.safetensors cannot be read"),
        (change("tangoflux.safetensors", other=torch.zeros(1)), "has 'other'; expected names that begin with"),
        (change("tangoflux.safetensors", **{"fc.0.bias": None}), r"projection: the file misses '0.bias' \(1 missing"),
        (change("tangoflux.safetensors", **{"fc.1.x": torch.zeros(1)}), "projection: the file has '1.x', which"),
        (change("tangoflux.safetensors", **{"fc.0.bias": torch.zeros(3)}), "projection: the weights have other shapes"),
        (change("tangoflux.safetensors", **{"text_encoder.shared.weight": None}), "text_encoder: the file misses"),
    ],
)
def test_files_that_do_not_fit_are_refused(checkpoint, spoil, complaint):
    _, folder = checkpoint
    spoil(folder)
    with pytest.raises(PrefalignError, match=complaint):
        policy_of(str(folder))


def test_another_rate_and_no_folder_are_refused(checkpoint):
    _, folder = checkpoint
    with pytest.raises(PrefalignError, match="works at 44100 Hz; set rate: 44100"):
        policy_of(str(folder), rate=16_000)
    with pytest.raises(PrefalignError, match="no model folder '/nowhere'"):
        policy_of("/nowhere")
