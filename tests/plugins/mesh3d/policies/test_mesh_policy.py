"""The policy in core's frame: scores, references, adapters, saving, what is refused; and a run through the command."""

import copy
import json

import pytest
import torch
import yaml
from tests.plugins.mesh3d.policies.conftest import POINTS, SIZES, a_record, tokens_of

from prefalign.cli.main import main
from prefalign.data.store import write_parquet
from prefalign.interfaces import PrefalignError, Unary
from prefalign.models.pretrained import LoraSettings
from prefalign.objectives.dpo import DPO
from prefalign.policies.cached import Cached
from prefalign.policies.reference import AdapterOff, Frozen
from prefalign_mesh3d.models.generator import MeshGenerator
from prefalign_mesh3d.policies.mesh_policy import MeshPolicy
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh


def batch_of(policy, *names: str):
    return policy.collate([policy.encode(a_record(name)) for name in names or ("a", "b")])


def test_scores_are_those_of_the_plain_model_row_by_row(make_policy) -> None:
    policy = make_policy()
    batch = batch_of(policy)
    found = policy.scores(batch, frozenset({"collision", "entropy"}))
    for row in range(4):
        ids = batch.inputs["input_ids"][row]
        points = batch.inputs["points"][batch.inputs["cloud"][row]]
        logs = policy.model(ids[None, :-1], points[None])[0].log_softmax(-1)
        length = int(found.lengths[row])
        expected = logs.gather(1, ids[1:, None])[:length, 0]
        torch.testing.assert_close(found.token_logps[row, :length], expected)
        torch.testing.assert_close(found.logps[row], expected.sum())
        torch.testing.assert_close(
            found.entropy[row, :length].double(), -(logs.exp() * logs).sum(-1)[:length], rtol=1e-5, atol=1e-5
        )
        torch.testing.assert_close(
            found.collision[row, :length].double(), (2 * logs).logsumexp(-1)[:length], rtol=1e-5, atol=1e-5
        )
        assert (found.token_logps[row, length:] == 0).all()


@pytest.mark.parametrize("windows", [{}, {"window": 12, "stride": 6}], ids=["whole", "windows"])
def test_at_the_reference_dpo_costs_log_2(make_policy, windows) -> None:
    policy = make_policy(**windows)
    reference = Frozen()
    reference.configure(policy)
    batch, objective = batch_of(policy), DPO()
    loss = objective(policy.scores(batch), reference.scores(policy, batch), batch.relations).loss
    torch.testing.assert_close(loss.item(), 0.6931471805599453)


def test_scores_pass_gradcheck(make_policy) -> None:
    policy = make_policy({"depths": [1]}, window=12, stride=6)
    batch = batch_of(policy, "a")
    weight = policy.model.norm.weight

    def total(value: torch.Tensor) -> torch.Tensor:
        policy.model.norm.weight = torch.nn.Parameter(value)
        policy.model.norm._parameters["weight"] = value
        return policy.scores(batch).logps

    torch.autograd.gradcheck(total, (weight.detach().clone().requires_grad_(),))


def test_a_cached_reference_gives_the_frozen_ones_numbers(make_policy, tmp_path) -> None:
    policy = make_policy(window=12, stride=6)
    frozen, cached = Frozen(), Cached(str(tmp_path))
    batch = batch_of(policy)
    for reference in (frozen, cached):
        reference.configure(policy)
        reference.prepare(policy, [[batch]], tmp_path)
    with torch.no_grad():
        policy.model.head.weight.add_(0.1)
    torch.testing.assert_close(
        cached.scores(policy, batch).logps.double(), frozen.scores(policy, batch).logps, rtol=1e-6, atol=1e-5
    )


def test_an_adapter_begins_as_its_reference_and_alone_is_trained(make_policy, tmp_path) -> None:
    policy = make_policy(lora=LoraSettings(r=2, alpha=4), window=12, stride=6)
    plain = make_policy(window=12, stride=6)
    batch = batch_of(policy)
    torch.testing.assert_close(policy.scores(batch).logps, plain.scores(batch).logps)
    trained = [name for name, p in policy.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    # The head is left alone, as in Transformers' own models.
    assert not any("head" in name for name in trained)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.05)
    reference = AdapterOff()
    reference.configure(policy)
    assert (policy.scores(batch).logps - plain.scores(batch).logps).abs().max() > 1e-3
    torch.testing.assert_close(reference.scores(policy, batch).logps, plain.scores(batch).logps)
    policy.save_pretrained(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").is_file()


def test_what_is_saved_can_be_opened_and_names_its_tokenizer(make_policy, tmp_path) -> None:
    policy = make_policy()
    policy.save_pretrained(tmp_path)
    again = MeshPolicy(str(tmp_path), DeepMesh(2, 2, 4), points=POINTS)
    again.configure_model()
    batch = batch_of(policy)
    torch.testing.assert_close(again.double().scores(batch).logps, policy.scores(batch).logps, rtol=1e-5, atol=1e-4)
    assert isinstance(MeshGenerator.from_pretrained(tmp_path), MeshGenerator)
    found = json.loads((tmp_path / "mesh_tokenizer.json").read_text("utf-8"))
    assert found == {"tokenizer": DeepMesh(2, 2, 4).settings(), "points": POINTS}


def test_the_point_encoder_can_be_frozen(make_policy) -> None:
    policy = make_policy(frozen=["encoder"])
    policy.scores(batch_of(policy)).logps.sum().backward()
    assert all((p.grad is None) == ("encoder" in name) for name, p in policy.named_parameters())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"window": 12}, "both, or neither"),
        ({"window_mode": "paired_random"}, "needs window and stride"),
        ({"rows_at_once": 0}, "rows_at_once"),
        ({"window": 12, "stride": 13}, "stride"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_any_weight_is_made(options, said) -> None:
    with pytest.raises(PrefalignError, match=said):
        MeshPolicy(SIZES, DeepMesh(2, 2, 4), **options)


def test_a_model_of_another_vocabulary_is_refused(make_policy, tmp_path) -> None:
    make_policy().save_pretrained(tmp_path)
    (tmp_path / "mesh_tokenizer.json").unlink()
    with pytest.raises(PrefalignError, match="the model has 90 ids, and the tokenizer deepmesh with 32 levels has"):
        MeshPolicy(str(tmp_path), DeepMesh(2, 4, 4), points=POINTS).configure_model()


def test_a_tokenizer_of_the_same_size_and_other_streams_is_refused(make_policy, tmp_path) -> None:
    make_policy().save_pretrained(tmp_path)
    MeshPolicy(str(tmp_path), DeepMesh(2, 2, 4), points=POINTS).configure_model()
    with pytest.raises(PrefalignError, match=r"mesh_tokenizer\.json: the model was trained on .*'compat': False"):
        MeshPolicy(str(tmp_path), DeepMesh(2, 2, 4, compat=True), points=POINTS).configure_model()


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(PrefalignError, match=r"no model folder '\./nowhere'"):
        MeshPolicy("./nowhere", DeepMesh(2, 2, 4)).configure_model()


def config(tmp_path, **policy) -> dict:
    return {
        "model": {
            "class_path": "core/preference_tuning",
            "init_args": {
                "policy": {
                    "class_path": "mesh3d/generator",
                    "init_args": {
                        "model": SIZES,
                        "tokenizer": {
                            "class_path": "prefalign_mesh3d.tokenizers.deepmesh.DeepMesh",
                            "init_args": {"regions": 2, "blocks": 2, "offsets": 4},
                        },
                        "points": POINTS,
                        **policy,
                    },
                },
                "objective": {"class_path": "core/dpo", "init_args": {"beta": 1.0}},
                "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1.0e-2}},
            },
        },
        "data": {
            "class_path": "core/preferences",
            "init_args": {"train": str(tmp_path / "r.parquet"), "batch_size": 2},
        },
        "trainer": {
            "accelerator": "cpu",
            "devices": 1,
            "max_steps": 12,
            "max_epochs": -1,
            "default_root_dir": str(tmp_path / "run"),
            "enable_progress_bar": False,
            "callbacks": [{"class_path": "core/export"}],
        },
    }


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"window": 12, "stride": 6},
        {"window": 12, "stride": 6, "window_mode": "paired_random"},
        {"window": 12, "stride": 6, "lora": {"r": 2, "alpha": 4}},
    ],
    ids=["whole", "windows", "random windows", "adapter in windows"],
)
def test_a_run_through_the_command_raises_the_margin(tmp_path, policy) -> None:
    write_parquet([a_record(f"r{index}") for index in range(4)], tmp_path / "r.parquet")
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(config(tmp_path, **policy)), encoding="utf-8")
    assert main(["fit", "--config", str(file)]) == 0
    before = MeshPolicy(SIZES, DeepMesh(2, 2, 4), points=POINTS)
    before.configure_model()
    after = copy.deepcopy(before)
    if "lora" in policy:
        import peft

        after.model = peft.PeftModel.from_pretrained(after.model, tmp_path / "run" / "export").merge_and_unload()
    else:
        after.model = MeshGenerator.from_pretrained(tmp_path / "run" / "export")
    batch = batch_of(before, *(f"r{index}" for index in range(4)))
    with torch.no_grad():
        gain = after.scores(batch).logps - before.scores(batch).logps
    assert (gain[batch.relations.chosen] - gain[batch.relations.rejected]).mean() > 1.0


def test_supervised_training_is_the_likelihood_of_good_meshes(make_policy) -> None:
    from prefalign.objectives.reward_weighted import RewardWeighted

    policy = make_policy()
    record = a_record("good", (9,), verdict=Unary((True,)))
    batch = policy.collate([policy.encode(record)])
    scores = policy.scores(batch)
    loss = RewardWeighted()(scores, None, batch.relations).loss
    torch.testing.assert_close(loss, -scores.logps[0] / 9)
    assert tokens_of(0, 9)[-1] == policy.tokenizer.eos_id
