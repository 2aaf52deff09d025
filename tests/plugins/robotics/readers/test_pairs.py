"""Addresses of comparisons open as sources of preference records."""

import pickle
from pathlib import Path

import numpy as np
import pytest

import prefalign_robotics
from prefalign.interfaces import Pair, PrefalignError
from prefalign_robotics.exports.preferences import write_preferences
from prefalign_robotics.readers.pairs import ComparisonSource, StoredPairSource, open_pairs
from prefalign_robotics.segments.episodes import Episode
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.pairs import SegmentPair
from prefalign_robotics.segments.store import write_store

HUMAN = Path(prefalign_robotics.__file__).parent / "data" / "can.npz"


def write_human(path, labels):
    generator = np.random.default_rng(0)
    arrays = {f"obs_{side}": generator.standard_normal((3, 4, 2)) for side in (1, 2)}
    arrays |= {f"action_{side}": generator.standard_normal((3, 4, 1)) for side in (1, 2)}
    np.savez(path, **arrays, **({} if labels is None else {"label": np.array(labels)}))
    return arrays


def test_human_comparisons_open(tmp_path):
    path = tmp_path / "lift.npz"
    arrays = write_human(path, [1.0, 0.0, 0.5])
    source = open_pairs(f"robotics-pairs:{path}", "train")
    assert isinstance(source, ComparisonSource)
    assert (len(source), source.name) == (3, "lift.npz")
    assert [source[i].verdict for i in range(3)] == [Pair(1, 0), Pair(0, 1), Pair(0, 1, 0.5, tie=True)]
    record = source[1]
    for side in (1, 2):
        held = record.responses[side - 1].arrays
        assert np.array_equal(held["observations"], arrays[f"obs_{side}"][1].astype(np.float32))
        assert np.array_equal(held["actions"], arrays[f"action_{side}"][1].astype(np.float32))
        assert held["actions"].flags.writeable
    assert (record.id, record.source, record.annotator) == ("lift-1", "lift", "people")
    with pytest.raises(IndexError):
        source[3]


def test_shipped_comparisons_open_with_ids_of_their_own():
    source = open_pairs(f"robotics-pairs:{HUMAN}", "train")
    records = [source[index] for index in range(len(source))]
    assert len({record.id for record in records}) == len(records) == 100
    assert sum(record.verdict.tie for record in records) == 100 - 66


def test_shipped_comparisons_open_by_their_name():
    source = open_pairs("robotics-pairs:shipped:can", "train")
    assert source.name == "shipped:can"
    assert list(source) == list(open_pairs(f"robotics-pairs:{HUMAN}", "train"))
    with pytest.raises(PrefalignError, match=r"'cans'.*can"):
        open_pairs("robotics-pairs:shipped:cans", "train")


def test_an_archive_in_which_nothing_is_preferred_is_refused(tmp_path):
    write_human(tmp_path / "target.npz", None)
    with pytest.raises(SegmentError, match="none of its 3 pairs is decided"):
        open_pairs(f"robotics-pairs:{tmp_path / 'target.npz'}", "train")


def test_fragments_open(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFALIGN_CACHE", str(tmp_path / "cache"))
    arrays = {f"obs_{side}": np.full((2, 4, 2), side) for side in (1, 2)}
    arrays |= {f"acts_{side}": np.full((2, 3, 1), side) for side in (1, 2)}
    np.savez(tmp_path / "pairs.npz", preferences=np.array([1.0, 0.0]), **arrays)
    source = open_pairs(f"robotics-pairs:{tmp_path / 'pairs.npz'}", "train")
    assert [source[i].verdict for i in range(2)] == [Pair(0, 1), Pair(1, 0)]
    assert source[0].responses[0].arrays["observations"].shape == (3, 2)


def pair(name, second=1, start=0, label=1.0):
    return SegmentPair(
        pair_id=name, episode_index_a=0, start_a=1, episode_index_b=second, start_b=start, length=3, label=label
    )


@pytest.fixture
def store(tmp_path):
    generator = np.random.default_rng(0)
    episodes = [Episode(generator.standard_normal((6, 2)), generator.standard_normal((6, 1)), id=str(n)) for n in "ab"]
    return write_store(tmp_path / "store", episodes)


def test_a_table_opens_beside_its_store_or_elsewhere(tmp_path, store):
    pairs = [pair("p"), pair("q", start=2, label=0.5)]
    for table, address in (
        (store.folder / "pairs.parquet", f"robotics-pairs:{store.folder / 'pairs.parquet'}"),
        (tmp_path / "pairs.parquet", f"robotics-pairs:{tmp_path / 'pairs.parquet'}?store={store.folder}"),
    ):
        write_preferences(table, pairs)
        source = open_pairs(address, "train")
        assert isinstance(source, StoredPairSource)
        assert [source[i].id for i in range(len(source))] == ["p", "q"]
        assert source[1].verdict == Pair(0, 1, 0.5, tie=True)
        assert np.array_equal(source[1].responses[1].arrays["observations"], store[1].observations[2:5])
        with pytest.raises(IndexError):
            source[-1]


def test_sources_travel_to_other_processes(store):
    write_preferences(store.folder / "pairs.parquet", [pair("p")])
    for address in (HUMAN, store.folder / "pairs.parquet"):
        source = open_pairs(f"robotics-pairs:{address}", "train")
        there = pickle.loads(pickle.dumps(source))
        assert there[0].responses == source[0].responses
        assert there.name == source.name


def test_pairs_beyond_their_episodes_are_refused_as_the_table_opens(store):
    table = store.folder / "pairs.parquet"
    write_preferences(table, [pair("p"), pair("q", start=4)])
    with pytest.raises(SegmentError, match=r"pairs.parquet: pair 'q': .*episode 1 \(b\): no 3 steps from step 4"):
        open_pairs(f"robotics-pairs:{table}", "train")
    write_preferences(table, [pair("p", second=2)])
    with pytest.raises(SegmentError, match=r"pair 'p': .*no episode 2"):
        open_pairs(f"robotics-pairs:{table}", "train")


def test_a_table_without_store_is_refused(tmp_path):
    write_preferences(tmp_path / "pairs.parquet", [pair("p")])
    with pytest.raises(SegmentError, match="expected the folder of a store"):
        open_pairs(f"robotics-pairs:{tmp_path / 'pairs.parquet'}", "train")


def test_other_addresses_are_left_to_others(tmp_path):
    assert open_pairs("baton:x.jsonl", "train") is None
    assert open_pairs("robotics-pairs:", "train") is None
    assert open_pairs(str(HUMAN), "train") is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.npz", "no such file"),
        ("none.parquet", "no such file"),
        ("pairs.csv", "expected an archive"),
        ("pairs.pkl", "a pickle"),
        ("pairs.parquet?stores=x", "unknown option of pairs.parquet 'stores'; did you mean 'store'"),
        ("pairs.npz?store=x", "unknown option of pairs.npz 'store'"),
    ],
)
def test_what_cannot_be_opened_is_named(tmp_path, name, message):
    with pytest.raises(PrefalignError, match=message):
        open_pairs(f"robotics-pairs:{tmp_path / name}", "train")
