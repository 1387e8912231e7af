"""Reading: what the user says of how data are to be read; everything that is not said is found out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from featstore.errors import ImageSetError

CLASS_FROM = ("top", "leaf", "path")


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a folder, a list or an archive is to be read.

    Parameters
    ----------
    labels : str, optional
        A regular expression whose first group, searched in each image's path, is its class; or a file that lists
        images and classes.
    layout : str
        Name of a layout (`featstore layouts` lists them); "auto" finds out.
    class_from : {"top", "leaf", "path"}, optional
        Where class folders are nested: the outermost is the class, the innermost, or the whole path of folders.
    label_column, path_column, split_column, group_column : str, optional
        Columns of the list; of a known data set, which of its kinds of label is the class.
    root : str, optional
        Folder that the paths in the list are relative to.
    suffix : str
        What is to be added to the paths in the list, such as ".jpg".
    unlabelled : bool
        Images without a label are taken, too: their features are kept, and heads leave them out.
    allow : tuple of str
        Names of doubts that are not to stop the run.

    Raises
    ------
    ImageSetError
        Where `class_from` is none of the three.

    Examples
    --------
    >>> Reading(labels=r"([a-z]+)[.]", allow=["copies"]).to_json()
    {'labels': '([a-z]+)[.]', 'allow': ['copies']}
    >>> Reading.from_json({"suffix": ".jpg"}).suffix
    '.jpg'
    """

    labels: str | None = None
    layout: str = "auto"
    class_from: str | None = None
    label_column: str | None = None
    path_column: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    root: str | None = None
    suffix: str = ""
    unlabelled: bool = False
    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "allow", tuple(self.allow))
        if self.class_from not in (None, *CLASS_FROM):
            raise ImageSetError(f"`class_from` is {self.class_from!r}; expected one of {', '.join(CLASS_FROM)}")

    def to_json(self) -> dict[str, Any]:
        """The fields that were said, as JSON values."""
        default = type(self)()
        said = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in said.items()
            if value != getattr(default, name)
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; fields of a later version are left out."""
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in document.items() if name in known})
