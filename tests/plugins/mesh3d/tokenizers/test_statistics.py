"""What sequences cost, and the published ratios."""

import numpy as np
import pytest

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import quantise
from prefalign_mesh3d.mesh.mesh import GridMesh
from prefalign_mesh3d.tokenizers.amt import AMT
from prefalign_mesh3d.tokenizers.bpt import BPT
from prefalign_mesh3d.tokenizers.coord9 import Coord9
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh
from prefalign_mesh3d.tokenizers.edgerunner import EdgeRunner
from prefalign_mesh3d.tokenizers.statistics import statistics


def test_by_hand():
    """A triangle and a quad on 4 levels, as strips: 9 tokens and 12; ratios 1 and 2/3. Of 5 ids only 0 and 1 occur."""
    triangle = GridMesh(np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0)]), np.array([(0, 1, 2)]), 4)
    quad = GridMesh(np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)]), np.array([(0, 1, 2), (2, 1, 3)]), 4)
    empty = GridMesh(np.zeros((0, 3)), np.zeros((0, 3)), 4)
    found = statistics(AMT(4), [triangle, empty, quad])
    assert (found.meshes, found.faces, found.tokens, found.longest) == (2, 3, 21, 12)
    assert found.mean_ratio == pytest.approx((1 + 2 / 3) / 2)
    assert found.tokens_per_face == pytest.approx(7)
    assert found.vocabulary_use == pytest.approx(2 / 5)


def test_nothing_to_count_is_refused():
    with pytest.raises(MeshError, match="at least one mesh with a face"):
        statistics(AMT(4), [GridMesh(np.zeros((0, 3)), np.zeros((0, 3)), 4)])


@pytest.mark.parametrize(
    ("how", "ratio"),
    [
        (Coord9(), 1),
        # Published 0.46, 0.47, 0.26; these are means over sixty other meshes of 500 to 124,000 faces.
        (AMT(128), 0.454),
        (AMT(512), 0.454),
        (EdgeRunner(512), 0.465),
        (BPT(8, 16), 0.237),
        (BPT(8, 16, compat=True), 0.237),
        (BPT(16, 32), 0.252),
        (BPT(16, 32, compat=True), 0.252),
        (DeepMesh(compat=True), 0.336),
        (DeepMesh(), 0.310),
    ],
    ids=lambda value: str(value.settings()) if hasattr(value, "settings") else str(value),
)
def test_ratios_of_public_meshes(models, how, ratio):
    found = statistics(how, [quantise(mesh, how.levels) for mesh in models.values()])
    assert found.mean_ratio == pytest.approx(ratio, abs=0.02)
