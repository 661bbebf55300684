"""A data set at a glance: `survey` measures it, `page` shows it as one HTML file."""

from .page import page
from .survey import Survey, survey

__all__ = ["Survey", "page", "survey"]
