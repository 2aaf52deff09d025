"""The core's own plugin: it registers what the core offers through the hooks that every other plugin uses.

To add a component, add one line to `COMPONENTS`: kind, name, `module:Class` of the defining module, summary.
"""

from collections.abc import Iterable

from prefalign.hooks import API, Component, PluginInfo, hookimpl

COMPONENTS: tuple[Component, ...] = (
    Component(
        "policy",
        "token",
        "prefalign.policies.token:TokenPolicy",
        "Any Transformers causal language model",
        tags=("variable_length",),
    ),
    Component(
        "policy",
        "denoising",
        "prefalign.policies.denoising:DenoisingPolicy",
        "Any diffusion or flow model, with noise that can be replayed",
        papers=("2311.12908",),
    ),
    Component("reference", "auto", "prefalign.policies.reference:Auto", "Adapter off if there is one, else a copy"),
    Component("reference", "frozen", "prefalign.policies.reference:Frozen", "A frozen copy of the starting model"),
    Component("reference", "adapter_off", "prefalign.policies.reference:AdapterOff", "The policy without its adapter"),
    Component("reference", "cached", "prefalign.policies.cached:Cached", "Computed once, stored beside the records"),
    Component(
        "reference",
        "moving",
        "prefalign.policies.reference:Moving",
        "A copy that follows the policy",
        papers=("2404.09656",),
    ),
    Component(
        "objective",
        "dpo",
        "prefalign.objectives.dpo:DPO",
        "DPO with eighteen pairwise losses, four divergences, token weights and likelihood terms",
        papers=(
            "2305.18290",
            "2309.16240",
            "2310.12036",
            "2305.10425",
            "2402.05369",
            "2402.00856",
            "2403.00409",
            "2310.13639",
        ),
    ),
    Component(
        "objective", "cpo", "prefalign.objectives.reference_free:CPO", "Reference-free DPO", papers=("2401.08417",)
    ),
    Component(
        "objective", "simpo", "prefalign.objectives.reference_free:SimPO", "Length-averaged", papers=("2405.14734",)
    ),
    Component(
        "objective",
        "alphapo",
        "prefalign.objectives.reference_free:AlphaPO",
        "SimPO with a shaped reward",
        papers=("2501.03884",),
    ),
    Component("objective", "orpo", "prefalign.objectives.reference_free:ORPO", "Odds ratio", papers=("2403.07691",)),
    Component(
        "objective", "kto", "prefalign.objectives.unary:KTO", "Unpaired, prospect theory", papers=("2402.01306",)
    ),
    Component("objective", "bco", "prefalign.objectives.unary:BCO", "Unpaired, classifier", papers=("2404.04656",)),
    Component("objective", "repo", "prefalign.objectives.repo:REPO", "DPO robust to labels", papers=("2509.24159",)),
    Component(
        "objective",
        "reward_weighted",
        "prefalign.objectives.reward_weighted:RewardWeighted",
        "Likelihood weighted by labels or rewards",
        papers=("2402.00744",),
    ),
    Component(
        "objective", "anchored", "prefalign.objectives.reward_weighted:Anchored", "Any objective, held by other data"
    ),
    Component("objective", "plackett_luce", "prefalign.objectives.listwise:PlackettLuce", "Rankings of any length"),
    Component(
        "objective",
        "bradley_terry",
        "prefalign.objectives.reward_modelling:BradleyTerry",
        "Reward model on pairs: margins, ties, centring",
    ),
    Component(
        "objective",
        "gaussian",
        "prefalign.objectives.reward_modelling:Gaussian",
        "Reward model with uncertainty",
        papers=("2508.03789",),
    ),
    Component(
        "objective",
        "robust_reward",
        "prefalign.objectives.robust_reward:RobustReward",
        "Reward model on draws, kept unsure, for labels that may be wrong",
        papers=("2306.03615",),
    ),
    Component("objective", "pointwise", "prefalign.objectives.reward_modelling:Pointwise", "Reward model on labels"),
    Component(
        "training", "preference_tuning", "prefalign.training.tuning:PreferenceTuning", "Tune a policy on preferences"
    ),
    Component(
        "training",
        "reward_learning",
        "prefalign.training.reward_learning:RewardLearning",
        "Learn a reward from judgements",
    ),
    Component(
        "reward",
        "token_reward",
        "prefalign.rewards.token:TokenReward",
        "A language model with a head: scalar or Gaussian",
    ),
    Component("reward", "ensemble", "prefalign.rewards.combine:Ensemble", "Mean and disagreement of several rewards"),
    Component("reward", "weighted", "prefalign.rewards.combine:Weighted", "Weighted sum of rewards"),
    Component("reward", "product", "prefalign.rewards.combine:Product", "Product of rewards"),
    Component(
        "reward", "gated", "prefalign.rewards.combine:Gated", "A reward that counts where others are good enough"
    ),
    Component("reward", "guarded", "prefalign.rewards.guards:Guarded", "A reward behind floors of quality"),
    Component(
        "reward",
        "rescaled",
        "prefalign.rewards.scales:Rescaled",
        "A reward brought from one range to another",
        papers=("2402.04229",),
    ),
    Component(
        "reward",
        "staged",
        "prefalign.rewards.sequence:Staged",
        "Rewards one after the other, by the round of a loop",
        papers=("2402.04229",),
    ),
    Component(
        "denoiser",
        "unet",
        "prefalign.models.diffusers.unet:UNet",
        "Stable Diffusion 1.x, 2.x and what shares its U-Net",
    ),
    Component("denoiser", "sd3", "prefalign.models.diffusers.sd3:SD3", "Stable Diffusion 3.x"),
    Component("denoiser", "flux", "prefalign.models.diffusers.flux:Flux", "Flux"),
    Component(
        "denoiser", "small_denoiser", "prefalign.testing.denoisers:SmallDenoiser", "A perceptron for tests and examples"
    ),
    Component("evaluator", "pair_accuracy", "prefalign.evaluation.accuracy:PairAccuracy", "Pairs ordered as judged"),
    Component("data", "preferences", "prefalign.data.module:PreferenceDataModule", "Records from files or plugins"),
    Component("callback", "samples", "prefalign.training.callbacks.samples:SampleTable", "Answers to fixed prompts"),
    Component(
        "callback", "margins", "prefalign.training.callbacks.histograms:MarginHistogram", "Histograms of margins"
    ),
    Component(
        "callback",
        "displacement",
        "prefalign.training.callbacks.displacement:LikelihoodDisplacement",
        "Alarm when chosen answers lose likelihood",
        papers=("2410.08847",),
    ),
    Component(
        "callback",
        "drift",
        "prefalign.training.callbacks.drift:DenoisingDrift",
        "Alarm when a denoiser loses both responses",
        papers=("2412.21037",),
    ),
    Component("callback", "export", "prefalign.training.callbacks.export:Export", "Export with model card"),
)


@hookimpl
def prefalign_plugin() -> PluginInfo:
    """Name the core's namespace."""
    return PluginInfo(
        name="core",
        api=API,
        summary="Objectives, policies, rewards and training that belong to no single domain",
        modalities=("any",),
    )


@hookimpl
def prefalign_components() -> Iterable[Component]:
    """List the core's components."""
    return COMPONENTS


@hookimpl
def prefalign_presets() -> str:
    """Where the core's presets are."""
    return "prefalign:presets"
