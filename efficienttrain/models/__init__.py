"""Networks that change their input size while they train."""

from efficienttrain.models.build import build, check_name
from efficienttrain.models.size import check_resolution, resize

__all__ = ["build", "check_name", "check_resolution", "resize"]
