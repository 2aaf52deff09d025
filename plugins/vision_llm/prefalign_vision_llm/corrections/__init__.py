"""Corrections: an answer and its mended twin as a preference pair whose changed places weigh more."""
