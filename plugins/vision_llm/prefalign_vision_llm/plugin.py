"""What this plugin adds to prefalign. Strings only: discovery imports no numerics."""

from collections.abc import Iterable

from prefalign.hooks import API, Command, Component, PluginInfo, hookimpl

RLHFV = "2312.00849"
CHAIR = "1809.02156"
POPE = "2305.10355"


@hookimpl
def prefalign_plugin() -> PluginInfo:
    """Name the namespace."""
    return PluginInfo(
        name="vision_llm",
        api=API,
        summary="Models that read images: fine-grained corrections, dense DPO, hallucination metrics",
        modalities=("image", "text"),
        papers=(RLHFV,),
    )


@hookimpl
def prefalign_components() -> Iterable[Component]:
    """List the components."""
    return (
        Component(
            "policy",
            "chat_vlm",
            "prefalign_vision_llm.policies.chat_vlm:ChatVLM",
            "Any Transformers image-text model, one vision pass per context",
            tags=("variable_length",),
        ),
        Component(
            "evaluator", "chair", "prefalign_vision_llm.metrics.chair:CHAIR", "Hallucinated objects", papers=(CHAIR,)
        ),
        Component("evaluator", "pope", "prefalign_vision_llm.metrics.pope:POPE", "Yes/no questions", papers=(POPE,)),
        Component(
            "evaluator",
            "over_generalisation",
            "prefalign_vision_llm.metrics.over_generalisation:OverGeneralisation",
            "Hallucination of a scene's usual companions",
            papers=(RLHFV,),
        ),
    )


@hookimpl
def prefalign_presets() -> str:
    """Where the presets are."""
    return "prefalign_vision_llm:presets"


@hookimpl
def prefalign_commands() -> Iterable[Command]:
    """List the commands."""
    return (
        Command("chair", "prefalign_vision_llm.commands.chair:main", "Score captions against object annotations"),
        Command("pope", "prefalign_vision_llm.commands.pope:main", "Score answers to yes/no questions"),
        Command(
            "demo", "prefalign_vision_llm.commands.demo:main", "Align a tiny hallucinating model; before and after"
        ),
    )


@hookimpl
def prefalign_open_pairs(uri: str, split: str) -> object | None:
    """Open the published layout of RLHF-V's corrections, `rlhfv:PATH`."""
    if not uri.startswith("rlhfv:"):
        return None
    from prefalign_vision_llm.corrections.rlhfv import open_rlhfv

    return open_rlhfv(uri, split)
