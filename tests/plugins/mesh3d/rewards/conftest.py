"""Boxes as records, and tiny models of pictures and texts."""

import numpy as np
import pytest
import torch
import trimesh

from prefalign.interfaces import Media, PreferenceRecord, Prompt, Ranking, Response
from prefalign.testing.tiny import character_tokenizer
from prefalign_mesh3d.demo.shapes import boxes
from prefalign_mesh3d.mesh.mesh import Mesh


def _box(x=1.0, y=1.0, z=1.0, missing=()):
    """A closed box with the given sides, less the triangles of some numbers."""
    whole = boxes([((0.0, 0.0, 0.0), (x, y, z))])
    return Mesh(whole.vertices, np.delete(whole.faces, list(missing), 0))


def _response(mesh):
    """A mesh as a response with the bytes of a GLB file."""
    data = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(file_type="glb")
    return Response(media=(Media(kind="mesh", data=data),))


def _record(*responses, id="r", text="a box", ranks=None):
    ranks = (0,) * len(responses) if ranks is None else ranks
    return PreferenceRecord(id=id, prompt=Prompt(text=text), responses=responses, verdict=Ranking(ranks))


@pytest.fixture(scope="session")
def box():
    """Makes a box; see `_box`."""
    return _box


@pytest.fixture(scope="session")
def shown():
    """Makes a response of a mesh; see `_response`."""
    return _response


@pytest.fixture(scope="session")
def viewed():
    """Makes a record of responses; see `_record`."""
    return _record


_LAYERS = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
_VISION = {**_LAYERS, "image_size": 32, "patch_size": 8}


def _text(tokenizer):
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    return {**_LAYERS, "vocab_size": len(tokenizer), "max_position_embeddings": 60, **ids}


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """Folder of a tiny CLIP of random weights that sees 32 x 32 pixels."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    folder, tokenizer = str(tmp_path_factory.mktemp("clip")), character_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIPModel(CLIPConfig(text_config=_text(tokenizer), vision_config=_VISION, projection_dim=12))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def blip(tmp_path_factory):
    """Folder of a tiny BLIP for retrieval, likewise."""
    from transformers import BlipConfig, BlipForImageTextRetrieval, BlipImageProcessorPil

    folder, tokenizer = str(tmp_path_factory.mktemp("blip")), character_tokenizer()
    text = {**_text(tokenizer), "encoder_hidden_size": 16, "sep_token_id": tokenizer.eos_token_id}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BlipConfig(text_config=text, vision_config=_VISION, projection_dim=12, image_text_hidden_size=8)
        model = BlipForImageTextRetrieval(config)
        with torch.no_grad():
            # BLIP's weights begin at 1e-10, where no picture has any influence.
            for weight in model.parameters():
                weight.normal_(0, 0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    BlipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder
