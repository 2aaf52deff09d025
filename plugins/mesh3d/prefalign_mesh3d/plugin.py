"""What this plugin adds to prefalign. Strings only: discovery imports no numerics."""

from collections.abc import Iterable

from prefalign.hooks import API, Command, Component, PluginInfo, hookimpl

DEEPMESH = "2503.15265"
MESH_RFT = "2505.16761"


@hookimpl
def prefalign_plugin() -> PluginInfo:
    """Name the namespace."""
    return PluginInfo(
        name="mesh3d",
        api=API,
        summary="Meshes: tokenizers, point-cloud-conditioned generators, rewards and metrics of geometry",
        modalities=("mesh",),
        papers=(DEEPMESH, MESH_RFT),
    )


@hookimpl
def prefalign_components() -> Iterable[Component]:
    """List the components."""
    return (
        Component(
            "policy",
            "generator",
            "prefalign_mesh3d.policies.mesh_policy:MeshPolicy",
            "Mesh tokens under a point cloud, scored in windows",
            papers=(DEEPMESH,),
        ),
    )


@hookimpl
def prefalign_presets() -> str:
    """Where the presets are."""
    return "prefalign_mesh3d:presets"


@hookimpl
def prefalign_commands() -> Iterable[Command]:
    """List the commands."""
    return (Command("demo", "prefalign_mesh3d.commands.demo:main", "Tune a small mesh generator; before and after"),)
