from __future__ import annotations

from tools.neighbours import ALWAYS, HASHES, PAGES, ROOT, near

TESTS = dict.fromkeys([*ALWAYS, *PAGES, HASHES], "") | {
    "tests/loaders/plan/test_crop.py": "",
    "tests/loaders/plan/test_order.py": "",
    "tests/loaders/native/test_pool.py": "",
    "tests/efficienttrain/test_recipe.py": "from efficienttrain.recipe import recipe\n",
    "tests/loaders/backends/test_dali.py": "def f():\n    from loaders.plan import crop, level\n",
}


def test_the_folders_tests_and_those_that_import_it() -> None:
    beside = ["tests/loaders/plan/test_crop.py", "tests/loaders/plan/test_order.py"]
    assert near(["loaders/plan/crop.py"], TESTS) == sorted([*ALWAYS, *beside, "tests/loaders/backends/test_dali.py"])
    assert near(["tests/loaders/plan/test_order.py"], TESTS) == sorted([*ALWAYS, *beside])


def test_the_kernel_brings_the_hashes() -> None:
    for path in ("loaders/native/kernel.h", "loaders/native/pool/pool.cpp"):
        assert near([path], TESTS) == sorted([*ALWAYS, HASHES, "tests/loaders/native/test_pool.py"])


def test_pages_bring_the_tests_of_the_documentation() -> None:
    assert near(["docs/loader.md", "tests/conftest.py"], TESTS) == sorted([*ALWAYS, *PAGES])
    assert all((ROOT / path).is_file() for path in (*ALWAYS, *PAGES, HASHES))
