import numpy as np
import pytest
import torch

from prefalign_vision_llm.demo.icons import IconLibrary
from prefalign_vision_llm.demo.model import build_model
from prefalign_vision_llm.demo.pretraining import AnnotatedScenes
from prefalign_vision_llm.demo.processor import build_processor
from prefalign_vision_llm.demo.rendering import render
from prefalign_vision_llm.demo.scenes import BIASED, ICON_WORLD, sample_scene


@pytest.fixture(scope="package")
def processor():
    return build_processor(ICON_WORLD)


@pytest.fixture
def model(processor):
    return build_model(ICON_WORLD, processor.tokenizer, seed=0)


@pytest.fixture(scope="package")
def scenes():
    rng = np.random.default_rng(0)
    return [sample_scene(ICON_WORLD, BIASED, rng) for _ in range(24)]


@pytest.fixture(scope="package")
def images(scenes):
    return [render(scene, ICON_WORLD, IconLibrary()) for scene in scenes]


@pytest.fixture(scope="package")
def annotated(scenes, images, processor):
    return AnnotatedScenes(scenes, processor.image_processor(images=images, return_tensors="pt")["pixel_values"])


@pytest.fixture(autouse=True)
def _one_thread():
    """Small tensors: threads cost more than they give, and sums differ with their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
