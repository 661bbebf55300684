from __future__ import annotations

import pickle
import random
from pathlib import Path

import pytest
import torch

from efficienttrain.torch_file import check_whole


def test_whole_files_of_both_formats_pass(tmp_path: Path) -> None:
    for zipped in (True, False):
        torch.save({"a": torch.ones(100)}, tmp_path / "file.pt", _use_new_zipfile_serialization=zipped)
        check_whole(tmp_path / "file.pt")
    (tmp_path / "file.pt").write_bytes(pickle.dumps({"a": 1}))
    check_whole(tmp_path / "file.pt")


def test_every_wrong_bit_of_a_tensor_and_every_truncation_is_found(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    torch.save({"a": torch.full((2000,), 1.5)}, path)
    whole, draw = path.read_bytes(), random.Random(0)
    at = whole.index(torch.full((4,), 1.5).numpy().tobytes())
    for _ in range(50):
        changed = bytearray(whole)
        changed[at + draw.randrange(8000)] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"the checksum of .* differs"):
            check_whole(path)
        path.write_bytes(whole[: draw.randrange(4, len(whole))])
        with pytest.raises(ValueError, match="truncated or changed"):
            check_whole(path)
