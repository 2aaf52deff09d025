"""Configurable objectives over `prefalign.functional`: pairwise, unary, listwise and reward modelling."""
