"""The order of records: by seed and epoch, split over processes, from any position on."""

import pytest

from prefalign.data.sampler import AnchorPlan, Draw, RecordLoader, RecordSampler


class Draws:
    """A data set whose items are the draws that asked for them."""

    def __getitem__(self, draw):
        return draw


def loader(rank=0, world_size=1, shuffle=True, seed=0, size=10, epoch=0):
    sampler = RecordSampler(range(size), rank=rank, world_size=world_size, shuffle=shuffle, seed=seed)
    sampler.set_epoch(epoch)
    return RecordLoader(Draws(), sampler, 2, lambda draws: [draw.index for draw in draws])


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


def test_visits_are_epochs_in_training_and_0_elsewhere():
    for counted, expected in ((True, 3), (False, 0)):
        sampler = RecordSampler(range(4), rank=0, world_size=1, shuffle=True, seed=0, count_visits=counted)
        sampler.set_epoch(3)
        assert {draw.visit for draw in sampler} == {expected}


def anchored(epoch, rank=0, world_size=1, records=5):
    """Seven records in batches of 3, of a 5-record anchoring set 2 to a batch: batches of 5, 5 and 3 draws."""
    sampler = RecordSampler(
        range(7 * world_size),
        rank=rank,
        world_size=world_size,
        shuffle=False,
        seed=0,
        anchors=AnchorPlan(records, 2, 3),
    )
    sampler.set_epoch(epoch)
    return RecordLoader(Draws(), sampler, 5, list)


def test_anchors_join_every_batch_and_go_through_their_set_before_any_comes_again():
    batches = list(anchored(0))
    assert [len(batch) for batch in batches] == [5, 5, 3] == [5] * (len(anchored(0)) - 1) + [3]
    assert [[draw.index for draw in batch if not draw.anchor] for batch in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    drawn = [draw for epoch in range(5) for batch in anchored(epoch) for draw in batch if draw.anchor]
    for turn in range(6):
        part = drawn[5 * turn : 5 * (turn + 1)]
        assert sorted(draw.index for draw in part) == list(range(5))
        assert {draw.visit for draw in part} == {turn}
    assert [draw.index for draw in drawn[:5]] != [draw.index for draw in drawn[5:10]]


def test_processes_share_the_anchors():
    parts = [[d for e in range(5) for b in anchored(e, r, 2, 6) for d in b if d.anchor] for r in range(2)]
    for turn in range(10):
        both = [draw.index for part in parts for draw in part if draw.visit == turn]
        assert sorted(both) == list(range(6))


@pytest.mark.parametrize("done", range(3))
def test_anchored_batches_go_on_after_any_batch(done):
    whole, first, second = list(anchored(2)), anchored(2), anchored(2)
    running = iter(first)
    seen = [next(running) for _ in range(done)]
    second.load_state_dict(first.state_dict())
    assert seen + list(second) == whole
    assert isinstance(whole[0][0], Draw)
