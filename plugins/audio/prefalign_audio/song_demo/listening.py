"""Songs of the base and of the merged model, for the same prompts, to listen to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from prefalign_audio.song_demo.judging import measure
from prefalign_audio.song_demo.runs import Bench
from prefalign_audio.songs.listening import Comparison, write_comparisons
from prefalign_audio.streams.codec import CODES


def write_page(
    bench: Bench, base: Mapping[str, Tensor], merged: Mapping[str, Tensor], out: Path, count: int = 8
) -> Path:
    """Render the first song to each of some held-out prompts before and after, on a page.

    Args:
        bench: of the seed.
        base, merged: the weights before and after.
        out: folder of the page and its sounds.
        count: prompts, taken at equal distances.

    Returns:
        The page.
    """
    world, judge = bench.prepared.world, bench.prepared.judges.judge
    places = [place * len(world.held_out) // count for place in range(count)]
    items = [world.held_out[place] for place in places]
    sides, scores = [], []
    for state in (base, merged):
        songs = bench.songs(state)
        chosen = [songs[place][0] for place in places]
        measured = measure(chosen, [item.prompt for item in items], world.tokens, judge)
        scores.append({name: measured[name] for name in ("lyric_error", "prompt", "musicality")})
        decoded = zip(chosen, items, strict=True)
        sides.append([world.tokens.decode(one.arrays[CODES], item.song.lyric, item.song.name) for one, item in decoded])
    comparisons = [
        Comparison(
            name=f"phrase{number}",
            before=sides[0][number],
            after=sides[1][number],
            asked=item.song.lyric,
            mode=str(item.prompt.conditions["mode"]),
            register=str(item.prompt.conditions["register"]),
            scores={name: (float(scores[0][name][number]), float(scores[1][name][number])) for name in scores[0]},
        )
        for number, item in enumerate(items)
    ]
    return write_comparisons(out, comparisons, title="Songs before and after alignment")
