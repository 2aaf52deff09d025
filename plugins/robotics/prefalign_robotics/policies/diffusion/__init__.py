"""Diffusion policies over chunks of actions, tuned on preferences, and chosen among by what the tuning learned."""
