"""MusicGen keeps the contract, in mono and stereo, and generates what Transformers' own loop does."""

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, MusicgenForConditionalGeneration

from prefalign.cli.main import main
from prefalign.data.store import write_parquet
from prefalign.interfaces import Media, Pair, PrefalignError, PreferenceRecord, Prompt, Response
from prefalign.models.pretrained import LoraSettings
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import read_sound, wav_bytes
from prefalign_audio.sound.waveform import Waveform
from prefalign_audio.streams.contract import PROMPTS, StreamModelContract, batch_of, logits_of, ready, rows_of, save
from prefalign_audio.streams.models.dia import Dia
from prefalign_audio.streams.models.musicgen import MusicGen
from prefalign_audio.streams.policy import StreamPolicy

STEREO = {"decoder": {"num_codebooks": 8, "audio_channels": 2}}


def inputs_of(folder, prompt):
    """The model in the folder, and the arguments that say the prompt as Transformers wants it."""
    model = MusicgenForConditionalGeneration.from_pretrained(folder).eval()
    if not prompt.text:
        given = model.get_unconditional_inputs(1)
        return model, {"encoder_outputs": given.encoder_outputs, "attention_mask": given.attention_mask}
    return model, dict(AutoTokenizer.from_pretrained(folder)([prompt.text], return_tensors="pt"))


class MusicGenContract(StreamModelContract):
    prompts = (*PROMPTS[:2], Prompt())

    def plain(self, folder, prompt, ids):
        model, given = inputs_of(folder, prompt)
        return list(model(**given, decoder_input_ids=ids[:, :-1]).logits)


class TestMono(MusicGenContract):
    @pytest.fixture
    def make(self):
        return lambda: MusicGen({})


class TestStereo(MusicGenContract):
    @pytest.fixture
    def make(self):
        return lambda: MusicGen(STEREO)


def configured(values, size=0.3):
    """A policy on a model whose weights were moved far enough to say different things."""
    model = ready(lambda: MusicGen(values), size)
    policy = StreamPolicy(model)
    policy.configure_model()
    return policy


@pytest.mark.parametrize("values", [{}, STEREO])
def test_delays_are_those_of_transformers(values):
    """Its own pattern of which ids are given, and which are left to be predicted (-1)."""
    model = ready(lambda: MusicGen(values))
    count = model.layout.pattern.streams
    _, mask = model.base.build_delay_pattern_mask(torch.full((count, 1), 16), 16, max_length=12)
    frames = 12 - 1 - max(model.layout.pattern.delays)
    left = model.layout.pattern.apply(torch.full((1, count, frames), -1), 16)[0]
    assert torch.equal(mask, torch.cat([torch.full((count, 1), 16), left], dim=1))
    assert model.layout.pattern.delays == ((0, 1, 2, 3) if count == 4 else (0, 0, 1, 1, 2, 2, 3, 3))


@torch.no_grad()
def test_the_loss_is_that_of_transformers(tmp_path):
    """The mean over codebooks of each codebook's mean, over songs of unequal length."""
    policy = configured({})
    save(policy.family, tmp_path)
    batch = batch_of(policy.family, PROMPTS[:1] * 3, (5, 3, 7))
    model, given = inputs_of(tmp_path, PROMPTS[0])
    given = {name: value.expand(3, -1) for name, value in given.items()}
    ids = batch.inputs["ids"]
    expected = model(
        **given, decoder_input_ids=ids[..., :-1].flatten(0, 1), labels=ids[..., 1:].transpose(1, 2).contiguous()
    ).loss
    sums, counts = policy.scores(batch).by_stream(4)
    assert counts.tolist() == [[5.0] * 4, [3.0] * 4, [7.0] * 4]
    assert torch.allclose(-(sums.sum(0) / counts.sum(0)).mean(), expected, rtol=1e-5)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("values", [{}, STEREO], ids=["mono", "stereo"])
def test_the_likeliest_song_is_that_of_transformers(values, guidance, tmp_path, monkeypatch):
    """Codes and sound of `generate`, whose null condition is zeros under a mask of zeros."""
    policy = configured(values)
    save(policy.family, tmp_path)
    frames, prompt = 9, PROMPTS[1]
    model, given = inputs_of(tmp_path, prompt)
    found, inner = [], model.audio_encoder.decode
    monkeypatch.setattr(
        model.audio_encoder, "decode", lambda codes, **options: found.append(codes) or inner(codes, **options)
    )
    longest = frames + max(policy.family.layout.pattern.delays)
    sound = model.generate(**given, do_sample=False, guidance_scale=guidance, max_new_tokens=longest)
    # Stereo models decode left, then right.
    expected = torch.stack([codes[0, 0] for codes in found], dim=1).flatten(0, 1)
    ((song,),) = policy.sample([prompt], 1, max_frames=frames, guidance=guidance)
    assert len(np.unique(song.arrays["codes"])) > 2, "a song that says something"
    assert np.array_equal(song.arrays["codes"], expected.numpy())
    written = read_sound(song.media[0])
    assert written.rate == 3200
    assert torch.allclose(written.samples, sound[0].clamp(-1, 1), atol=1e-4), "16 bits"


def test_a_stereo_sound_is_encoded_channel_by_channel():
    """Left codes in even streams, right ones in odd."""
    both = ready(lambda: MusicGen(STEREO), 0.0)
    samples = 0.3 * torch.randn(2, 640, generator=torch.Generator().manual_seed(0))
    codes = both.encode(Media(kind="audio", data=wav_bytes(Waveform(samples, 3200))))
    assert codes.shape == (8, 10)
    for channel in range(2):
        alone = read_sound(Media(kind="audio", data=wav_bytes(Waveform(samples, 3200)))).samples[channel]
        expected = both.codec().encode(alone[None, None]).audio_codes[0, 0]
        assert np.array_equal(codes[channel::2], expected.numpy())
    left_only = both.decode(torch.from_numpy(codes))[0]
    assert read_sound(left_only).channels == 2
    with pytest.raises(SoundError, match="expected 2 channels, got 1"):
        both.encode(Media(kind="audio", data=wav_bytes(Waveform(samples[:1], 3200))))


def test_text_and_description_say_the_same():
    conditioner = MusicGen({}).conditioner
    text, told = Prompt(text="rain"), Prompt(conditions={"description": "rain"})
    one, two = conditioner.encode(text), conditioner.encode(told)
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert not conditioner.encode(Prompt())["heard"]
    with pytest.raises(PrefalignError, match="differ"):
        conditioner.encode(Prompt(text="rain", conditions={"description": "snow"}))
    with pytest.raises(PrefalignError, match="to be a text, got 3"):
        conditioner.encode(Prompt(conditions={"description": 3}))
    with pytest.raises(PrefalignError, match="unknown condition 'descripton'; did you mean 'description'"):
        conditioner.encode(Prompt(conditions={"descripton": "rain"}))
    with pytest.raises(PrefalignError, match="has 102 tokens, and the model reads 64"):
        conditioner.encode(Prompt(text="a" * 100))


@pytest.mark.parametrize("precision", ["bfloat16", "auto"])
def test_precision_is_that_of_all_parts(precision, tmp_path):
    model = MusicGen({}, dtype="bfloat16")
    model.configure_model()
    if precision == "auto":
        save(model, tmp_path)
        model = MusicGen(str(tmp_path), dtype="auto")
        model.configure_model()
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    logits = logits_of(model, rows_of(model, PROMPTS, (5, 3, 7)))
    assert logits[0].dtype == torch.bfloat16
    assert logits[0].isfinite().all()
    codes = model.encode(model.decode(torch.zeros(4, 5, dtype=torch.long))[0])
    assert codes.shape == (4, 5)


def test_what_is_no_musicgen_is_refused(tmp_path):
    with pytest.raises(PrefalignError, match=r"value of model\.decoder 'hidden_sice'; did you mean 'hidden_size'"):
        MusicGen({"decoder": {"hidden_sice": 8}})
    with pytest.raises(PrefalignError, match="there is no model folder"):
        MusicGen("./nothing")
    other = ready(lambda: Dia({}))
    save(other, tmp_path)
    with pytest.raises(PrefalignError, match="is a model of the family 'dia', and MusicGen reads 'musicgen'"):
        MusicGen(str(tmp_path))


@pytest.mark.parametrize("loaded", [False, True])
def test_dropout_of_a_checkpoint_is_off(loaded, tmp_path):
    """MusicGen's checkpoints state a dropout of 0.1, which is no module that could be found. They go on stating it."""
    model = ready(lambda: MusicGen({"decoder": {"dropout": 0.9}}))
    if loaded:
        save(model, tmp_path)
        model = ready(lambda: MusicGen(str(tmp_path)))
    assert model.whole().config.decoder.dropout == model.base.config.dropout == 0.9
    inputs = rows_of(model, PROMPTS, (5, 3, 7))
    assert model.network.training
    assert torch.equal(logits_of(model, inputs)[0], logits_of(model, inputs)[0])


def test_an_exported_adapter_fits_the_decoder_of_transformers(tmp_path):
    """As peft puts it there: the likeliest song is the policy's."""
    import peft

    save(ready(lambda: MusicGen({}), 0.3), tmp_path / "base")
    policy = StreamPolicy(MusicGen(str(tmp_path / "base")), lora=LoraSettings(r=2, alpha=8))
    policy.configure_model()
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    policy.save_pretrained(tmp_path / "adapter")
    model, given = inputs_of(tmp_path / "base", PROMPTS[1])
    plain = model.generate(**given, do_sample=False, guidance_scale=None, max_new_tokens=12)
    peft.PeftModel.from_pretrained(model.decoder, str(tmp_path / "adapter"))
    sound = model.generate(**given, do_sample=False, guidance_scale=None, max_new_tokens=12)[0]
    ((song,),) = policy.sample(PROMPTS[1:2], 1, max_frames=9)
    assert not torch.equal(sound, plain[0])
    assert torch.allclose(read_sound(song.media[0]).samples, sound.clamp(-1, 1), atol=1e-4)


@pytest.mark.slow
def test_the_preset_runs_on_its_tiny_twin(tmp_path, monkeypatch):
    """From pairs of codes to an adapter, through the command."""
    generator = torch.Generator().manual_seed(0)
    records = [
        PreferenceRecord(
            id=str(number),
            prompt=Prompt(text=text),
            responses=tuple(
                Response(arrays={"codes": torch.randint(16, (4, length), generator=generator).numpy()})
                for length in (5, 7)
            ),
            verdict=Pair(0, 1),
        )
        for number, text in enumerate(["rain", "a slow waltz", "rain", "a drum"])
    ]
    write_parquet(records, tmp_path / "pairs.parquet")
    monkeypatch.chdir(tmp_path)
    family = "--model.init_args.policy.init_args.model.init_args"
    told = [f"{family}.model", "{}", f"{family}.dtype", "float32", "--data.init_args.num_workers", "0"]
    small = ["--trainer.accelerator", "cpu", "--trainer.max_steps", "2", "--trainer.precision", "32-true"]
    code = main(["fit", "--config", "audio/musicgen-dpo", "--data.train", "pairs.parquet", *told, *small])
    assert code == 0
    (export,) = tmp_path.glob("runs/audio/musicgen-dpo/*/export")
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= {
        one.name for one in export.iterdir()
    }
