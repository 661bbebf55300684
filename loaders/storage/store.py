"""Object stores by URL: S3, Google Cloud, Azure and HTTP through obstore, any other scheme through fsspec.

obstore and fsspec find credentials by their own rules (environment, instance roles, configuration
files). This module neither reads nor writes them.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from typing import IO, Any, NamedTuple, Protocol, TypeGuard
from urllib.parse import unquote

from ..errors import LoaderError
from ..plugins import STORES

_WILD = "*?["
_PIECE, _MOST_PIECES = 16 << 20, 9_000  # bytes of a piece of an upload; S3 takes 10,000 of them
_UPLOAD_DEADLINE = 300  # seconds for one piece, all attempts together


class Facts(NamedTuple):
    """An object as its store describes it.

    Attributes:
        size: bytes.
        version: changes when the object changes (an ETag); None: the store reports none.
        stamp: usually changes when the object changes, but cannot be used in a request: a weak ETag, or the time of the
            last change.
    """

    size: int
    version: str | None
    stamp: str | None = None


class Refused(LoaderError):
    """A final answer of a store, which another attempt would not change: not found, not allowed, or object changed."""


class Missing(Refused, FileNotFoundError):
    """The object does not exist."""


class Changed(Refused):
    """The object is of another version than the one that was asked for."""


class Store(Protocol):
    """One bucket, container or server."""

    def facts(self, path: str) -> Facts:
        """Size and version of an object.

        Raises:
            Refused, or any other error for a temporary failure.
        """
        ...

    def read(self, path: str, start: int, end: int, version: str | None) -> memoryview:
        """The bytes [start, end) of an object, of that version if there is one. Raises as `facts` does."""
        ...

    def below(self, folder: str) -> dict[str, Facts]:
        """All objects below a folder, at any depth; "" is the whole store. Raises as `facts` does."""
        ...

    def children(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the folders, and of the objects, directly in a folder, sorted. Raises as `facts` does."""
        ...

    def upload(self, path: str, file: IO[bytes]) -> None:
        """Uploads an open local file as an object, which becomes visible when it is complete. Raises as `facts` does.

        This method repeats requests after temporary failures, so the caller need not repeat it.
        """
        ...

    def delete(self, path: str) -> None:
        """Deletes an object. Raises as `facts` does."""
        ...


def is_url(data: object) -> TypeGuard[str]:
    """Whether this is a URL: a text with `://`."""
    return isinstance(data, str) and "://" in data


def check_credentials(*names: object) -> None:
    """Refuses URLs that contain credentials, before a message can show them. Values other than URLs are ignored.

    Raises:
        ValueError: credentials, or a query, which may be a signature.
    """
    for url in names:
        if not is_url(url):
            continue
        scheme, rest = url.split("://", 1)
        host, _, path = rest.partition("/")
        if "@" in host or ("?" in path and scheme.startswith("http")):
            raise ValueError(
                f"{scheme}://...: URLs with credentials or a query are refused, because messages show URLs; "
                "set credentials in the environment"
            )


def open_store(url: str) -> tuple[Store, str]:
    """The store of a URL, and the object's path in it.

    Raises:
        ValueError: credentials or a query in the URL, or a scheme that no installed library reads.
        LoaderError: obstore or fsspec is not installed; the message gives the command that installs it.
    """
    check_credentials(url)
    scheme, rest = url.split("://", 1)
    host, _, path = rest.partition("/")
    if scheme in ("http", "https"):  # these URLs are percent-encoded, keys of object stores are not
        path = unquote(path)
    if scheme in STORES:
        return STORES.find(scheme)(f"{scheme}://{host}"), path
    return _Fsspec(scheme), rest


def expand(url: str, tried: Callable[[str, Callable[[], Any]], Any]) -> list[str]:
    """The URLs that match a pattern with `*`, `?` or `[`, sorted; a URL without them unchanged.

    Args:
        tried: repeats a request after a failure, see `transfer.Transfer.tried`.

    Raises:
        FileNotFoundError: no object matches the pattern.
    """
    first = min((url.find(sign) for sign in _WILD if sign in url), default=-1)
    if first < 0:
        return [url]
    store, pattern = open_store(url)
    start = url[: len(url) - len(pattern)]
    folder = pattern[: first - len(start)].rpartition("/")[0]
    found = sorted(path for path in tried(url, lambda: store.below(folder)) if _matches(path, pattern))
    if not found:
        raise FileNotFoundError(f"{url}: no object of that pattern")
    return [start + path for path in found]


def _matches(path: str, pattern: str) -> bool:
    """Whether a path matches, with a shell's rule: `*` does not match `/`."""
    names, patterns = path.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatch.fnmatchcase, names, patterns))


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
        self._absent, self._changed = (exceptions.NotFoundError, FileNotFoundError), exceptions.PreconditionError
        self._refusals: tuple[type[Exception], ...] = (
            exceptions.PermissionDeniedError,
            exceptions.UnauthenticatedError,
            exceptions.InvalidPathError,
            exceptions.NotSupportedError,  # a web server that sends no parts of files
        )
        # Options given here replace those that obstore reads from the environment, so this option is passed on.
        insecure = url.startswith("http://") or os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")

        def made(timeout: str, retry: Any) -> Any:
            options: Any = {"timeout": timeout, "connect_timeout": "10s", "allow_http": insecure}
            return store.from_url(url, client_options=options, retry_config=retry)

        self._url = url
        # `transfer` repeats reads, with one deadline for all attempts; obstore repeats the parts of an upload.
        self._store = made("30s", {"max_retries": 0})
        self._uploads = made("300s", {"max_retries": 20, "retry_timeout": timedelta(seconds=_UPLOAD_DEADLINE)})

    def facts(self, path: str) -> Facts:
        return _facts(self._ask(lambda: self._obstore.head(self._store, path)))

    def read(self, path: str, start: int, end: int, version: str | None) -> memoryview:
        options: Any = {"range": (start, end)}
        if version is not None:
            options["if_match"] = version
        return self._ask(lambda: memoryview(self._obstore.get(self._store, path, options=options).bytes()))

    def below(self, folder: str) -> dict[str, Facts]:
        return self._ask(
            lambda: {
                one["path"]: _facts(one)
                for some in self._obstore.list(self._store, folder or None, chunk_size=1000)
                for one in some
            }
        )

    def children(self, folder: str) -> tuple[list[str], list[str]]:
        found = self._ask(lambda: self._obstore.list_with_delimiter(self._store, folder or None))
        return _names(found["common_prefixes"]), _names(one["path"] for one in found["objects"])

    def upload(self, path: str, file: IO[bytes]) -> None:
        size = os.fstat(file.fileno()).st_size
        piece = max(_PIECE, -(-size // _MOST_PIECES))
        self._ask(lambda: self._obstore.put(self._uploads, path, file, chunk_size=piece, max_concurrency=8))
        if (there := self.facts(path).size) != size:
            raise Refused(f"the store holds {there} bytes of the {size} that were sent")

    def delete(self, path: str) -> None:
        self._ask(lambda: self._obstore.delete(self._store, path))

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except self._absent as error:
            raise Missing(f"{type(error).__name__}: {first_line(error)}") from None
        except self._changed as error:
            raise Changed(f"{type(error).__name__}: {first_line(error)}") from None
        except self._refusals as error:
            raise Refused(f"{type(error).__name__}: {first_line(error)}") from None


def _names(paths: Iterable[str]) -> list[str]:
    return sorted(name for path in paths if (name := path.rstrip("/").rpartition("/")[2]))


def _facts(found: Any) -> Facts:
    tag = found.get("e_tag")
    weak = tag is None or tag.startswith("W/")
    return Facts(int(found["size"]), None if weak else tag, str(tag or found.get("last_modified")) if weak else None)


_STAMPS = "ETag", "etag", "mtime", "modified", "last_modified", "LastModified", "modificationTime", "created"
"""Entries of fsspec's facts, by file system. None of them can be used in a request."""


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
            raise ValueError(f"{scheme}://: fsspec cannot read this scheme: {first_line(error)}") from None

    def facts(self, path: str) -> Facts:
        self._files.invalidate_cache()  # s3fs, gcsfs and others would give what they listed before
        return self._described(self._ask(lambda: self._files.info(path)))

    @staticmethod
    def _described(found: Any) -> Facts:
        stamp = next((found[name] for name in _STAMPS if found.get(name)), None)
        return Facts(int(found["size"]), None, None if stamp is None else str(stamp))

    def read(self, path: str, start: int, end: int, version: str | None) -> memoryview:  # noqa: ARG002
        return self._ask(lambda: memoryview(self._files.cat_file(path, start=start, end=end)))

    def below(self, folder: str) -> dict[str, Facts]:
        self._files.invalidate_cache()  # as above
        found = self._ask(lambda: self._files.find(folder, detail=True))
        # Some file systems return paths with a leading slash, even if the request had none.
        return {
            path if folder.startswith("/") else path.lstrip("/"): self._described(facts)
            for path, facts in found.items()
        }

    def children(self, folder: str) -> tuple[list[str], list[str]]:
        found = self._ask(lambda: self._files.ls(folder, detail=True))
        return (
            _names(one["name"] for one in found if one["type"] == "directory"),
            _names(one["name"] for one in found if one["type"] != "directory"),
        )

    def upload(self, path: str, file: IO[bytes]) -> None:
        unfinished = f"{path}.{os.getpid()}.unfinished"

        def put() -> None:
            try:
                self._files.put_file(file.name, unfinished)
                self._files.mv(unfinished, path)
            except BaseException:
                with suppress(Exception):
                    self._files.rm_file(unfinished)
                raise

        self._ask(put)

    def delete(self, path: str) -> None:
        self._ask(lambda: self._files.rm_file(path))

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except (FileNotFoundError, PermissionError) as error:
            kind = Missing if isinstance(error, FileNotFoundError) else Refused
            raise kind(f"{type(error).__name__}: {first_line(error)}") from None


def first_line(error: BaseException) -> str:
    """The first line of an error's text, cut to 200 characters: stores answer with whole pages."""
    return (str(error).splitlines() or [""])[0][:200]
