"""Report: the result of a comparison. One dict is the truth; text, markdown, HTML and JSON are renderings of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from classifiers.report import report_data
from featstore.errors import ReportError, ReportNotFoundError


class Report:
    """Several heads on one or more feature sets of a data set, judged and compared.

    Parameters
    ----------
    data : dict
        As docs/design.md, "Report data", describes it; the stable part of it is checked.

    Attributes
    ----------
    data : dict
        What was given.

    Raises
    ------
    featstore.errors.ReportError
        A key of the stable part is missing or of another type, or the format is a newer one.

    Examples
    --------
    >>> run = {"head": "knn", "backbone": "resnet18", "node": "avgpool", "weights": "none", "feature_key": "0" * 16,
    ...        "params": {"k": 5}, "selected_on": "validation", "accuracy": 0.9, "accuracy_ci": [0.8, 0.95],
    ...        "confusion": [[9, 1], [1, 9]], "converged": True}
    >>> dataset = {"name": "insects", "classes": ["ant", "bee"], "train": 40, "test": 20}
    >>> report = Report({"format": 1, "dataset": dataset, "runs": [run], "comparisons": [], "best": "knn",
    ...                  "environment": {}})
    >>> report
    <Report of 'insects': 1 runs, best 'knn'>
    >>> report.to_markdown().splitlines()[0]
    '# insects'
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = report_data.check(data)

    @classmethod
    def load(cls, path: str | Path) -> Report:
        """Read a report.json, or the folder that holds one.

        Raises
        ------
        featstore.errors.ReportNotFoundError
            Nothing is there.
        featstore.errors.ReportError
            It is no report, or one of a newer format.
        """
        path = Path(path)
        if path.is_dir():
            path = path / "report.json"
        try:
            text = path.read_bytes()
        except FileNotFoundError as error:
            raise ReportNotFoundError(f"{path} does not exist; featstore compare STORE -o DIR writes one") from error
        except OSError as error:
            raise ReportError(f"{path} cannot be read: {error.strerror}") from error
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ReportError(f"{path} is no JSON document ({error}); expected a report.json") from error
        report = cls.__new__(cls)
        report.data = report_data.check(data, str(path))
        return report

    def to_json(self) -> str:
        """The data as JSON: ASCII, one line a key and one a run, no NaN."""
        lines = []
        for key, value in self.data.items():
            if key == "runs":
                rows = ",\n  ".join(_dumps(run) for run in value)
                lines.append(f'"runs": [\n  {rows}\n]')
            else:
                lines.append(f"{_dumps(key)}: {_dumps(value)}")
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def to_text(self, width: int = 120) -> str:
        """For a terminal of `width` columns: verdict, table, warnings."""
        from classifiers.report import plaintext

        return plaintext.text(self.data, width)

    def to_markdown(self) -> str:
        """For issue trackers and notes."""
        from classifiers.report import markdown

        return markdown.markdown(self.data)

    def to_html(self) -> str:
        """One self-contained page, with thumbnails where the images are still at their place."""
        from classifiers.report import page

        return page.html(self.data)

    def write(self, directory: str | Path) -> list[Path]:
        """Write report.html, report.json and report.md, each whole or not at all.

        Parameters
        ----------
        directory : str or Path
            Made where it does not exist; reports in it are replaced.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        featstore.errors.StoreWriteError
            The disk refused.
        """
        from featstore.system import fsio

        directory = Path(directory)
        renderings = {"report.json": self.to_json(), "report.md": self.to_markdown(), "report.html": self.to_html()}
        fsio.make_directory(directory)
        for name, text in renderings.items():
            fsio.replace(directory / name, text.encode("utf-8"))
        return [directory / name for name in renderings]

    def __repr__(self) -> str:
        return (
            f"<Report of {self.data['dataset']['name']!r}: {len(self.data['runs'])} runs, best {self.data['best']!r}>"
        )

    def _repr_html_(self) -> str:
        from classifiers.report import page

        return page.summary(self.data)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False)
