"""What a music tagger says of a sound, against a description of what was asked for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from prefalign.interfaces import PrefalignError

_EPSILON = 1e-6  # by which probabilities keep away from 0 and 1


def named_tags(description: str, tags: Sequence[str]) -> list[int]:
    """Indices of the tags that a description names, in its order, each once.

    Whole words count, in any case; where tags overlap the longest one does: "no vocals" names no "vocals".

    Args:
        description: such as "slow piano, female vocal".
        tags: of the tagger.

    Raises:
        PrefalignError: if none is named, with tags that are near.
    """
    text, found = description.lower(), list[tuple[int, int]]()
    for index in sorted(range(len(tags)), key=lambda index: -len(tags[index])):
        pattern = rf"(?<!\w){re.escape(tags[index].lower())}(?!\w)"
        while match := re.search(pattern, text):
            found.append((match.start(), index))
            # Taken out, in its length, so that no shorter tag is found in it.
            text = text[: match.start()] + "\0" * len(match[0]) + text[match.end() :]
    if not found:
        words = re.findall(r"\w+", description.lower())
        near = [tag for word in words for tag in difflib.get_close_matches(word, tags, n=1, cutoff=0.7)]
        hint = f"did you mean {', '.join(map(repr, near))}?" if near else f"known: {', '.join(tags)}"
        raise PrefalignError(f"{description!r} names none of the tagger's tags; {hint}")
    return list(dict.fromkeys(index for _, index in sorted(found)))


def tag_log_odds(probabilities: Tensor, wanted: Sequence[Sequence[int]]) -> Tensor:
    """Mean of log p / (1 − p) over the tags that each sound should have.

    Args:
        probabilities: (N, K) in [0, 1].
        wanted: for each sound the indices of its tags, at least one.

    Returns:
        (N,) float64, nats; 0 where the tagger is undecided.

    Raises:
        PrefalignError: for other shapes, numbers outside [0, 1], or a sound without a tag.
    """
    checked = _checked(probabilities)
    if len(wanted) != len(checked) or not all(wanted):
        raise PrefalignError(f"expected at least one tag for each of {len(checked)} sounds, got {list(wanted)}")
    odds = checked.clamp(_EPSILON, 1 - _EPSILON).logit()
    return torch.stack([odds[row, list(tags)].mean() for row, tags in enumerate(wanted)])


def tag_similarities(probabilities: Tensor, tag_vectors: Tensor, text_vectors: Tensor, centre: Tensor) -> Tensor:
    """Cosine of each description's vector with the mean of the tags' vectors, weighted by what the tagger says.

    That is ConSE (1312.5650, eq. 3) with probabilities of which their mean over a set of sounds is taken away: the tags
    that every sound has say nothing about one of them.

    Args:
        probabilities: (N, K) in [0, 1].
        tag_vectors: (K, D) of the tags' names.
        text_vectors: (N, D) of the descriptions.
        centre: (K,) mean probabilities of a set.

    Returns:
        (N,) float64 in [-1, 1].

    Raises:
        PrefalignError: for other shapes, or numbers outside [0, 1].
    """
    checked = _checked(probabilities)
    count, width = checked.shape[1], tag_vectors.shape[-1]
    shapes = [tuple(one.shape) for one in (tag_vectors, text_vectors, centre)]
    if shapes != [(count, width), (len(checked), width), (count,)]:
        raise PrefalignError(f"expected vectors of {count} tags, {len(checked)} descriptions and a mean, got {shapes}")
    sounds = (checked - centre.to(checked)) @ tag_vectors.to(checked)
    return cosine_similarity(sounds, text_vectors.to(checked), dim=1)


def _checked(probabilities: Tensor) -> Tensor:
    if probabilities.ndim != 2 or not bool(((probabilities >= 0) & (probabilities <= 1)).all()):
        raise PrefalignError(
            f"expected (N, K) probabilities in [0, 1], got {tuple(probabilities.shape)}; logits need a sigmoid first"
        )
    return probabilities.double()
