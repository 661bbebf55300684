from __future__ import annotations

import pytest

from efficienttrain.__main__ import main
from efficienttrain.commands import doctor
from loaders.requirements import Check, Library


def test_the_versions_of_a_bug_report(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("efficienttrain ")
    assert {"python", "system", "torch", "numpy"} <= {line.split()[0] for line in shown.splitlines()[1:]}


@pytest.mark.parametrize(("needed", "status"), [(False, 0), (True, 1)])
def test_what_is_missing_is_named_with_its_remedy(
    needed: bool, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Check("backend x", "is not installed", "pip install x", needed)
    monkeypatch.setattr(doctor, "checks", lambda: [Check("kernel", "portable"), broken], raising=False)
    monkeypatch.setattr(doctor, "LIBRARIES", (Library("no_such_module", "dreams", "all"),))
    assert main(["doctor"]) == status
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "ok kernel portable" in lines
    assert f"{'MISSING' if needed else '-'} backend x is not installed" in lines
    assert "backend x pip install x" in lines
    assert "no_such_module pip install 'efficienttrain[all]'" in lines


def test_the_kernel_is_tried(capsys: pytest.CaptureFixture[str]) -> None:
    from loaders.requirements import _kernel

    assert "instructions" in _kernel().found and _kernel().remedy == ""
    assert capsys.readouterr().out == ""
