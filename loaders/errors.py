"""The errors of this package. Every message gives the rule, the value received and the remedy, in one line."""

from __future__ import annotations


class LoaderError(Exception):
    """Base of every error that this package raises about data (wrong arguments raise ValueError)."""

    def __init__(self, message: str = "") -> None:
        super().__init__(" ".join(message.splitlines()))  # reasons that libraries give may have several lines


class BadDataset(LoaderError):
    """A file as a whole cannot be used: cut short, damaged tables, not a beton, changed while it was read."""


class BadSample(LoaderError):
    """One sample cannot be used: damaged, missing, or with a wrong label.

    Attributes:
        index: position of the sample in the data set.
        name: source name, if the data set knows it.
        why: the reason.
    """

    def __init__(self, index: int, name: str, why: str) -> None:
        super().__init__(f"sample {index} ({name}) cannot be used: {why}")
        self.index, self.name, self.why = index, name, why

    def __reduce__(self) -> tuple[type[BadSample], tuple[int, str, str]]:
        return BadSample, (self.index, self.name, self.why)


class TooManyOpenFiles(LoaderError):
    """This process, or the system, can open no more files. That says nothing about the sample that was to be read."""

    @classmethod
    def opening(cls, place: str) -> TooManyOpenFiles:
        """The error of opening `place`, a file or a sample."""
        return cls(f"{place} cannot be opened: too many open files; allow more (ulimit -n), or close some")


def reason(error: Exception) -> str:
    """The reason that an error gives, without the number and the file name that an OSError adds."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
