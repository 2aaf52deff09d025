"""What this plugin adds to prefalign. Strings only: discovery imports no numerics."""

from collections.abc import Iterable

from prefalign.hooks import API, Component, PluginInfo, hookimpl

BATON = "2402.00744"
TANGO2 = "2404.09956"
TANGOFLUX = "2412.21037"


@hookimpl
def prefalign_plugin() -> PluginInfo:
    """Name the namespace."""
    return PluginInfo(
        name="audio",
        api=API,
        summary="Sound: text-to-audio denoisers, reward models from listeners' labels, audio metrics",
        modalities=("audio", "text"),
        papers=(BATON, TANGO2, TANGOFLUX),
    )


@hookimpl
def prefalign_components() -> Iterable[Component]:
    """List the components."""
    return ()
