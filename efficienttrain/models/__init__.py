"""Networks that change their input size while they train."""

from efficienttrain.models.build import build, check_name
from efficienttrain.models.decay import no_decay
from efficienttrain.models.size import check_bandwidth, resize

__all__ = ["build", "check_bandwidth", "check_name", "no_decay", "resize"]
