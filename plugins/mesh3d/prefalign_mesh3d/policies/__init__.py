"""The mesh generator as a policy: records to windows, scores, sampling."""
