"""ILSVRC2012's own files as a source, without unpacking them: the training tar of class tars, the validation tar."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator

from ..beton.fields import LABEL_ONLY
from ..errors import BadDataset
from ..storage import files
from ..storage.store import is_url
from .source import FileRange, Indexed, Options, Sample, file_facts
from .tar_files import DAMAGE, check_end, each_member, one_file, open_tar

_TRAIN_PREFIX = "n"  # of the class tars and folders: WordNet ids such as n01440764


class ImageNet(Indexed):
    """The samples of `ILSVRC2012_img_train.tar`, or of `ILSVRC2012_img_val.tar` with a file of labels.

    Classes are the sorted WordNet ids, so the labels match those of published models. Samples are in the order of their
    classes, then of their names, as in an image folder of the same files.
    """

    choices = ("labels",)
    columns = ("label",)

    def __init__(self, path: str, options: Options) -> None:
        """Reads the tars' headers.

        Args:
            path: either tar.
            options: the validation tar needs `labels`: the original devkit (.tar.gz), whose ground truth and synset
                table are used; a text file of lines `ILSVRC2012_val_00000001.JPEG n01751748`; or Kaggle's
                `LOC_val_solution.csv`.

        Raises:
            ValueError: a validation tar without labels, or images without a label.
            BadDataset: a tar is damaged or truncated.
        """
        self.path, self._options = path, options
        train = _members(path, ".tar")
        self.fields = dict(LABEL_ONLY)
        if train:
            tars = {os.path.basename(name)[:-4]: place for name, place in train}
            inner = files.each(lambda wnid: sorted(_inner(path, tars[wnid])), sorted(tars), is_url(path))
            self._samples = [
                (f"{wnid}/{name}", wnid, place)
                for wnid, images in zip(sorted(tars), inner, strict=True)
                for name, place in images
            ]
        else:
            labels = self._val_labels()
            images = sorted((os.path.basename(name), place) for name, place in _members(path, ".jpeg"))
            missing = [name for name, _ in images if _stem(name) not in labels]
            if missing or not images:
                raise ValueError(f"{path}: {missing[0] if missing else 'no image'} has no label in {options.labels}")
            found = ((name, labels[_stem(name)], place) for name, place in images)
            self._samples = sorted((f"{wnid}/{name}", wnid, place) for name, wnid, place in found)
        self.classes = sorted({wnid for _, wnid, _ in self._samples} | set(options.classes or ()))

    @staticmethod
    def recognises(path: str) -> bool:
        """Recognises the published names of the tars, and a tar whose first member is the tar of a class."""
        base = os.path.basename(path)
        if base.startswith("ILSVRC2012_img_") and base.endswith(".tar"):
            return True
        if not path.endswith(".tar") or not one_file(path):
            return False
        try:
            with files.open_file(path) as file, tarfile.open(path, "r:", file) as tar:
                first = tar.next()
        except (tarfile.TarError, OSError):
            return False
        return first is not None and first.name.endswith(".tar") and os.path.basename(first.name)[:1] == _TRAIN_PREFIX

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        name, wnid, place = self._samples[index]
        return Sample(name, place, {"label": wnid})

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return file_facts([self.path, *([self._options.labels] if self._options.labels else [])])

    def _val_labels(self) -> dict[str, str]:
        """WordNet id of each validation image, by its name without the ending."""
        source = self._options.labels
        if source is None:
            raise ValueError(f"{self.path}: the validation images need `labels`: the devkit's .tar.gz, or a text file")
        if source.endswith((".tar.gz", ".tgz")):
            return _devkit(source)
        try:
            lines = files.read_all(source).decode("utf-8").splitlines()
        except UnicodeError as error:
            raise BadDataset(f"{source}: is not UTF-8 ({error}); copy it again, or save it in that encoding") from None
        rows = [line.replace(",", " ").split() for line in lines if line.strip()]
        return {_stem(row[0]): row[1] for row in rows if len(row) > 1}


def _stem(name: str) -> str:
    """A file's name without folder and ending, as Kaggle's table has it."""
    return os.path.splitext(os.path.basename(name))[0]


def _members(path: str, ending: str) -> list[tuple[str, FileRange]]:
    """Name and location of a tar's members with this ending.

    Raises:
        BadDataset: the tar is damaged or truncated.
    """

    def place(_tar: tarfile.TarFile, info: tarfile.TarInfo) -> tuple[str, FileRange] | None:
        wanted = info.isreg() and info.name.lower().endswith(ending)
        return (info.name, FileRange(path, info.size, info.offset_data)) if wanted else None

    return list(each_member(path, False, place))


def _inner(path: str, tar: FileRange) -> Iterator[tuple[str, FileRange]]:
    """Name and location of the images in a tar inside a tar."""
    start = tar.offset or 0
    try:
        with files.open_file(path) as file:
            file.seek(start)
            with open_tar(path, file=file) as inner:
                for info in inner:
                    if info.isreg():
                        # Offsets count from the beginning of the outer file; the inner tar begins in its middle.
                        yield os.path.basename(info.name), FileRange(path, info.size, info.offset_data)
                if not is_url(path):
                    check_end(f"{path}, class tar at byte {start}", inner, start + tar.size)
    except DAMAGE as error:
        raise BadDataset(f"{path}: its class tar at byte {start} is damaged ({error}); copy it again") from None


def _devkit(path: str) -> dict[str, str]:
    """WordNet ids of the validation images from the devkit: `validation_ground_truth.txt` and `meta.mat`.

    Raises:
        ValueError: scipy, which reads the synset table, is not installed; or the devkit lacks a file.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise ValueError(f"{path}: the devkit's meta.mat needs scipy; install it, or give a text file") from None
    try:
        with files.open_file(path) as file, open_tar(path, packed=True, file=file) as tar:
            members = {os.path.basename(info.name): info for info in tar if info.isreg()}
            truth = tar.extractfile(members["ILSVRC2012_validation_ground_truth.txt"])
            meta = tar.extractfile(members["meta.mat"])
            assert truth is not None and meta is not None
            numbers = [int(line) for line in truth.read().split()]
            synsets = loadmat(meta, squeeze_me=True)["synsets"]
        wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets if int(row["num_children"]) == 0}
        return {f"ILSVRC2012_val_{k:08d}": wnids[number] for k, number in enumerate(numbers, 1)}
    except KeyError as error:
        raise ValueError(f"{path}: the devkit lacks {error}") from None
    except (*DAMAGE, ValueError, TypeError, IndexError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise BadDataset(f"{path}: not a valid devkit ({error}); copy it again") from None
