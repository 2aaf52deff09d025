"""Rewards learned from preferences over stretches of behaviour."""
