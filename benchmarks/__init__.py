"""Speed, fidelity and conversion, against the loaders in use today: `python -m benchmarks --help`."""
