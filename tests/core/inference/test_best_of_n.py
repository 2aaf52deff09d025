"""Best-of-N on a policy that can be enumerated, and its divergence against the bound."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.data.build import build, run_stages
from prefalign.data.sources import iterate, open_records
from prefalign.data.stages import Sample
from prefalign.data.store import write_records
from prefalign.inference.best_of_n import BestOfN, best_of_n_kl
from prefalign.interfaces import PrefalignError, PreferenceRecord, Prompt, RecordError, Response, Unary
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.testing.denoisers import SmallDenoiser


def worth(text):
    """A number of its own for every word: its letters as digits, c before a before b."""
    return sum((1 + "cab".index(letter)) * 4.0**-i for i, letter in enumerate(text))


def best_probabilities(probabilities, reward, n):
    """P(y is the best of n) = F(y)ⁿ − F⁻(y)ⁿ, where no two rewards are equal (arXiv 2401.01879, section 2)."""
    found, below = {}, 0.0
    for text in sorted(probabilities, key=reward):
        found[text] = (below + probabilities[text]) ** n - below**n
        below += probabilities[text]
    return found


def divergence(first, second):
    return sum(mass * math.log(mass / second[text]) for text, mass in first.items() if mass > 0)


def test_the_best_of_three_has_the_distribution_of_theory(chain, judge, seeded, fits, prompt):
    policy = chain(longest=2)
    drawn = BestOfN(policy, judge(worth), 3).sample([prompt] * 5_000, generator=seeded())
    expected = best_probabilities(policy.probabilities(), worth, 3)
    assert fits([response.text for (response,) in drawn], expected)
    for other in (policy.probabilities(), best_probabilities(policy.probabilities(), worth, 4)):
        assert not fits([response.text for (response,) in drawn], other)


def test_the_best_come_first_with_their_scores(chain, judge, seeded, prompt):
    asked = judge(worth)
    sampler = BestOfN(chain(), asked, 6, name="worth")
    prompts = [prompt, Prompt(text="q")]
    everything = sampler.candidates(prompts, generator=seeded())
    best = sampler.sample(prompts, 2, generator=seeded())
    for drawn, found in zip(everything, best, strict=True):
        assert [r.scores for r in drawn] == [{"worth": worth(r.text)} for r in drawn]
        assert [r.scores["worth"] for r in found] == sorted((r.scores["worth"] for r in drawn), reverse=True)[:2]
    assert asked.asked == 2 * [(p.text, r.text) for p, drawn in zip(prompts, everything, strict=True) for r in drawn]


def test_one_call_of_the_policy_with_its_options(chain, judge, seeded, prompt):
    policy = chain()
    BestOfN(policy, judge(worth), 5).sample([prompt] * 3, 2, generator=seeded(), temperature=0.5)
    assert policy.calls == [("sample", 15, 3, {"temperature": 0.5})]


def test_of_equal_scores_the_first_drawn_wins(chain, judge, seeded, prompt):
    sampler = BestOfN(chain(), judge(lambda text: 1.0), 5)
    (drawn,) = sampler.candidates([prompt], generator=seeded())
    assert sampler.sample([prompt], 3, generator=seeded()) == [drawn[:3]]


def test_invalid_answers_never_win(chain, judge, seeded, prompt):
    """The reward cannot judge what has a c in it; such candidates are kept in sight, without a score."""
    sampler = BestOfN(chain(), judge(lambda text: None if "c" in text else -1e9), 8)
    for seed in range(20):
        (drawn,) = sampler.candidates([prompt], generator=seeded(seed))
        (found,) = sampler.sample([prompt], 8, generator=seeded(seed))
        assert found == [r for r in drawn if "c" not in r.text]
        assert [r.scores for r in drawn] == [{} if "c" in r.text else {"reward": -1e9} for r in drawn]


def test_where_all_are_invalid_there_is_no_answer(chain, judge, seeded, prompt):
    assert BestOfN(chain(), judge(lambda text: None), 4).sample([prompt] * 2, 2, generator=seeded()) == [[], []]


def test_blank_answers_are_not_shown_to_the_judge(judge, seeded, prompt):
    class Blank:
        def sample(self, prompts, n, *, generator):
            return [[Response(text=text) for text in ("", " ", "a", "\n")][:n] for _ in prompts]

    asked = judge(lambda text: 1.0)
    sampler = BestOfN(Blank(), asked, 4)
    assert [[r.text for r in row] for row in sampler.sample([prompt], 4, generator=seeded())] == [["a"]]
    assert asked.asked == [("p", "a")]
    assert BestOfN(Blank(), asked, 2).sample([prompt], 2, generator=seeded()) == [[]]


def test_an_old_score_of_the_same_name_does_not_stand_for_a_judgement(judge, seeded, prompt):
    class Scored:
        def sample(self, prompts, n, *, generator):
            return [[Response(text="a", scores={"reward": 9.0, "other": 1.0}), Response(text="b")]]

    sampler = BestOfN(Scored(), judge(lambda text: None if text == "a" else 0.0), 2)
    assert [r.text for r in sampler.sample([prompt], 2, generator=seeded())[0]] == ["b"]
    assert sampler.candidates([prompt], generator=seeded())[0][0].scores == {"other": 1.0}


def test_a_policy_that_makes_wholes_serves_as_well(seeded, prompt):
    policy = DenoisingPolicy(SmallDenoiser())
    sizes = [abs(r.arrays["latents"]).sum() for r in policy_draws(policy, 5, prompt, seeded())]
    sampler = BestOfN(policy, lambda record: [float(abs(r.arrays["latents"]).sum()) for r in record.responses], 5)
    ((best,),) = sampler.sample([prompt], generator=seeded(), steps=2)
    assert best.scores["reward"] == pytest.approx(max(sizes))
    assert len(set(sizes)) == 5


def policy_draws(policy, n, prompt, generator):
    policy.configure_model()
    return policy.sample([prompt], n, generator=generator, steps=2)[0]


@pytest.mark.parametrize("n", [0, -1])
def test_less_than_one_candidate_is_refused(chain, judge, n):
    with pytest.raises(PrefalignError, match=f"n of at least 1, got {n}"):
        BestOfN(chain(), judge(worth), n)
    with pytest.raises(PrefalignError, match=f"n of at least 1, got {n}"):
        best_of_n_kl(n)


def test_what_cannot_be_sampled_is_refused_before_anything_is_drawn(chain, judge, seeded, prompt):
    policy = chain()
    sampler = BestOfN(policy, judge(worth), 4)
    for k in (0, 5):
        with pytest.raises(PrefalignError, match=f"k from 1 to the 4 answers that are drawn, got {k}"):
            sampler.sample([prompt], k, generator=seeded())
    with pytest.raises(PrefalignError, match="all 4 candidates would be the same greedy answer"):
        sampler.sample([prompt])
    with pytest.raises(PrefalignError, match="unknown criterion 'c'"):
        BestOfN(policy, judge(worth), 4, criterion="c")
    assert policy.calls == []


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_an_error(chain, judge, seeded, prompt, bad):
    with pytest.raises(RecordError, match="record 'prompt-1', field 'responses': the judge 'reward'"):
        BestOfN(chain(longest=1), judge(lambda text: bad), 2).judged([prompt, prompt], [[], [Response(text="a")]])


def test_a_judge_of_another_number_of_answers_is_an_error(chain, seeded, prompt):
    with pytest.raises(RecordError, match="gave 1 scores for 3 responses"):
        BestOfN(chain(), lambda record: [1.0], 3).sample([prompt], generator=seeded())


# The builder


def inputs(folder, count=6):
    records = [
        PreferenceRecord(
            id=f"r{i}", prompt=Prompt(text=f"p{i}"), responses=(Response(text="-"),), verdict=Unary((True,))
        )
        for i in range(count)
    ]
    write_records(records, folder / "in.jsonl")
    return open_records(folder / "in.jsonl")


def test_the_best_answers_are_distilled_by_the_builder(chain, tmp_path):
    """Each record's answers are those of best-of-8 on its own, with the score that made them win."""
    source = inputs(tmp_path)
    stage = Sample(BestOfN(chain(), a_lot, 8), n=2)
    manifest = build(source, [stage], tmp_path / "out", seed=3)
    found = list(iterate(open_records(tmp_path / "out")))
    assert len(found) == 6
    for record in found:
        scores = [response.scores["reward"] for response in record.responses]
        assert scores == [a_count(response.text) for response in record.responses] == sorted(scores, reverse=True)
    plain = list(run_stages(iterate(source), [Sample(chain(), n=2)], seed=3))
    drawn = [response.text for record in plain for response in record.responses]
    assert sum(r.scores["reward"] for record in found for r in record.responses) > sum(map(a_count, drawn))
    described = manifest["stages"][0]["settings"]["policy"]
    assert described["n"] == 8
    assert described["policy"]["class"].endswith(".Chain")
    assert described["reward"]["class"].endswith(".a_lot")
    assert build(source, [stage], tmp_path / "again", seed=3)["outputs"] == manifest["outputs"]


def test_other_settings_are_another_plan(chain, tmp_path):
    source = inputs(tmp_path)
    build(source, [Sample(BestOfN(chain(), a_lot, 8))], tmp_path / "out", seed=3)
    with pytest.raises(PrefalignError, match=r"policy\.n was 8, is 4"):
        build(source, [Sample(BestOfN(chain(), a_lot, 4))], tmp_path / "out", seed=3)
    with pytest.raises(PrefalignError, match=r"policy\.reward\.class was"):
        build(source, [Sample(BestOfN(chain(), nothing, 8))], tmp_path / "out", seed=3)


def test_a_prompt_without_a_valid_answer_is_left_out_and_counted(chain, tmp_path):
    manifest = build(inputs(tmp_path), [Sample(BestOfN(chain(), nothing, 3))], tmp_path / "out", seed=3)
    assert manifest["stages"][0]["dropped"] == {"no candidate was found worth an answer": 6}


def a_count(text):
    return float(text.count("a"))


def a_lot(record):
    return [a_count(response.text) for response in record.responses]


def nothing(record):
    return [None] * len(record.responses)


# The divergence


def test_the_bound_by_hand():
    """n = 1 is the policy itself; n = 2: log 2 − 1/2; n = 4: log 4 − 3/4."""
    assert [best_of_n_kl(n) for n in (1, 2, 4)] == pytest.approx([0.0, 0.1931471806, 0.6362943611])


@pytest.mark.parametrize("n", [1, 2, 3, 8, 64])
def test_the_exact_divergence_stays_below_the_bound(chain, n):
    policy = chain().probabilities()
    exact = divergence(best_probabilities(policy, worth, n), policy)
    best = max(policy, key=worth)
    assert exact <= min(best_of_n_kl(n), -math.log(policy[best])) + 1e-12
    assert n == 1 or exact < best_of_n_kl(n) - 1e-3


@pytest.mark.parametrize("n", [2, 4, 16])
def test_the_bound_is_reached_where_no_answer_is_likely(n):
    uniform = dict.fromkeys(range(200_000), 1 / 200_000)
    exact = divergence(best_probabilities(uniform, float, n), uniform)
    assert exact == pytest.approx(best_of_n_kl(n), abs=1e-4)


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=12), st.integers(1, 50))
def test_no_policy_goes_beyond_the_bound(weights, n):
    policy = {i: weight / sum(weights) for i, weight in enumerate(weights)}
    assert divergence(best_probabilities(policy, float, n), policy) <= best_of_n_kl(n) + 1e-9


def test_a_reward_that_is_the_same_for_all_leaves_the_policy_as_it_is(chain, judge, seeded, fits, prompt):
    """Divergence 0, while the bound says 0.64."""
    policy = chain(longest=2)
    drawn = BestOfN(policy, judge(lambda text: 0.0), 4).sample([prompt] * 2_000, generator=seeded())
    assert fits([response.text for (response,) in drawn], policy.probabilities())
