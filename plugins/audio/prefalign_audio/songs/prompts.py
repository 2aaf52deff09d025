"""What a song answers: the conditions that ask for its lyric, its mode and its register."""

from __future__ import annotations

from typing import Any

from prefalign.interfaces import Prompt
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.files import song_as_json
from prefalign_audio.songs.keys import MODES, NO_KEY, key_by_profile
from prefalign_audio.songs.song import Song
from prefalign_audio.songs.tokens import SongTokens, sounding_classes

SYLLABLES, MODE, REGISTER = "syllables", "mode", "register"
"""Names of the conditions."""


def prompt_of(song: Song, tokens: SongTokens) -> Prompt:
    """The prompt that asks for what a song is.

    Args:
        song: with a lyric, whose syllables have their phonemes, and each of which a note begins.
        tokens: whose thresholds divide the registers.

    Returns:
        Conditions in plain JSON: `syllables`, a list of `{"text", "phonemes", "ends_word"}`; `mode`, major or minor, of
        the key whose Krumhansl-Kessler profile fits what sounds best (none if nothing does); `register`, low, middle or
        high.

    Raises:
        SongError: for a song without a lyric, with syllables that are not spoken or not sung.
    """
    if not song.lyric:
        raise SongError(f"{song.name}: no lyric; expected a syllable at least")
    if song.onsets != len(song.lyric):
        raise SongError(f"{song.name}: {song.onsets} notes begin a syllable, and the lyric has {len(song.lyric)}")
    for number, syllable in enumerate(song.lyric, start=1):
        if not syllable.phonemes:
            raise SongError(f"{song.name}: syllable {number}, {syllable.text!r}, has no phonemes; see `speak_lyrics`")
    conditions: dict[str, Any] = {SYLLABLES: song_as_json(song)["lyric"], REGISTER: tokens.register(song)}
    key = int(key_by_profile(sounding_classes(song).sum(axis=0, keepdims=True))[0])
    if key != NO_KEY:
        conditions[MODE] = MODES[key // 12]
    return Prompt(conditions=conditions)
