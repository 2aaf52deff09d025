"""CSM keeps the contract, has Transformers' two losses, and generates what Transformers' own loop does."""

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CsmForConditionalGeneration

from prefalign.interfaces import Media, Message, PrefalignError, Prompt, Slot
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import read_sound, wav_bytes
from prefalign_audio.sound.waveform import Waveform
from prefalign_audio.streams.contract import StreamModelContract, batch_of, condition_of, ready, rows_of, save
from prefalign_audio.streams.models.csm import Csm
from prefalign_audio.streams.policy import StreamPolicy


def noise(seed, samples=640, rate=3200):
    generator = torch.Generator().manual_seed(seed)
    return Media(kind="audio", data=wav_bytes(Waveform(0.3 * torch.randn(1, samples, generator=generator), rate)))


def said(speaker, text):
    return Message(str(speaker), (text, Slot("audio")))


PROMPTS = (
    Prompt(text="Rain."),
    Prompt(text="A longer sentence, spoken.", conditions={"speaker": 1}),
    Prompt(
        messages=(said(0, "Hello."), said(1, "Who?"), Message("0", ("Me!",))), media=(noise(1), noise(2, samples=300))
    ),
    Prompt(conditions={"lyrics": "No?"}),
)


def inputs_of(folder, prompt):
    """The model in the folder, and the prompt's arguments as its processor lays them out."""
    model = CsmForConditionalGeneration.from_pretrained(folder).eval()
    tokenizer, config = AutoTokenizer.from_pretrained(folder), model.config
    if not prompt.messages:
        words = f"[{prompt.conditions.get('speaker', 0)}]{prompt.text or prompt.conditions['lyrics']}"
        return model, dict(tokenizer([words], return_tensors="pt", add_special_tokens=True))
    ids, sounds = [], [read_sound(medium).samples for medium in prompt.media]
    for message, sound in zip(prompt.messages, [*sounds, None], strict=True):
        ids += tokenizer(f"[{message.role}]{message.text}")["input_ids"]
        if sound is not None:
            frames = model.codec_model.encode(sound[None]).audio_codes.shape[-1]
            ids += [config.audio_token_id] * frames + [config.audio_eos_token_id]
    return model, {
        "input_ids": torch.tensor([ids]),
        "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
        "input_values": torch.cat(sounds, dim=1)[None],
        "input_values_cutoffs": torch.tensor([[sound.shape[1] for sound in sounds]]).cumsum(-1),
    }


def embedded(model, given, frames):
    """(1, P + T, D) what the model's own code makes of the prompt, and the frames (1, T, K)."""
    prefix = model._merge_input_ids_with_input_values(
        given["input_ids"], given.get("input_values"), given.get("input_values_cutoffs")
    )["inputs_embeds"]
    return torch.cat([prefix, model.backbone_model.embed_tokens(frames)], dim=1)


class TestCsm(StreamModelContract):
    prompts, frames = PROMPTS, (5, 3, 7, 4)

    @pytest.fixture
    def make(self):
        return lambda: Csm({})

    def plain(self, folder, prompt, ids):
        model, given = inputs_of(folder, prompt)
        frames = ids[:, 1:].T[None].contiguous()
        out = model(inputs_embeds=embedded(model, given, frames), output_hidden_states=True)
        before = slice(given["input_ids"].shape[1] - 1, -1)
        depth = model.depth_decoder(
            torch.nn.functional.pad(frames[0, :, :-1], (1, 0)),
            backbone_last_hidden_state=out.hidden_states[-1][0, before],
        ).logits
        return [out.logits[0, before], *depth.unbind(1)]


@torch.no_grad()
def test_the_two_losses_are_those_of_transformers(tmp_path):
    """The backbone's over the first stream, the depth decoder's over the others; text is no label."""
    policy = StreamPolicy(ready(lambda: Csm({}), 0.3))
    policy.configure_model()
    save(policy.family, tmp_path)
    batch = batch_of(policy.family, PROMPTS[1:2], (6,))
    model, given = inputs_of(tmp_path, PROMPTS[1])
    frames = batch.inputs["ids"][:, :, 1:].transpose(1, 2).contiguous()
    labels = torch.cat([torch.full((1, given["input_ids"].shape[1], 4), -100), frames], dim=1)
    out = model(inputs_embeds=embedded(model, given, frames), labels=labels)
    sums, counts = policy.scores(batch).by_stream(4)
    means = -sums[0] / counts[0]
    assert torch.allclose(means[0], out.backbone_loss, rtol=1e-5)
    assert torch.allclose(means[1:].mean(), out.depth_decoder_loss, rtol=1e-5)
    assert torch.allclose(means[0] + means[1:].mean(), out.loss, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("prompt", PROMPTS[:3])
def test_the_likeliest_codes_are_those_of_transformers(prompt, tmp_path):
    """All ids are in the draw there, those that are no codes too."""
    model = ready(lambda: Csm({}), 0.3)
    save(model, tmp_path)
    plain, given = inputs_of(tmp_path, prompt)
    expected = plain.generate(**given, do_sample=False, depth_decoder_do_sample=False, max_new_tokens=7)[0].T
    state = model.begin(condition_of(model, rows_of(model, [prompt], (1,))), 7)
    ids, frames = torch.full((1, 4), 18), []
    for _ in range(7):
        ids = model.step(state, ids, lambda stream, logits: logits.argmax(-1))
        frames.append(ids[0])
    assert expected.shape == (4, 7)
    assert len(expected.unique()) > 2
    assert torch.equal(torch.stack(frames, dim=1), expected)


@torch.no_grad()
def test_the_depth_decoder_runs_for_the_frames_and_streams_that_are_asked_for():
    """Its cost is that of the wanted streams, over the frames that are there."""
    model = ready(lambda: Csm({}))
    inputs = rows_of(model, PROMPTS[:3], (5, 3, 7))
    seen = []
    model.base.depth_decoder.model.register_forward_pre_hook(
        lambda module, args, given: seen.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    condition = condition_of(model, inputs)
    for streams in ([0], [0, 1], [3]):
        model.hidden(inputs["ids"], inputs["present"], condition, streams)
    assert seen == [(15, 2), (15, 4)]


def test_the_codec_is_saved_and_no_part_of_the_network(tmp_path):
    model = ready(lambda: Csm({}))
    assert not any("codec" in name for name in model.state_dict())
    samples = 0.3 * torch.randn(1, 640, generator=torch.Generator().manual_seed(0))
    sound = Media(kind="audio", data=wav_bytes(Waveform(samples, 3200)))
    codes = model.encode(sound)
    assert codes.shape == (4, 10)
    assert len(np.unique(codes)) > 2
    save(model, tmp_path)
    assert not hasattr(model.base, "codec_model")
    loaded = Csm(str(tmp_path))
    loaded.configure_model()
    assert np.array_equal(loaded.encode(sound), codes)
    assert loaded.codec_fingerprint() == model.codec_fingerprint()
    plain = CsmForConditionalGeneration.from_pretrained(tmp_path)
    expected = plain.codec_model.encode(read_sound(sound).samples[None], num_quantizers=4).audio_codes[0]
    assert np.array_equal(codes, expected.numpy())


def test_a_sound_stops_in_front_of_the_frame_that_ends_it():
    model = ready(lambda: Csm({}))
    codes = torch.randint(1, 16, (4, 6), generator=torch.Generator().manual_seed(0))
    codes[:3, 1] = 0  # not all of them
    whole = model.decode(codes)[0]
    ended = torch.cat([codes, torch.zeros(4, 1, dtype=torch.long), codes], dim=1)
    assert model.decode(ended)[0] == whole
    assert read_sound(whole).frames == 6 * 64
    assert read_sound(model.decode(ended[:, 6:])[0]).frames == 1


def test_the_words_stand_behind_the_speakers_tag():
    conditioner = Csm({}).conditioner
    tokens = conditioner.tokenizer.convert_ids_to_tokens(conditioner.encode(PROMPTS[1])["input_ids"])
    assert "".join(tokens) == "<bos>[1]A longer sentence, spoken."
    away = conditioner.encode(conditioner.negative(PROMPTS[1]))["input_ids"]
    assert "".join(conditioner.tokenizer.convert_ids_to_tokens(away)) == "<bos>[1]"
    for speaker in (-1, "anna", True):
        with pytest.raises(PrefalignError, match="'speaker' to be a whole number of at least 0"):
            conditioner.encode(Prompt(text="Rain.", conditions={"speaker": speaker}))


def test_conversations_of_another_form_are_refused():
    conditioner = Csm({}).conditioner
    last = Message("0", ("Me!",))
    for messages, media, problem in (
        ((Message("user", ("Hello.",)),), (), "messages.0.: expected the speaker's number as role, got 'user'"),
        ((said(0, "Hello."), said(1, "Who?")), (noise(1), noise(2)), "each message to bring its sound, but the last"),
        ((last, last), (), "each message to bring its sound, but the last"),
        ((Message("0", (Slot("audio"), "Hello.")), last), (noise(1),), "expected a text, and behind it the place"),
        ((Message("0", ("Hello.", Slot("image"))), last), (Media(kind="image", data=b"0"),), "expected a text, and"),
        ((last,), (noise(1),), "media that no message has a place for"),
    ):
        with pytest.raises(PrefalignError, match=problem):
            conditioner.encode(Prompt(messages=messages, media=media))
    with pytest.raises(PrefalignError, match="the condition 'speaker' stands beside messages"):
        conditioner.encode(Prompt(messages=(last,), conditions={"speaker": 1}))
    with pytest.raises(SoundError, match="expected a sample rate of 3200 Hz, got 8000 Hz"):
        conditioner.encode(Prompt(messages=(said(0, "Hello."), last), media=(noise(1, rate=8000),)))
    away = conditioner.encode(conditioner.negative(PROMPTS[2]))
    assert len(away["input_ids"]) == len(conditioner.encode(PROMPTS[2])["input_ids"]) - len("Me!")
    assert away["counts"].tolist() == [640, 300]
