"""Songs that are written: frequencies, ends, guidance, the penalty on repetition, and writing on."""

import math

import numpy as np
import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor

from prefalign.interfaces import Pair, PrefalignError, PreferenceRecord, Prompt, Ranking, Response
from prefalign_audio.streams.conditions.song import SongConditions
from prefalign_audio.streams.contract import ready
from prefalign_audio.streams.model import StreamLayout, StreamModel
from prefalign_audio.streams.models.lelm import LeLMModel
from prefalign_audio.streams.pattern import DelayPattern
from prefalign_audio.streams.policy import StreamPolicy
from prefalign_audio.streams.sampling import SamplingSettings, draw

WORDS = SongConditions(["a", "n"])
ASKED = Prompt(conditions={"syllables": [{"phonemes": ["n", "a"], "ends_word": True}], "mode": "minor"})
OTHER = Prompt(conditions={"register": "low"})


class Table(StreamModel):
    """Logits that are written down: of the leading stream by step, of the others always the same."""

    conditioner = WORDS

    def __init__(self, rows, delays=(0, 1)):
        super().__init__()
        ends = (3, 3)
        self.layout = StreamLayout(DelayPattern(delays), (3, 3), (4, 4), (4, 4), ends)
        self.rows, self.network, self.seen = torch.tensor(rows), torch.nn.Linear(1, 1), []

    def configure_model(self):
        pass

    def condition(self, inputs):
        return dict(inputs)

    def hidden(self, ids, present, condition, streams):
        raise NotImplementedError

    def begin(self, condition, steps):
        self.steps = steps
        return {"step": 0}

    def step(self, state, ids, choose):
        self.seen.append(ids)
        logits = self.rows[min(state["step"], len(self.rows) - 1)].expand(len(ids), -1)
        state["step"] += 1
        return torch.stack([choose(0, logits), choose(1, torch.tensor([0.0, 9, 1, 0, 0]).expand(len(ids), -1))], 1)


def written(model, begun=(None,), generator=None, guided=False, **settings):
    return draw(model, {}, guided, SamplingSettings(**settings), generator, begun)


END, GO = [0.0, 0, 0, 5, 0], [0.0, 0, 5, 0, 9]


def test_the_leading_streams_end_ends_all_streams():
    """The blank, likeliest of all, is never drawn; the other stream follows with its own end a step later."""
    model = Table([GO, GO, END, GO])
    found = written(model, max_frames=6)
    assert found.codes[0].tolist() == [[2, 2], [1, 1]]
    assert found.ended == [True]
    assert [ids[0].tolist() for ids in model.seen] == [[4, 4], [2, 4], [2, 1]]


def test_what_follows_an_end_is_blank():
    """Songs of a batch end in frames of their own; the last is cut off."""
    model = Table([GO], delays=(0, 2))
    begun = torch.tensor([[0, 1], [0, 1]])
    model.rows = torch.tensor([GO, GO, END, END])
    found = written(model, begun=(begun, None), max_frames=3, min_frames=1)
    assert [one.tolist() for one in found.codes] == [[[0, 1], [0, 1]], [[2, 2], [1, 1]]]
    assert found.ended == [True, True]
    seen = torch.stack(model.seen)[:, 0].tolist()
    assert seen == [[4, 4], [0, 4], [1, 4], [3, 0]]


def test_fewest_and_most_frames():
    found = written(Table([END]), max_frames=5, min_frames=3)
    assert found.codes[0].shape == (2, 3)
    assert found.ended == [True]
    model = Table([GO])
    found = written(model, max_frames=4)
    assert found.codes[0].shape == (2, 4)
    assert (found.ended, model.steps, len(model.seen)) == ([False], 5, 5)


def test_no_song_ends_inside_what_is_given():
    found = written(Table([END]), begun=(torch.tensor([[1, 1, 0], [2, 2, 2]]), None), max_frames=4)
    assert [one.shape[1] for one in found.codes] == [3, 1]
    assert found.codes[0].tolist() == [[1, 1, 0], [2, 2, 2]]


@pytest.mark.parametrize(("top_k", "temperature"), [(0, 1.0), ([2, 1], 1.0), (0, 0.5), (3, 2.0)])
def test_frequencies_are_those_of_the_softmax(top_k, temperature):
    """Of 4,000 draws, within five standard errors."""
    count, row = 4000, torch.tensor([0.3, 1.0, -0.5, 0.2, 7.0])
    generator = torch.Generator().manual_seed(0)
    found = written(
        Table([row.tolist()]), [None] * count, generator, max_frames=1, temperature=temperature, top_k=top_k
    )
    # In the first frame no song may end.
    logits = row[:3] / temperature
    kept = top_k if isinstance(top_k, int) else top_k[0]
    if kept:
        logits = logits.masked_fill(logits < logits.topk(kept).values[-1], -torch.inf)
    expected = logits.softmax(0)
    drawn = torch.bincount(torch.tensor([int(one[0, 0]) for one in found.codes]), minlength=3) / count
    assert ((drawn - expected).abs() <= 5 * (expected * (1 - expected) / count).sqrt()).all()
    if not isinstance(top_k, int):
        assert {int(one[1, 0]) for one in found.codes} == {1}


def test_the_penalty_is_that_of_transformers():
    """On both signs, on the codes of the last two frames of the stream only."""
    generator = torch.Generator().manual_seed(0)
    row = torch.tensor([[1.0, 0.9, -0.2]])
    codes, seen = [], []
    for _ in range(6):
        recent = torch.tensor([codes[-2:]], dtype=torch.long)
        scores = RepetitionPenaltyLogitsProcessor(1.5)(recent, row.clone()) if codes else row
        codes.append(int(scores.argmax()))
        seen.append(scores)
    model = Table([[1.0, 0.9, -0.2, -9, -9]])
    found = written(model, max_frames=6, min_frames=6, repetition_penalty=1.5, repetition_frames=2)
    assert found.codes[0][0].tolist() == codes
    assert len(set(codes)) == 2
    many = written(
        model, [torch.tensor([[0, 2], [0, 0]])] * 4000, generator, max_frames=3, min_frames=3, repetition_penalty=1.5
    )
    expected = RepetitionPenaltyLogitsProcessor(1.5)(torch.tensor([[0, 2]]), row.clone()).softmax(-1)[0]
    drawn = torch.bincount(torch.tensor([int(one[0, 2]) for one in many.codes]), minlength=3) / 4000
    assert ((drawn - expected).abs() <= 5 * (expected * (1 - expected) / 4000).sqrt()).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0.0},
        {"temperature": math.nan},
        {"top_k": -1},
        {"top_k": []},
        {"guidance": -1.0},
        {"repetition_penalty": 0.0},
        {"repetition_frames": 0},
        {"min_frames": 0},
        {"max_frames": 2, "min_frames": 3},
    ],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(PrefalignError, match="expected"):
        SamplingSettings(**wrong)


def test_as_many_top_k_as_streams():
    with pytest.raises(PrefalignError, match="one top_k for each of 2 streams"):
        written(Table([GO]), top_k=[1, 1, 1])


@pytest.fixture(scope="module")
def policy():
    policy = StreamPolicy(ready(lambda: LeLMModel({"delays": [0, 1, 2], "codes": [6, 5, 4]}, WORDS), 0.3))
    policy.configure_model()
    return policy


def codes_of(songs):
    return [song.arrays["codes"].tolist() for one in songs for song in one]


def test_greedy_songs_are_reproducible_and_samples_follow_their_seed(policy):
    settings = {"max_frames": 8, "min_frames": 8}
    assert codes_of(policy.sample([ASKED], **settings)) == codes_of(policy.sample([ASKED], **settings))
    one, two, three = (
        codes_of(policy.sample([ASKED], 3, generator=torch.Generator().manual_seed(seed), **settings))
        for seed in (0, 0, 1)
    )
    assert one == two != three


def test_guidance_of_one_is_none_and_of_zero_is_the_negative_prompt_alone(policy):
    settings = {"max_frames": 8, "min_frames": 8}
    plain = codes_of(policy.sample([ASKED, OTHER], **settings))
    assert codes_of(policy.sample([ASKED, OTHER], guidance=1.0, **settings)) == plain
    # As good as 1, and reckoned in full.
    assert codes_of(policy.sample([ASKED, OTHER], guidance=1.0 + 1e-7, **settings)) == plain
    negative = [policy.family.conditioner.negative(prompt) for prompt in (ASKED, OTHER)]
    away = codes_of(policy.sample(negative, **settings))
    assert codes_of(policy.sample([ASKED, OTHER], guidance=0.0, **settings)) == away
    assert away != plain
    assert away[0] == away[1]


def test_scores_are_the_log_probabilities_of_the_draws(policy, monkeypatch):
    """At temperature 1: what was drawn with, summed while drawing, is what `scores` says."""
    from prefalign_audio.streams import sampling

    total = []

    def picked(self, stream, frame, logits, inner=sampling._Writer._picked):
        found = inner(self, stream, frame, logits)
        going = frame < self.end
        logs = logits.log_softmax(-1).gather(1, found[:, None])[:, 0]
        total.append(torch.where(going, logs, 0))
        return found

    monkeypatch.setattr(sampling._Writer, "_picked", picked)
    generator = torch.Generator().manual_seed(1)
    ((*songs,),) = policy.sample([ASKED], 16, generator=generator, max_frames=7)
    record = PreferenceRecord(id="r", prompt=ASKED, responses=tuple(songs), verdict=Ranking(tuple(range(16))))
    with torch.no_grad():
        scores = policy.scores(policy.collate([policy.encode(record)]))
    assert {len(song.arrays["codes"][0]) for song in songs} > {7}
    assert any("unfinished" in song.arrays for song in songs)
    assert torch.allclose(torch.stack(total).sum(0), scores.logps, atol=1e-4)


def test_writing_on_keeps_what_stands(policy):
    """Greedily the mix, which hears no part, goes on as if written at once; with no delay so do all streams."""
    whole = policy.sample([ASKED, OTHER], max_frames=6, min_frames=6)
    begun = [None, None]
    for frames in (2, 4, 6):
        found = policy.extend([ASKED, OTHER], begun, 2, max_frames=6, min_frames=6)
        for one, before, song in zip(found, begun, whole, strict=True):
            codes = one.response.arrays["codes"]
            assert codes.shape == (3, frames)
            assert not one.ended
            assert "unfinished" in one.response.arrays
            assert (codes[0] == song[0].arrays["codes"][0, :frames]).all()
            assert before is None or (codes[:, : frames - 2] == before.arrays["codes"]).all()
        begun = [one.response for one in found]
    assert [one.ended for one in policy.extend([ASKED, OTHER], begun, 2, max_frames=6)] == [True, True]


def test_streams_without_delay_are_written_on_as_if_at_once():
    policy = StreamPolicy(ready(lambda: LeLMModel({"delays": [0, 0, 0], "codes": [6, 5, 4]}, WORDS), 0.3))
    policy.configure_model()
    settings = {"max_frames": 6, "min_frames": 6, "repetition_penalty": 1.2}
    ((whole,),) = policy.sample([ASKED], **settings)
    begun = None
    for _ in range(3):
        begun = policy.extend([ASKED], [begun], 2, **settings)[0].response
    assert np.array_equal(begun.arrays["codes"], whole.arrays["codes"])


def test_songs_at_different_frames_are_not_written_on_together(policy):
    songs = [Response(arrays={"codes": np.zeros((3, frames), int)}) for frames in (1, 2)]
    with pytest.raises(PrefalignError, match=r"stand at one frame, got \[1, 2\]"):
        policy.extend([ASKED, OTHER], songs, 2)
    with pytest.raises(PrefalignError, match=r"unknown sampling option 'guidanc'.*guidance"):
        policy.sample([ASKED], guidanc=2.0)


def test_what_is_sampled_is_read_back(policy):
    """Ends come back as ends: a pair of samples is a record like any other."""
    ((one, two),) = policy.sample([ASKED], 2, generator=torch.Generator().manual_seed(3), max_frames=4)
    record = PreferenceRecord(id="r", prompt=ASKED, responses=(one, two), verdict=Pair(0, 1))
    rows = policy.encode(record).rows
    for song, row in zip((one, two), rows, strict=True):
        assert bool((row.ids[0] == 6).any()) == ("unfinished" not in song.arrays)
