"""Trajectories of which one pair of numbers matters, and records that compare them."""

import numpy as np

from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Response


def trajectory(*steps, name="observations"):
    return Response(arrays={name: np.array(steps, np.float32), "actions": np.zeros((len(steps), 1), np.float32)})


def record(anchor, *responses, name="r", verdict=None):
    return PreferenceRecord(
        id=name,
        prompt=Prompt(text="task"),
        responses=responses,
        verdict=verdict or Pair(0, 1),
        reference_answer=anchor,
    )


def distracted(count, seed, steps=8, distractors=10):
    """Observations (count, steps, 2 + distractors) and what each is worth: how far its first two numbers turn.

    The distractors stand still within a trajectory, differ between them, and are three times as large.
    """
    generator = np.random.default_rng(seed)
    quality = generator.uniform(0, 1, count)
    angle = quality[:, None] * np.linspace(0, np.pi, steps)
    turning = np.stack([np.cos(angle), np.sin(angle)], -1)
    still = 3 * generator.standard_normal((count, 1, distractors)).repeat(steps, 1)
    observations = np.concatenate([turning, still], -1) + 0.02 * generator.standard_normal((count, steps, 1))
    return observations.astype(np.float32), quality
