"""Hallucination metrics of image-text models.

`metrics.functional` holds the pure parts, which need no torch. Beside it, under the same file names, stand the
torchmetrics classes that sum over batches and processes: `chair.CHAIR`, `pope.POPE`,
`over_generalisation.OverGeneralisation`. All rates are in percent.
"""
