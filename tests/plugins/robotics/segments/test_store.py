"""A store gives back what was written, whatever interrupts its writer, and names what is damaged."""

import json
import pickle

import numpy as np
import pytest

from prefalign.interfaces import Pair
from prefalign_robotics.segments.episodes import Episode
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.pairs import SegmentPair
from prefalign_robotics.segments.store import EpisodeStore, EpisodeWriter, write_store

LENGTHS = (5, 1, 8, 3)


def make_episode(number, steps=None, final=True, width=3):
    generator = np.random.default_rng(number)
    steps = steps or LENGTHS[number]
    return Episode(
        generator.standard_normal((steps, width)),
        generator.standard_normal((steps, 2)),
        rewards=generator.standard_normal(steps),
        terminations=np.arange(steps) == steps - 1,
        final_observation=generator.standard_normal(width) if final else None,
        id=f"demo_{number}",
        place=f"episode {number}",
    )


def equal(first, second):
    names = ("observations", "actions", "rewards", "terminations", "final_observation", "id")
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in names)


@pytest.fixture
def episodes():
    return [make_episode(number) for number in range(len(LENGTHS))]


@pytest.fixture
def store(tmp_path, episodes):
    with EpisodeWriter(tmp_path / "lift", shard_bytes=100) as writer:  # several shards
        for episode in episodes:
            writer.append(episode)
    return EpisodeStore(tmp_path / "lift")


def test_episodes_come_back_from_several_shards(store, episodes):
    assert len(list(store.folder.glob("observations-*.npy"))) == 3
    assert store.name == "lift"
    assert store.lengths.tolist() == list(LENGTHS)
    assert store.ids == ["demo_0", "demo_1", "demo_2", "demo_3"]
    assert all(equal(found, made) for found, made in zip(store, episodes, strict=True))
    assert isinstance(store[2].observations.base, np.memmap)
    with pytest.raises(IndexError):
        store[4]


def test_a_store_travels_to_another_process(store, episodes):
    assert equal(pickle.loads(pickle.dumps(store))[2], episodes[2])


def test_a_window_ends_with_what_was_seen_after_it(store, episodes):
    window = store.window(2, 3, 4)
    assert np.array_equal(window.observations, episodes[2].observations[3:7])
    assert np.array_equal(window.rewards, episodes[2].rewards[3:7])
    assert np.array_equal(window.final_observation, episodes[2].observations[7])
    last = store.window(2, 3, 5)
    assert np.array_equal(last.final_observation, episodes[2].final_observation)
    assert last.terminations.tolist() == [False] * 4 + [True]


def test_without_final_observations_only_the_last_window_lacks_one(tmp_path):
    store = write_store(tmp_path / "s", [make_episode(0, final=False)])
    assert store.window(0, 0, 5).final_observation is None
    assert np.array_equal(store.window(0, 0, 2).final_observation, store[0].observations[2])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((4, 0, 1), "no episode 4; it holds 4"),
        ((-1, 0, 1), "no episode -1"),
        ((2, 5, 4), r"lift, episode 2 \(demo_2\): no 4 steps from step 5; the episode has 8 steps"),
        ((2, -1, 2), "no 2 steps from step -1"),
        ((2, 0, 0), "no 0 steps"),
        ((2, 2**63 - 1, 1), "no 1 steps from step 9223372036854775807"),
    ],
)
def test_windows_beyond_an_episode_are_refused(store, row, message):
    with pytest.raises(SegmentError, match=message):
        store.window(*row)
    with pytest.raises(SegmentError, match=message):
        store.segments(np.array([(0, 0, row[2]), row]))


def test_segments_are_gathered_across_shards_in_the_order_of_the_rows(store, episodes):
    rows = np.array([[2, 4, 3], [0, 1, 3], [3, 0, 3], [2, 5, 3]])
    segments = store.segments(rows)
    for index, (episode, start, length) in enumerate(rows):
        assert np.array_equal(segments.observations[index], episodes[episode].observations[start : start + length])
        assert np.array_equal(segments.actions[index], episodes[episode].actions[start : start + length])
    assert segments.name == "lift"


def test_segments_of_different_lengths_are_refused(store):
    with pytest.raises(SegmentError, match="one length, got 2 to 3 steps"):
        store.segments(np.array([[0, 0, 3], [2, 0, 2]]))
    with pytest.raises(SegmentError, match=r"rows \(N, 3\)"):
        store.segments(np.array([[0.0, 0.0, 3.0]]))


def test_a_pair_becomes_a_record(store, episodes):
    pair = SegmentPair(
        pair_id="p1",
        episode_index_a=0,
        start_a=1,
        episode_index_b=2,
        start_b=4,
        length=3,
        label=0.8,
        weight=2.0,
        annotator="ann",
        confidence=0.6,
        source="transferred",
    )
    (record,) = store.records([pair])
    assert record.verdict == Pair(1, 0, 0.8)
    assert np.array_equal(record.responses[0].arrays["observations"], episodes[0].observations[1:4])
    assert np.array_equal(record.responses[1].arrays["actions"], episodes[2].actions[4:7])
    assert record.responses[0].arrays["observations"].flags.writeable
    assert (record.id, record.weight, record.annotator, record.source) == ("p1", 2.0, "ann", "lift")
    assert record.provenance == {
        "source": "transferred",
        "segments": [[0, 1, 3], [2, 4, 3]],
        "confidence": 0.6,
    }


def test_a_pair_beyond_its_episode_is_refused_by_id(store):
    pair = SegmentPair(pair_id="p9", episode_index_a=0, start_a=1, episode_index_b=1, start_b=0, length=3, label=0.5)
    with pytest.raises(SegmentError, match=r"pair 'p9': .*episode 1 \(demo_1\): no 3 steps"):
        store.record(pair)


def test_episodes_of_other_numbers_are_refused(tmp_path):
    with EpisodeWriter(tmp_path) as writer:
        writer.append(make_episode(0))
        with pytest.raises(SegmentError, match=r"^episode 1: expected observations 3, .* got observations 4, "):
            writer.append(make_episode(1, width=4))
        with pytest.raises(SegmentError, match=r"expected .*final_observations 3 as in the episodes before it"):
            writer.append(make_episode(1, final=False))
    assert len(EpisodeStore(tmp_path)) == 1


def test_an_interrupted_store_is_refused_and_gone_on_with(tmp_path, episodes):
    def fill():
        with EpisodeWriter(tmp_path, shard_bytes=100) as writer:
            for episode in episodes[:3]:
                writer.append(episode)
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        fill()
    with pytest.raises(SegmentError, match="writing stopped after 3 episodes"):
        EpisodeStore(tmp_path)
    with pytest.raises(SegmentError, match="episode 1 is 'demo_1' there and 'demo_2' here"):
        write_store(tmp_path, [episodes[0], episodes[2]])
    store = write_store(tmp_path, episodes)
    assert all(equal(found, made) for found, made in zip(store, episodes, strict=True))
    with pytest.raises(SegmentError, match="a store of 4 episodes already"):
        write_store(tmp_path, episodes)


def test_a_complete_store_takes_more_episodes(store):
    with EpisodeWriter(store.folder) as writer:
        assert len(writer) == 4
        assert writer.complete
        writer.append(make_episode(7, steps=2))
        assert not writer.complete
    assert EpisodeStore(store.folder).ids[-1] == "demo_7"


def test_a_complete_store_that_is_being_added_to_is_not_complete(store):
    def add():
        with EpisodeWriter(store.folder, shard_bytes=1) as writer:
            writer.append(make_episode(7, steps=2))
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        add()
    with pytest.raises(SegmentError, match="writing stopped after 5 episodes"):
        EpisodeStore(store.folder)


def test_no_file_is_left_half_written(tmp_path, episodes, monkeypatch):
    def fail(out, values, allow_pickle):
        out.write(b"half")
        raise OSError("full")

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(OSError, match="full"), EpisodeWriter(tmp_path) as writer:
        writer.append(episodes[0])
    assert list(tmp_path.iterdir()) == []


def test_an_empty_store_is_refused(tmp_path):
    with pytest.raises(SegmentError, match="no episode to write"):
        write_store(tmp_path / "s", [])


def test_damaged_arrays_are_named(store):
    path = store.folder / "actions-00001.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(SegmentError, match=r"actions-00001.npy: damaged"):
        EpisodeStore(store.folder)
    path.write_bytes(b"")
    with pytest.raises(SegmentError, match=r"actions-00001.npy: damaged"):
        EpisodeStore(store.folder)
    np.save(path, np.zeros((2, 2), np.float32))
    with pytest.raises(SegmentError, match=r"expected \(9, 2\) float32 by the index, got \(2, 2\)"):
        EpisodeStore(store.folder)
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(SegmentError, match=r"actions-00001.npy: damaged"):
        EpisodeStore(store.folder)
    path.unlink()
    with pytest.raises(SegmentError, match="no such file; the index of the store names it"):
        EpisodeStore(store.folder)


def test_numbers_that_were_damaged_later_are_named_by_episode_and_step(store):
    path = store.folder / "observations-00001.npy"  # one step of episode 1, then episode 2
    values = np.load(path)
    values[1 + 6, 1] = np.nan
    np.save(path, values)
    damaged = EpisodeStore(store.folder)
    with pytest.raises(
        SegmentError, match=r"lift, episode 2 \(demo_2\), from step 4: observations at step 2, number 1"
    ):
        damaged.window(2, 4, 4)
    with pytest.raises(SegmentError, match=r"episode 2 \(demo_2\): observations at step 6: number 1 is nan"):
        damaged.segments(np.array([[0, 0, 4], [2, 4, 4]]))
    assert len(damaged.window(2, 0, 5)) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 1"),
        ({"format": "other"}, "format 'prefalign-episodes'"),
        ({"lengths": [5, 1, 8]}, "numbers of episodes disagree"),
        ({"lengths": [5, 1, 8, 0]}, "whole numbers"),
        ({"lengths": [5, 1, 8, -3]}, "whole numbers"),
        ({"lengths": [5, 1, 8, True]}, "whole numbers"),
        ({"lengths": [5, 1, 8, 2**63]}, "whole numbers"),
        ({"shards": [2, 0, 1, 1]}, "disagree"),
        ({"widths": {"../../etc/passwd": 1}}, "unknown arrays"),
        ({"widths": {"actions": 2}}, "expected the arrays observations and actions"),
        ({"ids": [1, 2, 3, 4]}, "ids"),
        ({"complete": 1}, "expected name, widths"),
        ({"lengths": [5, 1, 9, 3]}, r"expected \(10, 3\) float32 by the index"),
    ],
)
def test_an_index_that_cannot_be_is_refused(store, change, message):
    path = store.folder / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(SegmentError, match=message):
        EpisodeStore(store.folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 10**5])
def test_an_index_that_is_none_is_refused(store, text):
    (store.folder / "index.json").write_text(text)
    with pytest.raises(SegmentError, match=r"index\.json"):
        EpisodeStore(store.folder)


def test_a_folder_without_index_is_refused(tmp_path):
    with pytest.raises(SegmentError, match=r"index\.json: no such file"):
        EpisodeStore(tmp_path)
