"""The demonstration's world: real recorded sounds, a codec, detectors and a reward model, small enough for one core."""
