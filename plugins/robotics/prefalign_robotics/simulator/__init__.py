"""Behaviour from Meta-World, simulated without a display."""
