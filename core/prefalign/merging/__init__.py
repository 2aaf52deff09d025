"""Models out of models: weights interpolated, added up and extrapolated, as state dicts and as folders."""

from prefalign.merging.coefficients import Coefficients
from prefalign.merging.methods import Dare, Extrapolate, Interpolate, Method, TaskArithmetic, Ties
from prefalign.merging.states import extrapolate, interpolate, loaded, merge, task_arithmetic

__all__ = [
    "Coefficients",
    "Dare",
    "Extrapolate",
    "Interpolate",
    "Method",
    "TaskArithmetic",
    "Ties",
    "extrapolate",
    "interpolate",
    "loaded",
    "merge",
    "task_arithmetic",
]
