"""Optimal transport of many problems in one call: what POT lacks (batches with masks, gradients, proximal steps).

For a single exact problem use POT itself.

Axes: B problems, n source points, m target points.
"""

from prefalign.functional.transport.gromov import gromov_cost, gromov_wasserstein
from prefalign.functional.transport.line import line_transport
from prefalign.functional.transport.plan import Plan, uniform_masses
from prefalign.functional.transport.sinkhorn import Domain, sinkhorn

__all__ = ["Domain", "Plan", "gromov_cost", "gromov_wasserstein", "line_transport", "sinkhorn", "uniform_masses"]
