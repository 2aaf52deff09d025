"""Denoisers whose networks, schedulers and frozen parts are those of a Diffusers pipeline."""
