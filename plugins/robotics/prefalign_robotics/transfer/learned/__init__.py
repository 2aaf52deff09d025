"""Features of behaviour that are learned from unlabelled episodes and mean the same in every task."""
