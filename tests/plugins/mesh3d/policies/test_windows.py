"""Windows: they score every token once, and their gradient is the whole sequence's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.plugins.mesh3d.policies.conftest import a_record

from prefalign.interfaces import CapabilityError, PrefalignError
from prefalign.objectives.dpo import DPO
from prefalign_mesh3d.policies.windows import Window, Windowing, place_of, window_at_random


@given(st.integers(1, 60), st.integers(1, 30), st.integers(1, 200))
def test_windows_score_every_input_once_with_as_much_context_as_promised(window: int, stride: int, length: int) -> None:
    stride = min(stride, window)
    found = Windowing(window, stride).of(length)
    assert [position for one in found for position in range(one.scored, one.stop)] == list(range(length))
    assert [one.start for one in found] == [index * stride for index in range(len(found))]
    assert all(one.stop - one.start <= window for one in found)
    assert all(one.scored - one.start == window - stride for one in found[1:])


def test_windows_by_hand() -> None:
    # DeepMesh's: 9,000 inputs, 4,500 further each time; a mesh of 15,000.
    assert Windowing(9000, 4500).of(15000) == [
        Window(0, 9000, 0),
        Window(4500, 13500, 9000),
        Window(9000, 15000, 13500),
    ]


@pytest.mark.parametrize(("window", "stride"), [(4, 5), (4, 0)])
def test_strides_out_of_range_are_refused(window: int, stride: int) -> None:
    with pytest.raises(PrefalignError, match="stride"):
        Windowing(window, stride)


def test_a_stride_that_would_shift_the_groups_is_refused(make_policy) -> None:
    with pytest.raises(PrefalignError, match="multiples of 3, such as 6"):
        make_policy(window=16, stride=8)


def batch_of(policy, lengths=((30, 21), (12, 40))):
    records = [a_record(f"r{index}", pair) for index, pair in enumerate(lengths)]
    return policy.collate([policy.encode(record) for record in records])


def gradient(policy) -> torch.Tensor:
    found = [parameter.grad.flatten() for parameter in policy.parameters() if parameter.grad is not None]
    policy.zero_grad()
    return torch.cat(found)


def test_one_window_as_long_as_the_sequence_is_the_whole_sequence(make_policy) -> None:
    whole, cut = make_policy(), make_policy(window=60, stride=30)
    batch = batch_of(whole)
    torch.testing.assert_close(cut.scores(batch).token_logps, whole.scores(batch).token_logps, rtol=0, atol=1e-12)


def test_each_token_is_scored_under_its_windows_left_context(make_policy) -> None:
    policy = make_policy(window=12, stride=6)
    batch = batch_of(policy)
    found = policy.scores(batch)
    ids, condition = batch.inputs["input_ids"], policy.network.condition(batch.inputs["points"])
    for row, length in enumerate([30, 21, 12, 40]):
        for position in range(length):
            # The plain rule, one token at a time: the first window that reaches it.
            start = 0 if position < 12 else ((position - 12) // 6 + 1) * 6
            hidden = policy.network.hidden(
                ids[row : row + 1, start : position + 1], condition[batch.inputs["cloud"][row : row + 1]], start
            )
            logps = policy.network.head(hidden[0, -1]).log_softmax(-1)
            torch.testing.assert_close(found.token_logps[row, position], logps[ids[row, position + 1]])
    assert found.mask.sum(-1).tolist() == found.lengths.tolist() == [30, 21, 12, 40]
    torch.testing.assert_close(found.logps, found.token_logps.sum(-1))


@pytest.mark.parametrize("model", [{}, {"depths": [2]}], ids=["hourglass", "plain"])
@pytest.mark.parametrize("rows_at_once", [None, 1, 3])
@pytest.mark.parametrize(
    "objective",
    [DPO(beta=0.5), DPO(beta=0.5, loss_type="ipo"), DPO(beta=0.3, nll_weight=2.0)],
    ids=["sigmoid", "ipo", "anchored"],
)
def test_recomputed_windows_give_the_exact_gradient(make_policy, objective, rows_at_once, model) -> None:
    policy = make_policy(model, window=12, stride=6, rows_at_once=rows_at_once)
    batch = batch_of(policy)
    reference = policy.scores(batch).detach()
    reference.token_logps *= 1.05
    reference.logps = (reference.token_logps * reference.weights).sum(-1)

    def loss(scores):
        return objective(scores, reference, batch.relations).loss

    loss(policy.scores(batch, objective.needs)).backward()
    windowed = gradient(policy)

    # Pass 1 by hand: all scores without a graph, and the loss's derivative by each token's log-probability.
    with torch.no_grad():
        scores = policy.scores(batch, objective.needs)
    leaf = scores.token_logps.detach().requires_grad_()
    scores.token_logps, scores.logps = leaf, (leaf * scores.weights).sum(-1)
    (outer,) = torch.autograd.grad(loss(scores), leaf)
    # Pass 2 by hand: window after window, each with a graph of its own.
    for start, windows in policy._jobs(batch):
        for row, window in windows.items():
            ids = batch.inputs["input_ids"][row : row + 1]
            condition = policy.network.condition(batch.inputs["points"][batch.inputs["cloud"][row : row + 1]])
            logits = policy.network.head(policy.network.hidden(ids[:, start : window.stop], condition, start))
            logps = logits.log_softmax(-1)[0].gather(1, ids[0, start + 1 : window.stop + 1, None])[:, 0]
            # The last input predicts padding, which no window scores.
            scored = slice(window.scored - start, window.stop - start)
            (outer[row, window.scored : window.stop] * logps[scored]).sum().backward()
    by_hand = gradient(policy)
    assert ((windowed - by_hand).norm() / by_hand.norm()).item() < 1e-10


def saved_bytes(policy, batch) -> int:
    """Bytes that the graph of the scores holds on to."""
    held: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = policy.scores(batch).logps.sum()
    own = {p.untyped_storage().data_ptr() for p in policy.parameters()}
    total = sum(size for place, size in held.items() if place not in own)
    del out
    return total


def test_what_the_graph_holds_does_not_grow_with_the_number_of_windows(make_policy) -> None:
    policy = make_policy({"depths": [2]}, window=48, stride=48)
    one, many = batch_of(policy, [(48, 48)]), batch_of(policy, [(480, 480)])
    whole = make_policy({"depths": [2]})
    assert saved_bytes(whole, many) > 9 * saved_bytes(whole, one)
    # The tokens themselves are held, and nothing of what was computed from them.
    assert saved_bytes(policy, many) < saved_bytes(whole, one)


def test_random_windows_lie_at_one_place_in_both_responses_and_begin_with_a_part() -> None:
    windowing = Windowing(20, 10)
    starts = torch.zeros(100, dtype=torch.bool)
    starts[[0, 17, 33, 50, 64, 80, 95]] = True
    seen = [window_at_random(starts, 100, windowing, 9, place) for place in (0.0, 0.25, 0.5, 0.99)]
    # Of the six parts that begin no later than 80; windows begin at the multiple of 9 before.
    assert [window.scored for window in seen] == [0, 17, 50, 80]
    assert [window.start for window in seen] == [0, 9, 45, 72]
    assert all(window.stop == window.start + 20 for window in seen)
    assert window_at_random(starts[:15], 15, windowing, 9, 0.7) == Window(0, 15, 0)


def test_random_windows_move_with_the_visit_and_are_the_same_for_the_reference(make_policy) -> None:
    policy = make_policy(window=12, stride=6, window_mode="paired_random")
    batch = batch_of(policy, [(60, 48)])
    masks = []
    for visit in range(6):
        batch.visits = torch.tensor([visit])
        found = policy.scores(batch)
        torch.testing.assert_close(policy.scores(batch).logps, found.logps)
        assert (found.mask.sum(-1) <= 12).all()
        assert found.mask.any(-1).all()
        assert found.lengths.tolist() == found.mask.sum(-1).tolist()
        assert (found.weights[~found.mask] == 0).all()
        masks.append(tuple(found.mask.int().argmax(-1).tolist()))
    assert len(set(masks)) > 2


def test_random_windows_cannot_be_scored_ahead(make_policy) -> None:
    policy = make_policy(window=12, stride=6, window_mode="paired_random")
    with pytest.raises(CapabilityError, match="window_mode exact"):
        policy.replays(batch_of(policy))


def test_places_are_uniform_and_belong_to_record_and_visit() -> None:
    places = torch.tensor([[place_of(f"r{r}", v, 0) for v in range(20)] for r in range(50)])
    assert places.min() >= 0
    assert places.max() < 1
    assert abs(places.mean().item() - 0.5) < 0.03
    assert len(places.unique()) == 1000
    assert place_of("r3", 4, 0) == places[3, 4]
    assert place_of("r3", 4, 1) != places[3, 4]
