"""Commands over the two packages; run from a checkout as `python -m tools COMMAND`."""
