"""The plugin's demonstration: a tiny model that names objects which are not there, and the corrections that cure it."""
