"""A hand that reaches for a thing and carries it off, told through numbers in no known order."""

from dataclasses import dataclass

import numpy as np
import pytest

from prefalign_robotics.segments.segments import Segments

#: Places of the numbers in `make_episodes`' observations.
HAND, THING, CONTEXT, COPIES, CONSTANT = [0, 1, 2], [3, 4], [5], [6, 7, 8, 9, 10, 11], [12]
STEPS = 100


@dataclass
class Reaching:
    """Episodes, and what really happened in them."""

    episodes: Segments
    to_thing: np.ndarray
    moved: np.ndarray
    to_goal: np.ndarray
    expert: np.ndarray


def make_episodes(count=40, seed=0, push=(0.6, 0.0), scale=1.0, outliers=0, name="reaching"):
    """The first episodes of every four are by an expert, one gives up half-way, one acts at random, one stays away.

    Args:
        push: where the thing is carried, from where it stood.
        outliers: experts among the first that carry it the other way.
        scale: of all lengths.
    """
    generator = np.random.default_rng(seed)
    kind = np.arange(count) % 4
    hand = np.concatenate([generator.uniform(-0.1, 0.1, (count, 2)), np.zeros((count, 1))], -1)
    start = np.stack([generator.uniform(0.7, 1.0, count), generator.uniform(-0.4, 0.4, count)], -1)
    sign = np.where(np.arange(count) < 4 * outliers, -1, 1)[:, None]
    # The goal is where the context number says, as on a table whose height differs from day to day.
    context = generator.uniform(-0.2, 0.2, count)
    goal = start + sign * (np.array(push) + np.stack([0 * context, context], -1))
    thing, holding = start.copy(), np.zeros(count, bool)
    hands, things, actions = [], [], []
    for step in range(STEPS):
        wanted = np.where(holding[:, None], goal, thing)
        wanted[kind == 3] = hand[kind == 3, :2] - [0.02, 0]
        wanted[(kind == 1) & (step > 40)] = hand[(kind == 1) & (step > 40), :2]
        action = np.concatenate([np.clip((wanted - hand[:, :2]) / 0.03, -1, 1), np.zeros((count, 1))], -1)
        action += 0.3 * generator.standard_normal((count, 3))
        action[kind == 2] = generator.uniform(-1, 1, ((kind == 2).sum(), 3))
        hands.append(hand.copy())
        things.append(thing.copy())
        actions.append(action)
        near = np.linalg.norm(hand[:, :2] - thing, axis=-1) < 0.03
        holding |= near & (step > 8)
        hand = hand + 0.03 * np.clip(action, -1, 1)
        thing = np.where(holding[:, None], hand[:, :2], thing)
    hands, things, actions = (np.stack(v, 1) for v in (hands, things, actions))
    current = np.concatenate([hands, things, np.repeat(context[:, None, None], STEPS, 1)], -1)
    before = np.concatenate([current[:, :1], current[:, :-1]], 1)
    constant = np.full((count, STEPS, 1), 0.7)
    observations = scale * np.concatenate([current, before, constant], -1)
    return Reaching(
        Segments(observations.astype(np.float32), actions.astype(np.float32), name),
        np.linalg.norm(hands[..., :2] - things, axis=-1),
        np.linalg.norm(things - start[:, None], axis=-1),
        np.linalg.norm(things - goal[:, None], axis=-1),
        kind == 0,
    )


@pytest.fixture(scope="session")
def reaching():
    return make_episodes()
