"""The metrics' formulas as functions of tensors, without states and without models."""
