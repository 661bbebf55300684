"""The beton file format: FFCV's layout, version 2, and the private section that makes a beton a pyramid."""
