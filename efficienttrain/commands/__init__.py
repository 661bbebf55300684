"""One module a command, with `add_arguments(parser)` and `run(args) -> int`; efficienttrain/__main__.py runs them."""
