"""Commands of the checkout, run as `python -m tools COMMAND`; those that users need are in `efficienttrain`."""
