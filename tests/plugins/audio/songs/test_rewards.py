"""Rewards of songs: golden values by hand, one call for many songs, hostile records, the judge's interface."""

import dataclasses

import numpy as np
import pytest
import torch

from prefalign.data.build import run_stages
from prefalign.data.stages import Score
from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Ranking, RecordError, Response, StageReport
from prefalign.models.judging import identity, judgements
from prefalign.objectives.reward_modelling import BradleyTerry
from prefalign.rewards.combine import Weighted
from prefalign.training.reward_learning import RewardLearning
from prefalign_audio.songs.rewards import KeyReward, LyricReward, MusicalityReward, PromptReward, stacked
from prefalign_audio.songs.scorer import SongScorer
from prefalign_audio.songs.tokens import SongTokens

C_MAJOR, A_MINOR, SHARPS = 0b000010010001, 0b001000010001, 0b000101001010
TOKENS = SongTokens(sets=(0, C_MAJOR, A_MINOR, SHARPS), vocal=(60, 72), bass=(36, 48), registers=(64.0, 68.0))
#: Two syllables of three phonemes and one.
ASKED = {
    "syllables": [{"phonemes": ["d", "u", "n"]}, {"phonemes": ["a"]}],
    "mode": "major",
    "register": "low",
}
# C and E on two syllables over C, and the same on one syllable, an octave of the voice higher, over A minor.
GOOD = np.array([[1, 1, 1, 1], [2, 1, 6, 1], [2, 1, 1, 1]])
BAD = np.array([[2, 2], [2 + 12, 1], [2 + 9, 1]])


def song_record(*songs, conditions=ASKED, name="one"):
    responses = tuple(Response(arrays={"codes": codes}) for codes in songs)
    return PreferenceRecord(
        id=name, prompt=Prompt(conditions=conditions), responses=responses, verdict=Ranking((0,) * len(songs))
    )


def judged(reward, *records):
    return reward(reward.codec.collate([reward.codec.encode(record) for record in records]))


def test_lyric_reward_by_hand():
    silent = np.zeros((3, 3), dtype=int)
    output = judged(LyricReward(TOKENS), song_record(GOOD, BAD, silent))
    # BAD lacks the second syllable, one phoneme of four; silence lacks both.
    assert output.mean == pytest.approx(torch.tensor([[0.0, 0, 0], [-1 / 4, -1 / 2, -1], [-1, -1, -4]]))
    assert output.valid.all()


def test_prompt_reward_by_hand():
    output = judged(PromptReward(TOKENS), song_record(GOOD, BAD), song_record(BAD, GOOD, conditions={"mode": "minor"}))
    assert output.mean.squeeze(1).tolist() == [1, 0, 1, 0]


def test_what_is_not_asked_for_is_invalid_not_zero():
    record = song_record(GOOD, conditions={})
    assert not judged(LyricReward(TOKENS), record).valid.any()
    assert not judged(PromptReward(TOKENS), record).valid.any()
    assert judged(KeyReward(TOKENS), record).valid.all()


def test_key_reward_by_hand():
    # First half in C major: C, E, G. Notes C, E of the voice, C of the bass: all inside, each pitch once of three.
    # Then two notes of four outside of A minor, and F sharp on two of them: 2.5 / 2 + 2.5 / 2.
    second = np.array([[2, 2, 3, 3], [2 + 9, 1, 2 + 6, 2 + 6], [2 + 9, 1, 1, 1]])
    silent = np.zeros((3, 2), dtype=int)
    output = judged(KeyReward(TOKENS), song_record(GOOD, second, silent))
    assert output.mean[0] == pytest.approx(torch.tensor([2.5 + 2.5 * 2 / 3, 1, 2 / 3]))
    assert output.mean[1] == pytest.approx(torch.tensor([2.5, 0.5, 0.5]))
    assert output.mean[2].tolist() == [0, 0, 0]


def test_the_key_is_that_of_the_first_half():
    reward = KeyReward(TOKENS)
    notes = [[2, 6, 9, 1], [2, 1, 1, 1]]
    first, second = np.array([[1, 1, 3, 3], *notes]), np.array([[3, 3, 1, 1], *notes])
    # C, E and G over C are in C major, and neither they nor their neighbours in the key of F sharp and C sharp.
    good, bad = judged(reward, song_record(first, second)).mean[:, 1].tolist()
    assert good == 1
    assert bad < 1


def test_musicality_reward_is_its_scorer_and_learns():
    scorer = SongScorer(TOKENS)
    reward = MusicalityReward(scorer)
    output = judged(reward, song_record(GOOD, BAD))
    codes, lengths = stacked([GOOD, BAD])
    assert output.mean.squeeze(1).tolist() == pytest.approx(scorer.score(codes, lengths).tolist(), abs=1e-6)
    output.mean.sum().backward()
    assert scorer.head[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", [LyricReward, PromptReward, KeyReward])
def test_many_songs_in_one_call_as_one_by_one(kind):
    rng = np.random.default_rng(0)
    songs = [np.stack([rng.integers(0, size, n) for size in TOKENS.sizes]) for n in rng.integers(1, 20, 40)]
    records = [song_record(song, name=str(i)) for i, song in enumerate(songs)]
    reward = kind(TOKENS)
    together = judgements(reward, records, name="all")
    assert together == [judgements(reward, [record], name="one")[0] for record in records]


def test_rewards_are_judges_of_stages_and_add_up(tmp_path):
    file = tmp_path / "tokens.json"
    TOKENS.save(file)
    score = Score(LyricReward(str(file)), "errors", criterion="phonemes")
    report = StageReport()
    (record,) = run_stages([song_record(GOOD, BAD)], [score], 0, [report])
    assert [response.scores["errors"] for response in record.responses] == [0, -1]
    total = Weighted([KeyReward(TOKENS), PromptReward(TOKENS)], [1.0, 0.0, 0.0, 3.0])
    assert judged(total, song_record(GOOD)).mean[0, 0] == pytest.approx(2.5 + 2.5 * 2 / 3 + 3)


def test_identity_follows_vocabulary_and_weights():
    other = SongTokens(sets=(0, C_MAJOR), vocal=(60, 72), bass=(36, 48), registers=(64.0, 68.0))
    assert identity(LyricReward(TOKENS)) == identity(LyricReward(TOKENS))
    assert identity(LyricReward(TOKENS)) != identity(LyricReward(other))
    torch.manual_seed(0)
    assert identity(MusicalityReward(SongScorer(TOKENS))) != identity(MusicalityReward(SongScorer(TOKENS)))


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (song_record(GOOD[:2]), "responses[0].arrays.codes"),
        (song_record(GOOD, BAD + 40), "responses[1].arrays.codes"),
        (song_record(np.zeros((3, 0), dtype=int)), "responses[0].arrays.codes"),
        (song_record(GOOD * 1.0), "responses[0].arrays.codes"),
        (song_record(GOOD, conditions={"syllables": [{"phonemes": []}]}), "prompt.conditions"),
        (song_record(GOOD, conditions={"mode": "dorian"}), "prompt.conditions"),
        (song_record(GOOD, conditions={"register": "bass"}), "prompt.conditions"),
    ],
)
def test_hostile_records_are_named(record, field):
    with pytest.raises(RecordError) as caught:
        LyricReward(TOKENS).codec.encode(record)
    assert caught.value.record_id == "one"
    assert caught.value.field == field


def test_a_response_without_codes_is_named():
    record = PreferenceRecord(id="text", prompt=Prompt(), responses=(Response(text="la"),), verdict=Ranking((0,)))
    with pytest.raises(RecordError, match="expected a song as an array 'codes'"):
        LyricReward(TOKENS).codec.encode(record)


def test_musicality_is_learnt_by_the_cores_module():
    torch.manual_seed(0)
    module = RewardLearning(MusicalityReward(SongScorer(TOKENS)), BradleyTerry())
    pair = dataclasses.replace(song_record(GOOD, BAD), verdict=Pair())
    batch = module.codec.collate([module.codec.encode(pair)])
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = module.evaluate_batch(batch).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] == pytest.approx(np.log(2), abs=0.3)
    assert losses[-1] < 0.1
