"""Progressive search: its schedule on scripts, its distribution on a policy that can be enumerated."""

import itertools
import json

import pytest
import torch

from prefalign.data.build import build
from prefalign.data.sources import iterate, open_records
from prefalign.data.stages import Sample, identity
from prefalign.data.store import write_records
from prefalign.inference.best_of_n import BestOfN
from prefalign.inference.progressive import ProgressiveSearch
from prefalign.interfaces import CapabilityError, PrefalignError, PreferenceRecord, Prompt, Response, Unary
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.policies.token import TokenPolicy
from prefalign.rewards.token import TokenReward
from prefalign.testing.denoisers import SmallDenoiser
from prefalign.testing.tiny import LLAMA, save_tokenizer


def worth(text):
    """A number of its own for every word, whose first letters count most: c before a before b."""
    return sum((1 + "bac".index(letter)) * 4.0**-i for i, letter in enumerate(text))


def doubled(prompt, generator):
    """Another wording: the old one and a random letter."""
    return Prompt(text=prompt.text + chr(int(torch.randint(97, 123, (1,), generator=generator))))


def words(rows):
    return [[response.text for response in row] for row in rows]


# The schedule


def test_calls_and_judgements_are_what_the_schedule_says(chain, judge, seeded, prompt):
    """Budget 8 in pieces of 3 is 3, 3 and 2; each of 3 prompts has 4 answers judged in each round: 36 judgements."""
    policy, asked = chain(longest=99, ends=False), judge(worth)
    prompts = [prompt, Prompt(text="q"), Prompt(text="r")]
    search = ProgressiveSearch(policy, asked, beams=4, keep=2, units=3, budget=8)
    found = search.sample(prompts, 2, generator=seeded(), temperature=0.7)
    assert policy.calls == [("extend", 12, units, {"temperature": 0.7}) for units in (3, 3, 2)]
    assert len(asked.asked) == 36
    assert [text for text, _ in asked.asked[:12]] == ["p"] * 4 + ["q"] * 4 + ["r"] * 4
    assert [len(text) for _, text in asked.asked] == [3] * 12 + [6] * 12 + [8] * 12
    assert [len(row) for row in found] == [2, 2, 2]


def test_survivors_keep_their_slots_and_the_others_are_copies_in_turn(chain, judge, seeded, prompt):
    search = ProgressiveSearch(chain(longest=99, ends=False), judge(worth), beams=7, keep=3, units=1, budget=6)
    for seed in range(10):
        (trace,) = search.search([prompt], generator=seeded(seed))
        assert len(trace) == 6
        assert [beam.parent for beam in trace[0]] == [None] * 7
        for before, after in itertools.pairwise(trace):
            best = sorted(range(7), key=lambda slot: (-before[slot].response.scores["reward"], slot))[:3]
            expected = {slot: slot for slot in best}
            expected |= dict(zip([s for s in range(7) if s not in best], [*best, *best], strict=False))
            assert {slot: beam.parent for slot, beam in enumerate(after)} == expected
            for beam in after:
                assert beam.response.text[:-1] == before[beam.parent].response.text
                assert beam.response.scores == {"reward": worth(beam.response.text)}
        (best,) = search.sample([prompt], 3, generator=seeded(seed))
        last = [beam.response for beam in trace[-1]]
        assert best == sorted(last, key=lambda response: -response.scores["reward"])[:3]


def test_what_has_ended_stays_in_the_pool_and_is_neither_extended_nor_judged_again(script, judge, seeded, prompt):
    policy, asked = script(["z.", "a"], ["b"], ["c"]), judge({"z": 2.0, "a": 1.0, "ab": 1.5, "abc": 1.8}.get)
    search = ProgressiveSearch(policy, asked, beams=2, keep=2, units=1, budget=3)
    ((best,),) = search.sample([prompt], generator=seeded())
    assert (best.text, best.scores) == ("z", {"reward": 2.0})
    assert policy.seen == [["", ""], ["a"], ["ab"]]
    assert [text for _, text in asked.asked] == ["z", "a", "ab", "abc"]


def test_what_has_ended_is_not_copied(script, judge, seeded, prompt):
    """The best has ended: both losers' slots go to copies of the second best."""
    policy = script(["z.", "a", "b", "c"], ["x", "y", "w"])
    asked = judge(lambda text: {"z": 3.0, "b": 2.0}.get(text, 1.0))
    (trace,) = ProgressiveSearch(policy, asked, beams=4, keep=2, units=1, budget=2).search([prompt], generator=seeded())
    assert policy.seen[1] == ["b", "b", "b"]
    assert [(beam.response.text, beam.parent, beam.ended) for beam in trace[1]] == [
        ("z", 0, True),
        ("bx", 2, False),
        ("by", 2, False),
        ("bw", 2, False),
    ]


def test_the_search_is_over_when_all_survivors_have_ended(script, judge, seeded, prompt):
    """The second prompt goes on alone."""
    policy = script(["z.", "a", "c", "d"], ["e", "f"])
    asked = judge({"z": 2.0, "a": 1.0, "c": 1.0, "d": 0.0, "ce": 0.5, "cf": 0.7}.get)
    search = ProgressiveSearch(policy, asked, beams=2, keep=1, units=1, budget=2)
    found = search.sample([prompt, Prompt(text="q")], 2, generator=seeded())
    assert policy.seen == [["", "", "", ""], ["c", "c"]]
    assert words(found) == [["z", "a"], ["cf", "ce"]]


def test_no_round_is_wasted_when_everything_has_ended(chain, judge, seeded, prompt):
    policy = chain(longest=2)
    ProgressiveSearch(policy, judge(worth), beams=3, keep=2, units=1, budget=50).sample([prompt], generator=seeded())
    assert len(policy.calls) == 2


# What cannot be judged


def test_what_cannot_be_judged_yet_may_go_on(chain, judge, seeded, prompt):
    asked = judge(lambda text: worth(text) if len(text) > 2 else None)
    search = ProgressiveSearch(chain(longest=99, ends=False), asked, beams=3, keep=1, units=1, budget=4)
    ((best,),) = search.sample([prompt], generator=seeded())
    assert len(best.text) == 4


def test_what_can_never_be_judged_makes_room_for_what_may_be(script, judge, seeded, prompt):
    policy = script(["x.", "y"], ["a", "b"])
    asked = judge({"ya": 1.0, "yb": 2.0}.get)
    found = ProgressiveSearch(policy, asked, beams=2, keep=1, units=1, budget=2).sample([prompt], 2, generator=seeded())
    assert policy.seen[1] == ["y", "y"]
    assert words(found) == [["yb", "ya"]]


def test_the_worst_number_is_better_than_none(script, judge, seeded, prompt):
    policy = script(["x", "y"], ["a", "b"])
    asked = judge(lambda text: None if "x" in text else -1e30)
    found = ProgressiveSearch(policy, asked, beams=2, keep=1, units=1, budget=2).sample([prompt], 2, generator=seeded())
    assert policy.seen[1] == ["y", "y"]
    assert words(found) == [["ya", "yb"]]


def test_where_all_are_invalid_there_is_no_answer(chain, judge, seeded, prompt):
    search = ProgressiveSearch(chain(), judge(lambda text: None), beams=3, keep=2, units=1, budget=3)
    assert search.sample([prompt] * 2, 2, generator=seeded()) == [[], []]


# Mutated prompts


def test_mutated_prompts_lead_and_the_original_judges(chain, judge, seeded, prompt):
    asked = judge(worth)
    policy = chain(longest=99, ends=False)
    search = ProgressiveSearch(policy, asked, beams=5, keep=2, units=1, budget=4, mutate=doubled)
    (trace,) = search.search([prompt], generator=seeded(1))
    assert {text for text, _ in asked.asked} == {"p"}
    assert trace[0][0].prompt == prompt
    assert all(len(beam.prompt.text) == 2 and beam.prompt.text[0] == "p" for beam in trace[0][1:])
    for before, after in itertools.pairwise(trace):
        new = [slot for slot, beam in enumerate(after) if beam.parent != slot]
        assert len(new) == 3
        assert after[new[0]].prompt == prompt
        for slot in new[1:]:
            assert after[slot].prompt.text[:-1] == before[after[slot].parent].prompt.text
        for slot in set(range(5)) - set(new):
            assert after[slot].prompt == before[slot].prompt


def test_prompts_are_mutated_only_for_beams_that_are_written_on(chain, judge, seeded, prompt):
    """3 in the beginning, then 1 of the two copies after each of 3 rounds; none after the last."""
    calls = []
    search = ProgressiveSearch(
        chain(longest=99, ends=False), judge(worth), 4, 2, 1, 4, mutate=lambda p, g: calls.append(p) or p
    )
    search.sample([prompt], generator=seeded())
    assert len(calls) == 3 + 3 * 1


def test_the_policy_is_asked_the_mutated_prompts(judge, seeded, prompt):
    class Echo:
        """Writes the last letter of the prompt that it is asked."""

        def extend(self, prompts, begun, units, *, generator):
            from prefalign.interfaces import Extension

            texts = [(one.text if one else "") + p.text[-1] for p, one in zip(prompts, begun, strict=True)]
            return [Extension(Response(text=text), False) for text in texts]

    search = ProgressiveSearch(Echo(), judge(lambda text: 0.0), beams=3, keep=1, units=1, budget=2, mutate=doubled)
    (trace,) = search.search([prompt], generator=seeded())
    for pool in trace:
        assert [beam.response.text[-1] for beam in pool] == [beam.prompt.text[-1] for beam in pool]
    assert trace[1][0].response.text == "pp"


def test_the_same_generator_finds_the_same(chain, judge, seeded, prompt):
    search = ProgressiveSearch(chain(9), judge(worth), beams=4, keep=2, units=2, budget=9, mutate=doubled)
    first, again, other = (search.search([prompt] * 3, generator=seeded(seed)) for seed in (5, 5, 6))
    assert first == again
    assert first != other


# What theory says


def test_one_round_is_best_of_n(chain, judge, seeded, prompt):
    """The same rows in the same order: the same answers to the last letter."""
    prompts = [prompt, Prompt(text="q")] * 20
    search = ProgressiveSearch(chain(), judge(worth), beams=5, keep=2, units=3, budget=3)
    best = BestOfN(chain(), judge(worth), 5)
    assert search.sample(prompts, 3, generator=seeded()) == best.sample(prompts, 3, generator=seeded())


def test_keeping_all_beams_is_best_of_n_in_distribution(chain, judge, seeded, fits, prompt):
    """P(best of 2) = F² − F⁻², after three rounds of one letter."""
    policy = chain(longest=3)
    search = ProgressiveSearch(policy, judge(worth), beams=2, keep=2, units=1, budget=3)
    drawn = [text for (text,) in words(search.sample([prompt] * 2_000, generator=seeded()))]
    expected, below = {}, 0.0
    for text, mass in sorted(policy.probabilities().items(), key=lambda item: worth(item[0])):
        expected[text] = (below + mass) ** 2 - below**2
        below += mass
    assert fits(drawn, expected)
    assert not fits(drawn, policy.probabilities())


def test_replacing_beams_has_the_distribution_of_its_schedule(chain, judge, seeded, fits, prompt):
    """Two beams of two letters, one survivor: the better of two first letters is written on twice; enumerated."""
    policy = chain(longest=2)
    after = {first: {} for first in "abc"}
    for text, mass in policy.probabilities().items():
        after[text[0]][text] = mass / sum(m for t, m in policy.probabilities().items() if t[0] == text[0])
    first = {letter: sum(m for t, m in policy.probabilities().items() if t[0] == letter) for letter in "abc"}
    expected = dict.fromkeys(policy.probabilities(), 0.0)
    for (x, p), (y, q) in itertools.product(first.items(), repeat=2):
        kept = max((x, y), key=worth)
        for (u, r), (v, s) in itertools.product(after[kept].items(), repeat=2):
            expected[max((u, v), key=worth)] += p * q * r * s
    search = ProgressiveSearch(policy, judge(worth), beams=2, keep=1, units=1, budget=2)
    drawn = [text for (text,) in words(search.sample([prompt] * 3_000, generator=seeded()))]
    assert fits(drawn, expected)


@pytest.mark.parametrize(("beams", "keep", "units"), [(4, 2, 1), (3, 1, 2), (5, 4, 1)])
def test_a_reward_that_is_the_same_for_all_leaves_the_policy_as_it_is(
    chain, judge, seeded, fits, prompt, beams, keep, units
):
    policy = chain(longest=3)
    search = ProgressiveSearch(policy, judge(lambda text: 0.5), beams=beams, keep=keep, units=units, budget=3)
    drawn = [text for (text,) in words(search.sample([prompt] * 2_000, generator=seeded()))]
    assert fits(drawn, policy.probabilities())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (lambda text: float(text.count("a")), (5.80, 4.14, 5.35)),
        (lambda text: float(text.endswith("ab")), (0.31, 0.44, 0.99)),
    ],
    ids=["adds up", "at the end"],
)
def test_the_search_pays_where_good_beginnings_make_good_answers(chain, judge, seeded, prompt, value, expected):
    """The table of docs/inference.md: words of eight letters, 32 letters written, 32 judgements of a prompt.

    Against best-of-4, which writes as many letters, and best-of-32, which asks as many judgements.
    """
    policy, asked = chain(longest=8, ends=False), judge(value)
    search = ProgressiveSearch(policy, asked, beams=4, keep=1, units=1, budget=8)
    for sampler, mean in zip((search, BestOfN(policy, asked, 4), BestOfN(policy, asked, 32)), expected, strict=True):
        scores = [row[0].scores["reward"] for row in sampler.sample([prompt] * 400, generator=seeded())]
        deviation = torch.tensor(scores).std().item() / 400**0.5
        assert abs(sum(scores) / 400 - mean) < 4 * deviation + 0.005


# Real policies, rewards and builders


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def test_a_language_model_is_searched_under_a_reward_model(tokenizer, seeded):
    """One round equals best-of-N, text by text, though the search knows the tokens; pieces are reproducible."""
    policy, reward = TokenPolicy(dict(LLAMA), tokenizer), TokenReward(dict(LLAMA), tokenizer, init_seed=1)
    prompts = [Prompt(text="a: "), Prompt(text="a longer one: ")]
    search = ProgressiveSearch(policy, reward, beams=3, keep=2, units=6, budget=6)
    found = search.sample(prompts, 3, generator=seeded())
    best = BestOfN(policy, reward, 3).sample(prompts, 3, generator=seeded(), max_new_tokens=6)
    assert words(found) == words(best)
    for mine, theirs in zip(itertools.chain(*found), itertools.chain(*best), strict=True):
        assert mine.scores == pytest.approx(theirs.scores)
        assert mine.token_ids is not None
    piecewise = ProgressiveSearch(policy, reward, beams=3, keep=2, units=2, budget=6)
    first = piecewise.sample(prompts, generator=seeded())
    assert first == piecewise.sample(prompts, generator=seeded())
    assert all(len(row[0].token_ids) <= 6 for row in first)
    record = PreferenceRecord(id="r", prompt=prompts[0], responses=tuple(first[0]), verdict=Unary((True,)))
    assert policy.encode(record).rows[0].completion == list(first[0][0].token_ids)


def test_a_reward_does_not_read_ids_of_the_policys_vocabulary(judge, seeded, prompt):
    class Numbered:
        def extend(self, prompts, begun, units, *, generator):
            from prefalign.interfaces import Extension

            return [Extension(Response(text="a", token_ids=(7,)), True) for _ in prompts]

    search = ProgressiveSearch(Numbered(), judge(lambda text: 1.0), beams=2, keep=1)  # the judge asserts it
    ((best,),) = search.sample([prompt], generator=seeded())
    assert best.token_ids == (7,)


def test_the_searched_answers_are_distilled_by_the_builder(chain, tmp_path):
    records = [
        PreferenceRecord(id=f"r{i}", prompt=Prompt(text="p"), responses=(Response(text="-"),), verdict=Unary((True,)))
        for i in range(4)
    ]
    write_records(records, tmp_path / "in.jsonl")
    source = open_records(tmp_path / "in.jsonl")
    search = ProgressiveSearch(chain(), valued, beams=3, keep=1, units=1, budget=3, mutate=doubled)
    manifest = build(source, [Sample(search)], tmp_path / "out", seed=0)
    for record in iterate(open_records(tmp_path / "out")):
        assert [response.scores for response in record.responses] == [{"reward": worth(record.responses[0].text)}]
    described = manifest["stages"][0]["settings"]["policy"]
    assert described == json.loads(json.dumps(identity(search)))
    assert {name: described[name] for name in ("beams", "keep", "units", "budget")} == {
        "beams": 3,
        "keep": 1,
        "units": 1,
        "budget": 3,
    }
    assert described["mutate"]["class"].endswith(".doubled")


def valued(record):
    return [worth(response.text) for response in record.responses]


@pytest.mark.parametrize("policy", [DenoisingPolicy(SmallDenoiser()), object()], ids=["denoiser", "anything"])
def test_a_policy_that_makes_wholes_is_refused_before_anything_is_drawn(policy, judge):
    with pytest.raises(CapabilityError, match=r"cannot extend what it has begun.*BestOfN"):
        ProgressiveSearch(policy, judge(worth))


@pytest.mark.parametrize(
    "wrong",
    [{"beams": 2, "keep": 3}, {"keep": 0}, {"units": 0}, {"budget": 0}, {"beams": 0, "keep": 0}],
)
def test_settings_that_make_no_search_are_refused(chain, judge, wrong):
    with pytest.raises(PrefalignError, match="expected 1 <= keep <= beams"):
        ProgressiveSearch(chain(), judge(worth), **wrong)


def test_what_cannot_be_sampled_is_refused_before_anything_is_drawn(chain, judge, prompt, seeded):
    policy = chain()
    search = ProgressiveSearch(policy, judge(worth), beams=3, keep=2)
    with pytest.raises(PrefalignError, match="all 3 candidates would be the same greedy answer"):
        search.sample([prompt])
    with pytest.raises(PrefalignError, match="k from 1 to the 3 answers that are written, got 4"):
        search.sample([prompt], 4, generator=seeded())
    assert policy.calls == []
