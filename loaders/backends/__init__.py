"""Who executes the plan. One module each; loaders/loader.py chooses."""
