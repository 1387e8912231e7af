"""Where a report may be written, and how it is shown."""

import json

import click
import pytest

from classifiers import Report
from featstore.errors import OutputExistsError
from featstore_scripts.report_folder import FILES, out, refuse_existing, show
from tests.support.report_example import planted


def test_a_folder_that_holds_a_report_is_refused_unless_it_may_be_replaced(tmp_path):
    refuse_existing(tmp_path / "new", overwrite=False)
    (tmp_path / "notes.txt").write_text("mine")
    refuse_existing(tmp_path, overwrite=False)
    for name in FILES:
        (tmp_path / name).write_text("old")
        with pytest.raises(OutputExistsError, match="holds .*; name another folder or add --overwrite"):
            refuse_existing(tmp_path, overwrite=False)
        refuse_existing(tmp_path, overwrite=True)
        (tmp_path / name).unlink()


def test_a_file_and_a_place_in_the_store_are_refused_whatever_may_be_replaced(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputExistsError, match="is a file; -o names the folder"):
        refuse_existing(tmp_path / "file", overwrite=True)
    for place in (tmp_path / "store", tmp_path / "store" / "deep" / "report"):
        with pytest.raises(OutputExistsError, match="is inside the store"):
            refuse_existing(place, overwrite=True, store=str(tmp_path / "store"))
    refuse_existing(tmp_path / "report", overwrite=True, store=str(tmp_path / "store"))


def test_a_report_is_printed_as_its_document_or_as_text_with_the_place_of_its_page(tmp_path, capsys):
    report = Report(planted(3, 20, strengths={"logistic": 2.0}))
    show(report, tmp_path, as_json=True)
    assert json.loads(capsys.readouterr().out) == json.loads(report.to_json())
    show(report, tmp_path, as_json=False)
    printed = capsys.readouterr().out
    assert printed.startswith(report.to_text(120)) and printed.endswith(f"Report: {tmp_path / 'report.html'}\n")


def test_a_command_has_to_name_it():
    command = click.command()(out(lambda out: None))
    with pytest.raises(click.MissingParameter, match="Missing parameter: out"):
        command.main([], standalone_mode=False)
