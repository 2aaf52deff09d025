"""Networks: the point-cloud encoder and the decoders under it."""
