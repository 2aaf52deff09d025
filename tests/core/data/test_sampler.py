"""The order of records: by seed and epoch, split over processes, from any position on."""

import pytest

from prefalign.data.sampler import RecordLoader, RecordSampler


def loader(rank=0, world_size=1, shuffle=True, seed=0, size=10, epoch=0):
    sampler = RecordSampler(range(size), rank=rank, world_size=world_size, shuffle=shuffle, seed=seed)
    sampler.set_epoch(epoch)
    return RecordLoader(range(size), sampler, 2, list)


def test_order_depends_on_seed_and_epoch_alone():
    assert list(loader()) == list(loader())
    assert list(loader(epoch=1)) != list(loader())
    assert list(loader(seed=1)) != list(loader())
    assert sorted(i for batch in loader() for i in batch) == list(range(10))
    assert list(loader(shuffle=False)) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def test_processes_share_the_records_without_overlap():
    parts = [[i for batch in loader(rank=r, world_size=2) for i in batch] for r in range(2)]
    assert sorted(parts[0] + parts[1]) == list(range(10))


@pytest.mark.parametrize("done", range(5))
def test_goes_on_after_any_batch(done):
    whole, first, second = list(loader()), loader(), loader()
    running = iter(first)
    seen = [next(running) for _ in range(done)]
    second.load_state_dict(first.state_dict())
    assert seen + list(second) == whole
    assert list(second) == whole  # the next epoch starts at its beginning


def test_the_end_of_an_epoch_is_the_beginning_of_the_next():
    second = loader()
    second.load_state_dict({"position": 5})
    assert list(second) == list(loader())
