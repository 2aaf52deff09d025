"""Dia keeps the contract, lays rows out as its processor does, and generates what Transformers' own loop does."""

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, DiaForConditionalGeneration, DiaProcessor
from transformers.generation.logits_process import DiaClassifierFreeGuidanceLogitsProcessor

from prefalign.interfaces import Media, PrefalignError, Prompt
from prefalign_audio.sound.files import read_sound, wav_bytes
from prefalign_audio.sound.waveform import Waveform
from prefalign_audio.streams.contract import (
    StreamModelContract,
    batch_of,
    condition_of,
    logits_of,
    ready,
    rows_of,
    save,
)
from prefalign_audio.streams.models.dia import Dia
from prefalign_audio.streams.policy import StreamPolicy

DELAYS, END, PAD, START = [0, 2, 3], 16, 17, 18
PROMPTS = (Prompt(text="[S1] Hé!"), Prompt(text="[S1] A longer one. [S2] Yes."), Prompt(text="[S2] No?"))


def inputs_of(folder, prompt):
    """The model in the folder, and the arguments that say the prompt as Transformers wants it."""
    model = DiaForConditionalGeneration.from_pretrained(folder).eval()
    return model, dict(AutoTokenizer.from_pretrained(folder)([prompt.text], return_tensors="pt"))


def by_the_processor(codes):
    """(1, T + 5, K) ids of codes (T, K) with start and end, delayed by the processor's own functions."""
    begun = torch.nn.functional.pad(codes, (0, 0, 1, 0), value=START)
    ended = torch.nn.functional.pad(begun, (0, 0, 0, 1), value=END)
    room = torch.nn.functional.pad(ended, (0, 0, 0, max(DELAYS)), value=PAD)[None]
    places = DiaProcessor.build_indices(1, room.shape[1], len(DELAYS), DELAYS)
    return DiaProcessor.apply_audio_delay(room, PAD, START, places)


class TestDia(StreamModelContract):
    prompts = PROMPTS

    @pytest.fixture
    def make(self):
        return lambda: Dia({})

    def plain(self, folder, prompt, ids):
        model, given = inputs_of(folder, prompt)
        row = ids[:, :-1].clone()
        for k, delay in enumerate(DELAYS):
            row[k, : delay + 1] = START
        return list(model(**given, decoder_input_ids=row.T[None].contiguous()).logits)


def test_rows_are_those_of_the_processor():
    """But for bos in front of a delayed stream, which the model puts there itself."""
    model = ready(lambda: Dia({}))
    inputs = rows_of(model, PROMPTS[:1], (6,))
    codes = torch.stack([inputs["ids"][0, k, 1 + delay : 7 + delay] for k, delay in enumerate(DELAYS)], dim=1)
    expected = by_the_processor(codes)[0].T
    row = inputs["ids"][0]
    waiting = torch.arange(row.shape[1]) <= torch.tensor(DELAYS)[:, None]
    assert torch.equal(torch.where(waiting, START, row), expected[:, : row.shape[1]])
    seen = []
    read = model.base.model.decoder.register_forward_pre_hook(
        lambda module, args, given: seen.append(given["input_ids"]), with_kwargs=True
    )
    logits_of(model, inputs)
    read.remove()
    assert torch.equal(seen[0][0].T, expected[:, : row.shape[1] - 1])
    assert inputs["mask"][0].sum(1).tolist() == [7, 6, 6], "of the ends, the first stream's is scored"
    assert row[0, 7:].tolist() == [END, PAD, PAD][: row.shape[1] - 7]


@torch.no_grad()
def test_the_loss_is_that_of_transformers(tmp_path):
    """Its labels are all codes and the ends of all streams, of which the mean is taken."""
    model = ready(lambda: Dia({}), 0.3)
    save(model, tmp_path)
    ids = by_the_processor(torch.randint(16, (6, 3), generator=torch.Generator().manual_seed(0)))
    labels = ids[:, 1:].clone()
    labels[(labels == PAD) | (labels == START)] = -100
    plain, given = inputs_of(tmp_path, PROMPTS[1])
    expected = plain(
        **given, decoder_input_ids=ids[:, :-1].contiguous(), labels=labels.transpose(1, 2).flatten(0, 1).contiguous()
    ).loss
    inputs = rows_of(model, PROMPTS[1:2], (1,)) | {"ids": ids.transpose(1, 2)}
    logps = torch.stack(list(logits_of(model, inputs).values()), dim=1).log_softmax(-1)
    targets = labels.transpose(1, 2)
    chosen = targets != -100
    taken = logps.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    assert int(chosen.sum()) == 3 * 7
    assert torch.allclose(-taken[chosen].mean(), expected, rtol=1e-5)


@torch.no_grad()
def transformers_song(folder, prompt, longest, **options):
    """(K, T) the codes that `generate` writes before the end, and whether it came to one by itself."""
    model, given = inputs_of(folder, prompt)
    begun = torch.full((1, 1 + max(DELAYS), 3), PAD)
    begun[0, 0] = START
    for k, delay in enumerate(DELAYS):
        begun[0, : delay + 1, k] = START
    ids = model.generate(
        **given,
        decoder_input_ids=begun,
        decoder_attention_mask=torch.ones(1, begun.shape[1], dtype=torch.long),
        max_new_tokens=longest,
        do_sample=False,
        eos_token_id=END,
        pad_token_id=PAD,
        bos_token_id=START,
        decoder_start_token_id=START,
        **options,
    )[0].T
    end = int((ids[0] == END).nonzero()[0])
    return torch.stack([ids[k, 1 + delay : end + delay] for k, delay in enumerate(DELAYS)])


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_the_likeliest_song_is_that_of_transformers(seed, tmp_path):
    """Up to the end, which the first stream decides and the others follow."""
    policy = StreamPolicy(ending(seed))
    policy.configure_model()
    save(policy.family, tmp_path)
    expected = transformers_song(tmp_path, PROMPTS[1], 30)
    ((song,),) = policy.sample(PROMPTS[1:2], 1, max_frames=30)
    assert "unfinished" not in song.arrays
    assert 1 < expected.shape[1] < 25, "it came to an end by itself"
    assert np.array_equal(song.arrays["codes"], expected.numpy())


def ending(seed):
    """A model whose ends come after some frames."""
    model = ready(lambda: Dia({}, init_seed=seed), 0.3)
    with torch.no_grad():
        model.base.logits_dense.weight[END] *= 2.0
    return model


@torch.no_grad()
@pytest.mark.parametrize("seed", [2, 3, 5])
def test_guidance_leads_away_from_what_transformers_does(seed, tmp_path):
    """Its own rule: the likeliest of the prompt's codes among the k that the guided logits put first."""
    model = ending(seed)
    save(model, tmp_path)
    prompt, scale, kept = PROMPTS[0], 2.0, 4
    expected = transformers_song(tmp_path, prompt, 30, guidance_scale=scale, top_k=kept)
    conditioner = model.conditioner
    assert conditioner.encode(conditioner.negative(prompt))["input_ids"].tolist() == [0] * 6
    inputs = rows_of(model, [prompt, conditioner.negative(prompt)], (1, 1))
    state, ids, frames, end = model.begin(condition_of(model, inputs), 40), torch.full((2, 3), START), [], 99
    rule = DiaClassifierFreeGuidanceLogitsProcessor(scale, kept)

    def choose(stream, logits):
        nonlocal end
        frame = len(frames) - DELAYS[stream]
        guided = rule(torch.zeros(1, 1), logits)
        guided[:, (END if stream else END + 1) :] = -torch.inf
        taken = int(guided.argmax(-1))
        end = frame if stream == 0 and taken == END and frame < end else end
        return torch.full((2,), taken if frame < end else END if frame == end else PAD)

    while len(frames) < end + max(DELAYS):
        ids = model.step(state, ids, choose)
        frames.append(ids[0])
    found = torch.stack(frames, dim=1)
    assert 1 < end < 25, "it came to an end by itself"
    assert torch.equal(torch.stack([found[k, delay : delay + end] for k, delay in enumerate(DELAYS)]), expected)


def test_sounds_are_filled_to_whole_frames_and_come_back():
    model = Dia({})
    model.configure_model()
    samples = 0.3 * torch.randn(1, 100, generator=torch.Generator().manual_seed(0))
    codes = model.encode(Media(kind="audio", data=wav_bytes(Waveform(samples, 1600))))
    assert codes.shape == (3, 4), "frames of 32 samples"
    sound = read_sound(model.decode(torch.from_numpy(codes))[0])
    assert (sound.rate, sound.channels) == (1600, 1)
    assert sound.frames == pytest.approx(128, abs=16)
    assert set(model.beside) == {"codec"}
    assert not any("codec" in name for name, _ in model.named_parameters())


def test_a_script_is_bytes():
    conditioner = Dia({}).conditioner
    found = conditioner.encode(Prompt(conditions={"lyrics": "[S1]é"}))
    assert found["input_ids"].tolist() == [1, *"é".encode()]
    with pytest.raises(PrefalignError, match="has 2000 tokens, and the model reads 1024"):
        conditioner.encode(Prompt(text="a" * 2000))
    with pytest.raises(PrefalignError, match="unknown condition 'description'"):
        conditioner.encode(Prompt(conditions={"description": "calm"}))
    batch = batch_of(ready(lambda: Dia({})), (Prompt(), PROMPTS[1]), (2, 3))
    assert batch.inputs["condition.heard"].tolist() == [False, True]
