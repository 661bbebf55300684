from tests.efficienttrain.training.conftest import no_pictures

__all__ = ["no_pictures"]
