"""Text-to-audio denoisers of Diffusers, a module each: network, noise path, conditions, sounds to latents and back."""
