"""Means over meshes, some of which cannot be measured."""

import math

import pytest

from prefalign_mesh3d.metrics.mean import MeanOverMeshes


class Means(MeanOverMeshes):
    def update(self, figures):
        self.add(figures)


def test_invalid_is_not_zero():
    metric = Means(["a", "b"])
    metric.update({"a": 1.0, "b": math.nan, "ignored": 9.0})
    metric.update({"a": 4.0, "b": 6.0})
    metric.update(None)
    assert metric.compute() == pytest.approx({"a": 2.5, "b": 6.0, "valid": 2 / 3, "meshes": 3})


def test_nothing_valid_has_no_mean():
    metric = Means(["a"])
    metric.update(None)
    found = metric.compute()
    assert math.isnan(found["a"])
    assert (found["valid"], found["meshes"]) == (0, 1)


def test_processes_add_up():
    """Two processes with unequal shares give what one gives that sees everything."""
    whole, parts = Means(["a"]), [Means(["a"]) for _ in range(2)]
    for number, value in enumerate([1.0, 2.0, 6.0, None]):
        figures = None if value is None else {"a": value}
        whole.update(figures)
        parts[number > 0].update(figures)
    parts[0].merge_state(parts[1])
    assert parts[0].compute() == whole.compute() == pytest.approx({"a": 3.0, "valid": 0.75, "meshes": 4})
    whole.reset()
    assert whole.meshes == whole.measured == whole.totals == 0


def test_states_are_summed_where_processes_meet():
    """What torchmetrics gathers over processes, here from a second one that has seen a 5 and an invalid mesh."""
    other = Means(["a"])
    other.update({"a": 5.0})
    other.update(None)
    theirs = iter([other.totals, other.counts, other.meshes, other.measured])
    here = Means(["a"], dist_sync_fn=lambda state, group: [state, next(theirs)], distributed_available_fn=lambda: True)
    here.update({"a": 1.0})
    assert here.compute() == pytest.approx({"a": 3.0, "valid": 2 / 3, "meshes": 3})
