"""Preference alignment for models of any modality.

This package root stays free of imports, so that listings and `--help` answer before torch is loaded. Public names live
in the sub-packages: `prefalign.interfaces`, `prefalign.objectives`, `prefalign.policies`, `prefalign.data` and
`prefalign.training`.
"""
