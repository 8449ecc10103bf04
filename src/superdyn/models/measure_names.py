"""Names of the superposition measures, as columns of `curve.parquet` have them; imports no torch.

What they are stands in `models/measures.py`.
"""

OFF_DIAGONAL_ENERGY = "off_diagonal_energy"
"""Of the student family only; runs begun by an older version do not have it in the rows before they were resumed."""

EMBEDDING_MEASURES = (
    "represented_fraction",
    "mean_square_overlap",
    "mean_feature_dimensionality",
    "dimensions_per_feature",
    "participation_ratio",
)
"""Of every student with an embedding."""
