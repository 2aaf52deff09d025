"""Episodes keep, settle and are cut into windows."""

import numpy as np
import pytest

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.episodes import Episodes, load_episodes, windows


def make_episodes(count=5, steps=9, seed=0, **changes):
    generator = np.random.default_rng(seed)
    arrays = {
        "observations": generator.standard_normal((count, steps, 3)).astype(np.float32),
        "actions": generator.uniform(-1, 1, (count, steps, 2)).astype(np.float32),
        "rewards": generator.uniform(0, 10, (count, steps)).astype(np.float32),
        "success": generator.random((count, steps)) > 0.9,
        "kinds": np.array(["expert", "random"] * count)[:count],
        "noise": np.full(count, 0.5, np.float32),
        "instances": np.arange(count),
        "task": "reach",
    }
    return Episodes(**(arrays | changes))


def test_a_file_gives_back_what_was_saved(tmp_path):
    episodes = make_episodes()
    episodes.save(tmp_path / "a.npz")
    loaded = load_episodes(tmp_path / "a.npz")
    for name in ("observations", "actions", "rewards", "success", "kinds", "noise", "instances"):
        assert np.array_equal(getattr(loaded, name), getattr(episodes, name))
        assert getattr(loaded, name).dtype == getattr(episodes, name).dtype
    assert loaded.task == "reach"


def test_other_files_are_refused(tmp_path):
    make_episodes().save(tmp_path / "a.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    np.savez(tmp_path / "other.npz", observations=np.zeros((2, 3, 1)))
    np.savez(tmp_path / "pickled.npz", **{n: np.array([{}]) for n in ("task", *make_episodes().__dict__)})
    np.save(tmp_path / "one.npy", np.zeros(3))
    for name, complaint in (
        ("cut.npz", "damaged"),
        ("other.npz", "no array 'task'"),
        ("pickled.npz", "without pickle"),
        ("one.npy", "damaged, or no NumPy archive"),
        ("no.npz", "no such file"),
    ):
        with pytest.raises(SegmentError, match=complaint):
            load_episodes(tmp_path / name)


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(SegmentError, match=r"reach: expected rewards \(episodes, steps\) .* got \(5, 8\)"):
        make_episodes(rewards=np.zeros((5, 8), np.float32))
    with pytest.raises(SegmentError, match=r"expected kinds \(episodes,\)"):
        make_episodes(kinds=np.array(["expert"]))


def test_settled_episodes_start_still():
    episodes = make_episodes()
    settled = episodes.settled(2)
    assert (settled.observations[:, :2] == episodes.observations[:, 2:3]).all()
    assert np.array_equal(settled.observations[:, 2:], episodes.observations[:, 2:])
    assert settled.actions is episodes.actions
    with pytest.raises(SegmentError, match="9 frames to settle"):
        episodes.settled(9)


def test_returns_and_success_of_episodes():
    episodes = make_episodes(success=np.eye(5, 9, dtype=bool) & (np.arange(5) > 2)[:, None])
    assert episodes.returns == pytest.approx(episodes.rewards.astype(float).sum(1))
    assert episodes.succeeded.tolist() == [False, False, False, True, True]
    assert episodes.select(episodes.succeeded).instances.tolist() == [3, 4]


def test_windows_are_cut_where_they_say():
    episodes = make_episodes()
    found = windows(episodes, 20, 4, seed=1)
    assert len(found.segments) == 20
    assert len({*zip(found.episodes, found.starts, strict=True)}) == 20
    for row, (episode, start) in enumerate(zip(found.episodes, found.starts, strict=True)):
        assert np.array_equal(found.segments.observations[row], episodes.observations[episode, start : start + 4])
        assert np.array_equal(found.segments.actions[row], episodes.actions[episode, start : start + 4])
        assert found.returns[row] == pytest.approx(episodes.rewards[episode, start : start + 4].astype(float).sum())
    assert np.array_equal(windows(episodes, 20, 4, seed=1).starts, found.starts)
    assert not np.array_equal(windows(episodes, 20, 4, seed=2).starts, found.starts)


def test_all_windows_can_be_drawn_but_not_more():
    episodes = make_episodes()
    found = windows(episodes, 30, 4)
    assert found.starts.max() == 5
    assert found.episodes.max() == 4
    with pytest.raises(SegmentError, match="5 episodes hold 30 windows of 4 steps, not 31"):
        windows(episodes, 31, 4)
    with pytest.raises(SegmentError, match="windows of 10 steps do not fit episodes of 9"):
        windows(episodes, 2, 10)
