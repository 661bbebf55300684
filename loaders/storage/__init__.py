"""Reads remote objects: stores by URL, ranges many at a time, a cache on the local disk."""
