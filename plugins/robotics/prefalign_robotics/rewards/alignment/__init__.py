"""Rewards by optimal transport: how well the steps of a trajectory match those of one that is known to be good."""
