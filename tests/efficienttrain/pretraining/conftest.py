from tests.efficienttrain.training.conftest import quick

__all__ = ["quick"]
