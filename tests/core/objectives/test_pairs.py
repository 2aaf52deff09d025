"""Adding a loss: by registering it, or by the path of its class."""

from __future__ import annotations

import sys
import types

import jsonargparse
import pytest
import torch

from prefalign.functional import links
from prefalign.interfaces import Objective, PrefalignError
from prefalign.objectives.dpo import DPO
from prefalign.objectives.pairs import PAIR_LOSSES, PairLoss, find_pair_loss, register_pair_loss
from prefalign.objectives.pairwise_losses import BetaLoss


class Cubed(BetaLoss):
    """A third party's loss with a hyper-parameter of its own and a number that it learns."""

    name = "cubed"
    needs = frozenset({"reference", "entropy"})
    honours = frozenset({"pair"})
    batch_dependent = True

    def __init__(self, beta: float = 0.1, power: float = 3.0) -> None:
        super().__init__(beta)
        self.power = power
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, pairs):
        self.seen += len(pairs.margin)
        return links.hinge(pairs.logit(self.beta)) ** self.power


@pytest.fixture
def third_party(monkeypatch):
    """A module `third_party_losses` that holds the class."""
    module = types.ModuleType("third_party_losses")
    module.Cubed, module.NoLoss, Cubed.__module__ = Cubed, dict, "third_party_losses"
    monkeypatch.setitem(sys.modules, "third_party_losses", module)
    yield module
    PAIR_LOSSES.pop("cubed", None)


def test_a_registered_loss_is_built_by_name_with_the_hyper_parameters_it_reads(third_party, golden):
    register_pair_loss(Cubed)
    objective = DPO(beta=0.2, loss_type="cubed")
    assert objective.needs == {"reference", "entropy"}
    assert objective.batch_dependent
    expected = [max(0.0, 1 - 0.2 * d) ** 3 for d in (1.0, -1.5, 1.75, 4.0)]
    assert objective(*golden).per_sample.tolist() == pytest.approx(expected, abs=1e-12)
    with pytest.raises(PrefalignError, match="label_smoothing"):
        DPO(loss_type="cubed", label_smoothing=0.1)
    with pytest.raises(PrefalignError, match="length_normalise"):
        DPO(loss_type="cubed", length_normalise=True)


def test_what_a_loss_keeps_in_buffers_is_saved(golden):
    objective = DPO(loss_type=Cubed())
    objective(*golden)
    again = DPO(loss_type=Cubed())
    again.load_state_dict(objective.state_dict())
    assert again.losses[0].seen.item() == objective.losses[0].seen.item() > 0


@pytest.mark.parametrize("path", ["third_party_losses:Cubed", "third_party_losses.Cubed"])
def test_a_loss_is_found_by_its_path(path, third_party):
    assert find_pair_loss(path) is Cubed


def test_yaml_configures_a_loss_by_class_path(third_party):
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--objective", type=Objective)
    loss = {"class_path": "third_party_losses.Cubed", "init_args": {"power": 2.0}}
    init = {"beta": 0.3, "loss_type": ["sigmoid", loss], "loss_weights": [1.0, 0.5]}
    config = parser.parse_object({"objective": {"class_path": "prefalign.objectives.dpo.DPO", "init_args": init}})
    objective = parser.instantiate_classes(config).objective
    assert [loss.name for loss in objective.losses] == ["sigmoid", "cubed"]
    assert objective.losses[0].beta == 0.3
    assert objective.losses[1].power == 2.0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hing", r"did you mean 'hinge'"),
        ("third_party_losses:Missing", "cannot be imported"),
        ("no_such_package.losses:Loss", "cannot be imported"),
        ("third_party_losses:NoLoss", "no subclass"),
    ],
)
def test_what_is_no_loss_is_refused(name, message, third_party):
    with pytest.raises(PrefalignError, match=message):
        find_pair_loss(name)


def test_a_name_can_be_taken_once_only():
    with pytest.raises(PrefalignError, match=r"'hinge' is taken by prefalign.objectives.pairwise_losses.Hinge"):

        @register_pair_loss
        class Other(PairLoss):
            name = "hinge"

            def forward(self, pairs):
                return pairs.margin

    assert PAIR_LOSSES["hinge"].__name__ == "Hinge"
