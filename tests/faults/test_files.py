from __future__ import annotations

import pytest

from benchmarks.faults import files, hostile


def test_flipped_bits_are_named_or_harmless() -> None:
    results = {reply["fault"]: reply for reply in files.flips(3, 6) if "fault" in reply}
    assert len(results) == 24
    for fault, reply in results.items():
        assert reply["reproducers"] == [], fault
        if fault.endswith("verify"):
            assert reply["named"] == 6


@pytest.mark.parametrize("run", [files.cuts, files.swaps, hostile.names])
def test_cut_swapped_and_ill_named_betons(run: object) -> None:
    for reply in run(3, 1 if run is hostile.names else 3):  # type: ignore[operator]
        assert "alive" in reply or (reply["tries"] and reply["reproducers"] == [])


def test_hostile_tables_with_sound_crcs() -> None:
    for reply in hostile.betons(3, 40):
        assert reply.get("reproducers", []) == []
