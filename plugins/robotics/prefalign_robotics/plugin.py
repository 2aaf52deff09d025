"""What this plugin adds to prefalign. Strings only: discovery imports no numerics."""

from collections.abc import Iterable

from prefalign.hooks import API, Command, PluginInfo, hookimpl

PEARL = "2306.03615"


@hookimpl
def prefalign_plugin() -> PluginInfo:
    """Name the namespace."""
    return PluginInfo(
        name="robotics",
        api=API,
        summary="Robot behaviour: preferences carried over from task to task",
        modalities=("trajectory",),
        papers=(PEARL,),
    )


@hookimpl
def prefalign_commands() -> Iterable[Command]:
    """List the commands."""
    return (
        Command(
            "transfer",
            "prefalign_robotics.commands.transfer:main",
            "Carry preferences of one task over to another, and say how far to trust them",
        ),
    )
