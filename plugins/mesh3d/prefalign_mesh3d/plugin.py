"""What this plugin adds to prefalign. Strings only: discovery imports no numerics."""

from collections.abc import Iterable

from prefalign.hooks import API, Command, Component, PluginInfo, hookimpl

DEEPMESH = "2503.15265"
MESH_RFT = "2505.16761"
DREAM_REWARD = "2403.14613"


@hookimpl
def prefalign_plugin() -> PluginInfo:
    """Name the namespace."""
    return PluginInfo(
        name="mesh3d",
        api=API,
        summary="Meshes: tokenizers, point-cloud-conditioned generators, rewards and metrics of geometry",
        modalities=("mesh",),
        papers=(DEEPMESH, MESH_RFT, DREAM_REWARD),
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
        _tokenizer("coord9", "coord9:Coord9", "Nine coordinates a face"),
        _tokenizer("amt", "amt:AMT", "Strips: one vertex a face", "2408.02555"),
        _tokenizer("edgerunner", "edgerunner:EdgeRunner", "Walks over half-edges", "2409.18114"),
        _tokenizer("bpt", "bpt:BPT", "Fans under an index of two levels", "2411.07025"),
        _tokenizer("deepmesh", "deepmesh:DeepMesh", "Fans under an index of three levels", DEEPMESH),
        Component(
            "reward",
            "geometry",
            "prefalign_mesh3d.rewards.geometry:GeometryReward",
            "Distance from the reference, open edges, topology; no weights",
            papers=(DEEPMESH, MESH_RFT),
        ),
        Component(
            "reward",
            "view_averaged",
            "prefalign_mesh3d.rewards.appearance:ViewAveraged",
            "Any judge of pictures, CLIP for one, averaged over the sides of a mesh",
        ),
        Component(
            "reward",
            "multi_view",
            "prefalign_mesh3d.rewards.multi_view:MultiViewReward",
            "A head over frozen vectors of several sides, trained by rankings",
            papers=(DREAM_REWARD,),
        ),
        Component(
            "objective",
            "masked_dpo",
            "prefalign_mesh3d.objectives.masked_dpo:MaskedDPO",
            "DPO on the good faces of the chosen mesh and the bad ones of the rejected",
            papers=(MESH_RFT,),
        ),
        _metric("mesh_distances", "distances:MeshDistances", "Chamfer, Hausdorff, F-scores, normals"),
        _metric("mesh_integrity", "integrity:MeshIntegrity", "Closed, clean, regular, crossing itself", MESH_RFT),
        _metric("token_health", "token_health:TokenHealth", "Ended streams, bad tokens, dropped faces"),
    )


def _tokenizer(name: str, target: str, summary: str, *papers: str) -> Component:
    return Component("tokenizer", name, f"prefalign_mesh3d.tokenizers.{target}", summary, papers=papers)


def _metric(name: str, target: str, summary: str, *papers: str) -> Component:
    return Component("evaluator", name, f"prefalign_mesh3d.metrics.{target}", summary, papers=papers)


@hookimpl
def prefalign_presets() -> str:
    """Where the presets are."""
    return "prefalign_mesh3d:presets"


@hookimpl
def prefalign_commands() -> Iterable[Command]:
    """List the commands."""
    return (
        Command("curate", "prefalign_mesh3d.commands.curate:main", "Mesh files to a training set, rejects by reason"),
        Command("tokenize", "prefalign_mesh3d.commands.tokenize:main", "Meshes to tokens, and what they cost"),
        Command("detokenize", "prefalign_mesh3d.commands.detokenize:main", "Token files back to meshes"),
        Command("score", "prefalign_mesh3d.commands.score:main", "Every figure of a mesh, beside a reference or alone"),
        Command("view", "prefalign_mesh3d.commands.view:main", "Meshes as one picture, and as GLB files for a viewer"),
        Command("demo", "prefalign_mesh3d.commands.demo:main", "Tune a small mesh generator; before and after"),
    )
