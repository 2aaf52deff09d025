"""Tokenizers by name."""

import pickle

import pytest

from prefalign.cli.names import NameResolver
from prefalign.hooks.registry import get_registry
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh
from prefalign_mesh3d.tokenizers.names import TOKENIZERS, tokenizer


def test_the_names():
    assert list(TOKENIZERS) == ["coord9", "amt", "edgerunner", "bpt", "deepmesh"]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_settings_build_the_same_again(name):
    how = tokenizer(name)
    again = tokenizer(**how.settings())
    assert type(again) is TOKENIZERS[name]
    assert again.settings() == how.settings()
    assert again.fingerprint() == how.fingerprint()


@pytest.mark.parametrize("name", TOKENIZERS)
def test_configs_find_it_under_the_same_name(name):
    kind = TOKENIZERS[name]
    resolved = NameResolver(get_registry()).tree({"class_path": f"mesh3d/{name}"})
    assert resolved == {"class_path": f"{kind.__module__}.{kind.__name__}"}


def test_what_changes_the_stream_changes_the_fingerprint():
    hows = [DeepMesh(), DeepMesh(compat=True), DeepMesh(8, 4, 16), DeepMesh(2, 2, 4), *map(tokenizer, ("bpt", "amt"))]
    assert len({how.fingerprint() for how in hows}) == len(hows)


def test_a_tokenizer_travels_to_other_processes():
    how = DeepMesh(2, 2, 4)
    assert pickle.loads(pickle.dumps(how)).settings() == how.settings()


def test_near_names_are_suggested():
    with pytest.raises(MeshError, match="unknown tokenizer 'deepmsh'; did you mean 'deepmesh'"):
        tokenizer("deepmsh")
    with pytest.raises(MeshError, match="unknown setting of deepmesh 'block'; did you mean 'blocks'"):
        tokenizer("deepmesh", block=4)
    with pytest.raises(MeshError, match="known: amt, bpt, coord9, deepmesh, edgerunner"):
        tokenizer("zzz")
