"""Meshes to token sequences and back, without loss at the quantised resolution."""
