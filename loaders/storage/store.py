"""Object stores by URL: S3, Google Cloud, Azure and HTTP through obstore, any other scheme through fsspec.

Credentials come from where obstore and fsspec look for them themselves (environment, instance roles, configuration
files). They are neither asked for nor written anywhere here.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from ..errors import LoaderError
from ..plugins import STORES

_WILD = "*?["


class Facts(NamedTuple):
    """An object as its store describes it.

    Attributes:
        size: bytes.
        version: changes when the object does (an ETag); None: the store does not say.
    """

    size: int
    version: str | None


class Refused(LoaderError):
    """An answer of a store that no further attempt would change: not found, not allowed, or changed meanwhile."""


class Store(Protocol):
    """One bucket, container or server."""

    def facts(self, path: str) -> Facts:
        """Size and version of an object.

        Raises:
            Refused, or any other error for a failure that may pass.
        """
        ...

    def read(self, path: str, start: int, end: int, version: str | None) -> memoryview:
        """The bytes [start, end) of an object, of that version where there is one. Raises as `facts` does."""
        ...

    def list(self, prefix: str) -> list[str]:
        """The paths that begin with `prefix`. Raises as `facts` does."""
        ...


def is_url(data: object) -> bool:
    """Whether this is a URL: a text with `://`."""
    return isinstance(data, str) and "://" in data


def open_store(url: str) -> tuple[Store, str]:
    """The store of a URL, and the object's path in it.

    Raises:
        ValueError: credentials or a query in the URL, or a scheme that nothing installed here reads.
        LoaderError: obstore or fsspec is not installed; the message says what to install.
    """
    scheme, rest = url.split("://", 1)
    host, _, path = rest.partition("/")
    if "@" in host or ("?" in path and scheme.startswith("http")):
        raise ValueError(
            f"{scheme}://...: URLs with credentials or a query are not taken, since names are shown in messages; "
            "give credentials by the environment"
        )
    if scheme in STORES:
        return STORES.find(scheme)(f"{scheme}://{host}"), path
    return _Fsspec(scheme), rest


def expand(url: str) -> list[str]:
    """The URLs that a pattern with `*`, `?` or `[` names, sorted; a URL without them as it is.

    Raises:
        FileNotFoundError: the pattern names no object.
    """
    first = min((url.find(sign) for sign in _WILD if sign in url), default=-1)
    if first < 0:
        return [url]
    store, pattern = open_store(url)
    start = url[: len(url) - len(pattern)]
    prefix = pattern[: first - len(start)]
    found = sorted(path for path in store.list(prefix) if fnmatch.fnmatchcase(path, pattern))
    if not found:
        raise FileNotFoundError(f"{url}: no object of that pattern")
    return [start + path for path in found]


class ObjectStore:
    """A store that obstore reads."""

    def __init__(self, url: str) -> None:
        try:
            import obstore
            from obstore import exceptions, store
        except ModuleNotFoundError:
            raise LoaderError(
                f"{url}: remote data need obstore; install it by `pip install 'efficienttrain[remote]'`"
            ) from None
        self._obstore = obstore
        self._refusals: tuple[type[Exception], ...] = (
            exceptions.NotFoundError,
            FileNotFoundError,
            exceptions.PermissionDeniedError,
            exceptions.UnauthenticatedError,
            exceptions.PreconditionError,
            exceptions.InvalidPathError,
        )
        # `transfer` tries again, with one deadline for all attempts.
        options: Any = {"timeout": "30s", "connect_timeout": "10s"}
        # Options given here replace those that obstore reads from the environment, so this one is handed on.
        if url.startswith("http://") or os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true"):
            options["allow_http"] = True
        self._store = store.from_url(url, client_options=options, retry_config={"max_retries": 0})

    def facts(self, path: str) -> Facts:
        found = self._ask(lambda: self._obstore.head(self._store, path))
        tag = found.get("e_tag")
        return Facts(int(found["size"]), None if tag is None or tag.startswith("W/") else tag)

    def read(self, path: str, start: int, end: int, version: str | None) -> memoryview:
        options: Any = {"range": (start, end)}
        if version is not None:
            options["if_match"] = version
        return self._ask(lambda: memoryview(self._obstore.get(self._store, path, options=options).bytes()))

    def list(self, prefix: str) -> list[str]:
        folder = prefix.rpartition("/")[0]
        return self._ask(
            lambda: [one["path"] for some in self._obstore.list(self._store, folder or None) for one in some]
        )

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except self._refusals as error:
            raise Refused(f"{type(error).__name__}: {_first_line(error)}") from None


class _Fsspec:
    def __init__(self, scheme: str) -> None:
        try:
            import fsspec
        except ModuleNotFoundError:
            raise LoaderError(
                f"{scheme}://: this scheme needs fsspec and the package that serves it; `pip install fsspec`"
            ) from None
        try:
            self._files = fsspec.filesystem(scheme)
        except (ValueError, ImportError) as error:
            raise ValueError(f"{scheme}://: fsspec cannot read this scheme: {_first_line(error)}") from None

    def facts(self, path: str) -> Facts:
        try:
            found = self._files.info(path)
        except (FileNotFoundError, PermissionError) as error:
            raise Refused(f"{type(error).__name__}: {_first_line(error)}") from None
        version = found.get("ETag") or found.get("etag") or found.get("mtime") or found.get("created")
        return Facts(int(found["size"]), None if version is None else str(version))

    def read(self, path: str, start: int, end: int, version: str | None) -> memoryview:  # noqa: ARG002
        try:
            return memoryview(self._files.cat_file(path, start=start, end=end))
        except (FileNotFoundError, PermissionError) as error:
            raise Refused(f"{type(error).__name__}: {_first_line(error)}") from None

    def list(self, prefix: str) -> list[str]:
        folder = prefix.rpartition("/")[0]
        return [
            path.lstrip("/") if not prefix.startswith("/") else path for path in self._files.ls(folder, detail=False)
        ]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200]
