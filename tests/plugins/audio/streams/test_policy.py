"""Scores of songs: brute force, references, every pairwise objective, and reductions."""

import math

import numpy as np
import pytest
import torch

from prefalign.interfaces import CapabilityError, Pair, PrefalignError, PreferenceRecord, Prompt, Response, Segment
from prefalign.objectives.dpo import DPO
from prefalign.objectives.reference_free import CPO, ORPO, AlphaPO, SimPO
from prefalign.objectives.repo import REPO
from prefalign.objectives.unary import BCO
from prefalign.policies.cached import Cached
from prefalign.policies.reference import Frozen
from prefalign_audio.streams.conditions.song import SongConditions
from prefalign_audio.streams.contract import ready
from prefalign_audio.streams.models.lelm import LeLMModel
from prefalign_audio.streams.policy import StreamPolicy

DELAYS = [0, 1, 2]
WORDS = SongConditions(["a", "n"])


def policy_of(delays=DELAYS, dtype="float32", **settings):
    values = {"delays": delays, "codes": [6, 5, 4]}
    policy = StreamPolicy(ready(lambda: LeLMModel(values, WORDS, dtype=dtype), 0.2), **settings)
    policy.configure_model()
    return policy


def song(seed, frames, **rest):
    generator = np.random.default_rng(seed)
    codes = np.stack([generator.integers(0, count, frames) for count in (6, 5, 4)])
    arrays = {"codes": codes} | ({"unfinished": np.array(True)} if rest.pop("unfinished", False) else {})
    return Response(arrays=arrays, **rest)


def records():
    """Unequal prompts and lengths, an unfinished song, weighted frames."""
    prompts = [
        Prompt(conditions={"syllables": [{"phonemes": ["n", "a"], "ends_word": True}] * 3, "mode": "minor"}),
        Prompt(conditions={"register": "low"}),
        Prompt(),
    ]
    weighted = song(2, 6, segments=(Segment(1, 4, 0.5, "frame"), Segment(4, 5, -2.0, "frame")))
    pairs = [(song(0, 3), song(1, 5, unfinished=True)), (weighted, song(3, 2)), (song(4, 1), song(5, 4))]
    return [
        PreferenceRecord(id=str(number), prompt=prompt, responses=pair, verdict=Pair(0, 1))
        for number, (prompt, pair) in enumerate(zip(prompts, pairs, strict=True))
    ]


def batch_of(policy, given=None):
    return policy.collate([policy.encode(record) for record in given or records()])


@torch.no_grad()
def brute(policy, record, response):
    """Per stream: the log-probabilities, by frame, of one song alone, each from the full softmax of its own step."""
    model, network = policy.family, policy.family.network
    codes = torch.from_numpy(response.arrays["codes"])
    ends, blanks = model.layout.end, model.layout.fill
    finished = "unfinished" not in response.arrays
    steps = codes.shape[1] + max(DELAYS) + 1
    ids = torch.tensor(blanks)[:, None].repeat(1, steps + 1)
    for k, delay in enumerate(DELAYS):
        for frame in range(codes.shape[1]):
            ids[k, 1 + frame + delay] = codes[k, frame]
        if finished:
            ids[k, 1 + codes.shape[1] + delay] = ends[k]
    told = model.conditioner.collate([model.conditioner.encode(record.prompt)])
    found = [[] for _ in DELAYS]
    for k, delay in enumerate(DELAYS):
        for frame in range(codes.shape[1] + (finished and k == 0)):
            read = ids[None, :, : 1 + frame + delay]
            present = torch.ones(1, read.shape[-1], dtype=torch.bool)
            mixed, parts = network(read, present, told["ids"], told["mask"])
            logits = network.head(k)((mixed if k == 0 else parts)[0, -1])
            found[k].append(float(logits.double().log_softmax(-1)[ids[k, 1 + frame + delay]]))
    return found


@torch.no_grad()
def test_scores_are_those_of_one_prediction_after_another():
    weights = [1.0, 0.25, -2.0]
    policy = policy_of(stream_weights=weights)
    scores = policy.scores(batch_of(policy))
    sums, counts = scores.by_stream(3)
    row = 0
    for record in records():
        for response in record.responses:
            found = brute(policy, record, response)
            assert counts[row].tolist() == [len(stream) for stream in found]
            assert scores.lengths[row] == sum(map(len, found))
            assert torch.allclose(sums[row], torch.tensor([sum(stream) for stream in found]), atol=1e-4)
            frames = np.ones(response.arrays["codes"].shape[1] + 1)
            for segment in response.segments:
                frames[segment.start : segment.stop] = segment.weight
            expected = sum(
                weight * frame * value
                for weight, stream in zip(weights, found, strict=True)
                for frame, value in zip(frames, stream, strict=False)
            )
            assert math.isclose(float(scores.logps[row]), expected, abs_tol=2e-4)
            row += 1


@torch.no_grad()
def test_streams_of_weight_zero_are_not_scored():
    whole, alone = policy_of(), policy_of(stream_weights=[0.0, 1.0, 0.0])
    batch = batch_of(whole)
    sums, counts = whole.scores(batch).by_stream(3)
    scores = alone.scores(batch)
    assert torch.allclose(scores.logps, alone.restored(alone.stored(scores), batch).logps)
    own, numbers = scores.by_stream(3)
    assert torch.allclose(own[:, 1], sums[:, 1], atol=1e-5)
    assert torch.equal(numbers[:, 1], counts[:, 1])
    assert not own[:, [0, 2]].any()
    assert not numbers[:, [0, 2]].any()
    assert set(alone.keys(batch)).isdisjoint(whole.keys(batch))


@torch.no_grad()
def test_collision_and_entropy_are_those_of_the_full_softmax():
    policy = policy_of(stream_weights=[1.0, 0.0, 0.0])
    batch = batch_of(policy)
    scores = policy.scores(batch, frozenset({"collision", "entropy"}))
    told = {name.removeprefix("condition."): value for name, value in batch.inputs.items() if "condition." in name}
    states, head = policy.family.hidden(
        batch.inputs["ids"],
        batch.inputs["present"],
        {name: value[batch.inputs["prompt"]] for name, value in told.items()},
        [0],
    )[0]
    logs = head(states).log_softmax(-1)
    assert torch.allclose(scores.collision[scores.mask], (2 * logs).exp().sum(-1).log()[scores.mask], atol=1e-5)
    assert torch.allclose(scores.entropy[scores.mask], -(logs.exp() * logs).sum(-1)[scores.mask], atol=1e-5)


def test_chunks_change_nothing():
    """And no more logits than a chunk's exist at once."""
    found = []
    for size in (2, 1024):
        policy, rows = policy_of(chunk_size=size), []
        for k in range(3):
            head = policy.family.network.head(k)
            head.register_forward_hook(lambda _module, given, _out, rows=rows: rows.append(len(given[0])))
        logps = policy.scores(batch_of(policy)).logps
        logps.sum().backward()
        assert 0 < max(rows) <= size
        found.append((logps.detach(), policy.family.network.fusion[0].weight.grad))
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(*found, strict=True))


def test_cached_and_frozen_references_agree(tmp_path):
    policy = policy_of(stream_weights=[1.0, 0.5, 0.0])
    batch = batch_of(policy)
    cached, frozen = Cached(str(tmp_path)), Frozen()
    for reference in (cached, frozen):
        reference.configure(policy)
        reference.prepare(policy, [[batch]], None)
    with torch.no_grad():
        for parameter in policy.family.network.parameters():
            parameter.mul_(1.1)
    one, two = (reference.scores(policy, batch) for reference in (cached, frozen))
    for name in ("logps", "lengths", "token_logps", "mask", "weights", "streams"):
        assert torch.allclose(getattr(one, name).float(), getattr(two, name).float(), atol=1e-5), name
    assert not torch.allclose(policy.scores(batch).logps, one.logps, atol=1e-2)


LOSSES = ["sigmoid", "hinge", "ipo", "discopop", "nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down", "cpl"]
LOSSES += ["sigmoid_norm", "aot", "aot_unpaired"]
OBJECTIVES = {name: lambda name=name: DPO(beta=0.1, loss_type=name) for name in LOSSES}
OBJECTIVES |= {name: lambda name=name: DPO(loss_type=name, label_smoothing=0.1) for name in ("exo_pair", "robust")}
OBJECTIVES |= {"sft": lambda: DPO(loss_type="sft"), "ld": lambda: DPO(ld_alpha=0.5)}
OBJECTIVES |= {"weighted": lambda: DPO(use_weighting=True)}
OBJECTIVES |= {kind.__name__: kind for kind in (CPO, SimPO, ORPO, AlphaPO, REPO, BCO)}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_pairwise_objective_reads_songs(name):
    policy, objective = policy_of(), OBJECTIVES[name]()
    batch = batch_of(policy)
    scores = policy.scores(batch, objective.needs)
    output = objective(scores, scores.detach(), batch.relations)
    output.loss.backward()
    assert torch.isfinite(output.loss)
    gradients = [p.grad for p in policy.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_equal_models_lose_log_two():
    policy = policy_of()
    batch = batch_of(policy)
    scores = policy.scores(batch)
    loss = DPO(beta=0.1)(scores, scores.detach(), batch.relations).loss.detach()
    assert float(loss) == pytest.approx(math.log(2), abs=1e-6)


def test_the_gradient_is_that_of_finite_differences():
    """Of DPO through both decoders; float64, but for what Transformers rounds to float32 inside."""
    policy = policy_of(dtype="float64", stream_weights=[1.0, 0.5, 2.0])
    batch = batch_of(policy)
    with torch.no_grad():
        reference = policy.scores(batch).detach()
        for parameter in policy.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))

    def loss():
        return DPO(beta=0.3)(policy.scores(batch), reference, batch.relations).loss

    loss().backward()
    generator = torch.Generator().manual_seed(4)
    parameters = dict(policy.family.network.named_parameters())
    direction = {name: torch.randn(p.shape, generator=generator, dtype=p.dtype) for name, p in parameters.items()}
    slope = sum(float((p.grad * direction[name]).sum()) for name, p in parameters.items())
    values, step = [], 1e-4
    with torch.no_grad():
        for sign in (1, -2):
            for name, p in parameters.items():
                p.add_(sign * step * direction[name])
            values.append(float(loss().detach()))
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=1e-3)


def test_weights_of_one_stream_are_dpo_on_that_stream():
    """(1, 0, 0): the loss and the gradient of the mixed stream's log-probabilities, and of nothing else."""
    policy = policy_of(stream_weights=[1.0, 0.0, 0.0])
    batch = batch_of(policy, [record for record in records() if not record.responses[0].segments])
    with torch.no_grad():
        reference = policy.scores(batch).detach()
        for parameter in policy.parameters():
            parameter.mul_(1.1)
    DPO(beta=0.1)(policy.scores(batch), reference, batch.relations).loss.backward()
    own = {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}
    policy.zero_grad()
    whole = StreamPolicy(policy.family)
    whole.configure_model()
    mixed = whole.scores(batch).by_stream(3)[0][:, 0] - reference.logps
    chosen, rejected = batch.relations.chosen, batch.relations.rejected
    (-torch.nn.functional.logsigmoid(0.1 * (mixed[chosen] - mixed[rejected])).mean()).backward()
    for name, p in whole.named_parameters():
        if name in own:
            assert torch.allclose(own[name], p.grad, atol=1e-6), name
        else:
            assert not name.startswith("family.network.mixed")


def test_scores_of_one_stream_are_not_several():
    policy = policy_of()
    scores = policy.scores(batch_of(policy)).detach()
    scores.streams = None
    with pytest.raises(CapabilityError, match="several streams"):
        scores.by_stream(3)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1.0], "expected 3 finite"),
        ([0.0] * 3, "all 0"),
        ([1.0, math.nan, 1.0], "finite"),
        ([math.inf, 1, 1], "fin"),
    ],
)
def test_weights_that_are_none(weights, said):
    with pytest.raises(PrefalignError, match=said):
        StreamPolicy(LeLMModel({}, WORDS), stream_weights=weights)
