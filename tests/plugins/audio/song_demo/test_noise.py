"""Labels of a machine: wrong in known shares, and never beyond recognition."""

import numpy as np

from prefalign.interfaces import Prompt
from prefalign_audio.song_demo.noise import GUESSED, MISHEARD, pseudo_labelled

SYLLABLES = [{"text": letter, "phonemes": [letter]} for letter in "abcdef"]
PROMPT = Prompt(conditions={"syllables": SYLLABLES, "mode": "minor", "register": "low"})


def test_labels_are_wrong_in_their_shares():
    made = [pseudo_labelled(PROMPT, seed).conditions for seed in range(2000)]
    changed = np.mean([one["syllables"] != SYLLABLES for one in made])
    # One in 24 of the misheard loses a syllable and hears its neighbour twice, or the like, and may come out as it was.
    assert abs(changed - MISHEARD) < 0.04
    # A guess is right one time in three.
    assert abs(np.mean([one["register"] != "low" for one in made]) - GUESSED * 2 / 3) < 0.03
    assert {one["mode"] for one in made} == {"minor"}


def test_one_or_two_syllables_are_lost_or_doubled():
    lengths = {len(pseudo_labelled(PROMPT, seed).conditions["syllables"]) for seed in range(500)}
    assert lengths == {4, 5, 6, 7, 8}
    known = {one["text"] for one in SYLLABLES}
    for seed in range(50):
        assert {one["text"] for one in pseudo_labelled(PROMPT, seed).conditions["syllables"]} <= known


def test_a_lyric_of_one_syllable_is_never_lost():
    prompt = Prompt(conditions={"syllables": SYLLABLES[:1], "mode": "major", "register": "high"})
    assert all(pseudo_labelled(prompt, seed).conditions["syllables"] for seed in range(200))


def test_equal_seeds_give_equal_labels_and_the_prompt_stays():
    assert pseudo_labelled(PROMPT, 3) == pseudo_labelled(PROMPT, 3)
    assert PROMPT.conditions["syllables"] == SYLLABLES
