"""Tests mirror the rooms: the test of a module lies at the same place under tests."""

from tests.house.imports import ROOT, modules


def test_every_module_has_a_test_file_of_its_name_at_its_place():
    lacking = []
    for name, path in modules().items():
        folder = path.relative_to(ROOT).parent
        if path.name != "__init__.py" and not (ROOT / "tests" / folder / f"test_{path.name}").exists():
            lacking.append(name)
    assert lacking == []


def test_every_folder_of_tests_is_a_room_or_one_of_the_four_others():
    rooms = {path.parent.relative_to(ROOT) for path in modules().values()}
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    assert {str(folder) for folder in folders - rooms} <= {"house", "promises"}
