"""What this plugin adds to prefalign. Strings only: discovery imports no numerics."""

from collections.abc import Iterable

from prefalign.hooks import API, Command, Component, PluginInfo, hookimpl

CPL = "2310.13639"
DEFORMPAM = "2410.11584"
DIFFUSION_POLICY = "2303.04137"
IPL = "2305.15363"
IQL = "2110.06169"
OTR = "2303.13971"
PEARL = "2306.03615"
PREFERENCE_TRANSFORMER = "2303.00957"
RAPL = "2412.04835"
REGRET = "2206.02231"


@hookimpl
def prefalign_plugin() -> PluginInfo:
    """Name the namespace."""
    return PluginInfo(
        name="robotics",
        api=API,
        summary="Robot behaviour: preferences carried over from task to task, rewards of trajectories",
        modalities=("trajectory",),
        papers=(PEARL, PREFERENCE_TRANSFORMER, REGRET, CPL, IPL, IQL, RAPL, OTR),
    )


@hookimpl
def prefalign_components() -> Iterable[Component]:
    """List the components."""
    return (
        Component(
            "denoiser",
            "action_denoiser",
            "prefalign_robotics.policies.diffusion.denoiser:ActionDenoiser",
            "A diffusion policy over chunks of actions, after an observation",
            papers=(DIFFUSION_POLICY, DEFORMPAM),
        ),
        Component(
            "encoder",
            "identity",
            "prefalign_robotics.rewards.alignment.encoders:IdentityEncoder",
            "Steps as they are, for rewards by transport",
        ),
        Component(
            "encoder",
            "perceptron",
            "prefalign_robotics.rewards.alignment.encoders:PerceptronEncoder",
            "A perceptron or linear map over steps, for rewards by transport",
        ),
        Component(
            "objective",
            "chosen_probability",
            "prefalign_robotics.rewards.alignment.objective:ChosenProbability",
            "1 − P(chosen is better), the loss of RAPL's released code",
            papers=(RAPL,),
        ),
        Component(
            "policy",
            "gaussian",
            "prefalign_robotics.policies.gaussian:GaussianPolicy",
            "Actions around the mean that a perceptron makes of an observation",
            papers=(CPL,),
        ),
        Component(
            "reward",
            "demonstrations",
            "prefalign_robotics.rewards.alignment.demonstrations:DemonstrationReward",
            "How well steps match those of a few demonstrations, in a given or an aligned space",
            papers=(OTR, RAPL),
        ),
        Component(
            "reward",
            "markov",
            "prefalign_robotics.rewards.mlp:MarkovReward",
            "A perceptron over the steps of a trajectory, plain or Gaussian",
            papers=(PEARL,),
        ),
        Component(
            "reward",
            "preference_transformer",
            "prefalign_robotics.rewards.transformer:PreferenceTransformerReward",
            "Rewards that depend on the past, weighted by attention",
            papers=(PREFERENCE_TRANSFORMER,),
        ),
        Component(
            "reward",
            "rapl",
            "prefalign_robotics.rewards.alignment.reward:AlignedReward",
            "How well steps match those of a trusted trajectory, in a space that comparisons align",
            papers=(RAPL,),
        ),
        Component(
            "reward",
            "regret",
            "prefalign_robotics.rewards.regret:RegretReward",
            "Rewards from preferences by regret, on tasks with known dynamics",
            papers=(REGRET,),
        ),
        Component(
            "training",
            "inverse_preference_learning",
            "prefalign_robotics.policies.ipl:InversePreferenceLearning",
            "Preferences straight to values and a policy, with no reward in between",
            papers=(IPL,),
        ),
    )


@hookimpl
def prefalign_presets() -> str:
    """Where the presets are."""
    return "prefalign_robotics:presets"


@hookimpl
def prefalign_commands() -> Iterable[Command]:
    """List the commands."""
    return (
        Command(
            "candidates",
            "prefalign_robotics.commands.candidates:main",
            "Let a diffusion policy propose chunks of actions, and compare them in a simulator",
        ),
        Command(
            "simulate",
            "prefalign_robotics.commands.simulate:main",
            "Simulate a task, and let a scripted teacher compare stretches of it",
        ),
        Command(
            "demo",
            "prefalign_robotics.commands.demo:main",
            "Preferences of one simulated task find the good behaviour of another, and policies learn it",
        ),
        Command("look", "prefalign_robotics.commands.look:main", "Write a page about one run of the demonstration"),
        Command(
            "transfer",
            "prefalign_robotics.commands.transfer:main",
            "Carry preferences of one task over to another, and say how far to trust them",
        ),
        Command(
            "triplets",
            "prefalign_robotics.commands.triplets:main",
            "Let a scripted teacher rank threes of episodes, for rewards by transport",
        ),
    )


@hookimpl
def prefalign_open_pairs(uri: str, split: str) -> object | None:
    """Open comparisons of segments, `robotics-pairs:PATH`."""
    if not uri.startswith("robotics-pairs:"):
        return None
    from prefalign_robotics.readers.pairs import open_pairs

    return open_pairs(uri, split)
