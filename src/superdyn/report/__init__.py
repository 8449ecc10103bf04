"""Figures and the self-contained HTML page of a sweep, drawn from its files; imports no torch."""

from superdyn.report.embedding import embedding_figure
from superdyn.report.headline import headline_figure
from superdyn.report.page import write_report

__all__ = ["embedding_figure", "headline_figure", "write_report"]
