"""The core's own plugin: it registers what the core offers through the hooks that every other plugin uses.

To add a component, add one line to `COMPONENTS`: kind, name, `module:Class` of the defining module, summary.
"""

from collections.abc import Iterable

from prefalign.hooks import API, Component, PluginInfo, hookimpl

COMPONENTS: tuple[Component, ...] = ()


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
