"""Prompts as a machine would label songs: now and then wrong, so that what learns from them has to unlearn."""

from __future__ import annotations

import dataclasses

import numpy as np

from prefalign.interfaces import Prompt
from prefalign_audio.streams.conditions.song import TAGS

#: Shares of songs whose syllables are misheard, and whose register is a guess.
MISHEARD, GUESSED = 0.4, 0.3


def pseudo_labelled(prompt: Prompt, seed: int) -> Prompt:
    """The prompt with one or two syllables lost or heard twice in two of five songs, and a random register in three of
    ten."""
    rng = np.random.default_rng(seed)
    syllables = list(prompt.conditions["syllables"])
    if rng.random() < MISHEARD:
        for _ in range(rng.integers(1, 3)):
            place = int(rng.integers(len(syllables)))
            if rng.random() < 0.5 and len(syllables) > 1:
                syllables.pop(place)
            else:
                syllables.insert(place, syllables[place])
    register = prompt.conditions["register"]
    if rng.random() < GUESSED:
        register = str(rng.choice(TAGS["register"]))
    return dataclasses.replace(prompt, conditions={**prompt.conditions, "syllables": syllables, "register": register})
