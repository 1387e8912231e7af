"""What people call the columns of a list: the path, the label, the part, what belongs together."""

from __future__ import annotations

import re
from functools import cache

_PATHS = (
    # the first are the plainest
    "path filepath imagepath imgpath relativepath relpath fullpath abspath absolutepath pathtoimage pathofimage",
    "file filename imagefile imagefilename imgfile imgname imgfilename imagename image img picture pic photo frame uri "
    "picturename photoname jpg jpeg png imageuri filepaths filenames paths images files",
    "imageid imgid id pictureid photoid fileid isicid name key uuid guid imageindex index item sample sampleid",
)
_LABELS = (
    "label class category target breed species diagnosis dx disease classification groundtruth variety cultivar genre "
    "labels classes categories targets"
)
_WEAK_LABELS = "y gt finding annotation answer tag tags type kind"
_LABEL_WORDS = "label class category target breed species diagnosis disease variety"
_NUMBERING = "name names text txt str string id ids idx index code nr number title encoded"
_NO_LABEL = "num n no is has count"
_PARTS = "split partition set subset part phase"
_LOOSE_PARTS = (
    "fold dataset usage mode stage datasplit traintest trainortest trainvaltest splitname splits sets setname "
    "subsetname partname purpose role datatype"
)
_GROUPS = (
    "patient subject group scene person individual participant animal video clip sequence series case lesion slide "
    "plate plot specimen session visit donor mouse site camera location"
)


@cache
def plain(name: str) -> str:
    """A name without capitals, spaces and marks between words.

    Examples
    --------
    >>> plain("Image_ID "), plain("filePath")
    ('imageid', 'filepath')
    """
    return re.sub(r"[\W_]+", "", name.casefold())


def words(name: str) -> list[str]:
    """The words of a name, in small letters.

    Examples
    --------
    >>> words("dogBreed"), words("class_id2")
    (['dog', 'breed'], ['class', 'id'])
    """
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def path_rank(name: str) -> int | None:
    """How plainly a column says that it holds paths, 0 the plainest; None where it does not.

    Examples
    --------
    >>> path_rank("Path"), path_rank("image_id"), path_rank("width")
    (0, 2, None)
    """
    key = plain(name)
    return next((rank for rank, names in enumerate(_PATHS) if key in names.split()), None)


def label_rank(name: str) -> int | None:
    """How plainly a column says that it holds classes, 0 the plainest; None where it does not.

    Examples
    --------
    >>> label_rank("Class"), label_rank("dog_breed"), label_rank("label_quality")
    (0, 1, None)
    >>> label_rank("y")  # or a coordinate
    2
    """
    if plain(name) in _WEAK_LABELS.split():
        return 2
    if plain(name) in _LABELS.split():
        return 0
    found = words(name)
    while found and found[-1] in _NUMBERING.split():
        found.pop()
    if found and found[-1] in _LABEL_WORDS.split() and found[0] not in _NO_LABEL.split():
        return 1
    fused = rf"(image|img|true|gt)?({_LABEL_WORDS.replace(' ', '|')})({_NUMBERING.replace(' ', '|')})?"
    return 1 if re.fullmatch(fused, plain(name)) else None


def label_base(name: str) -> str:
    """What a column of numbers and the column of their names share.

    Examples
    --------
    >>> label_base("class_id"), label_base("ClassName"), label_base("label")
    ('class', 'class', 'label')
    """
    return re.sub(rf"({_NUMBERING.replace(' ', '|')})$", "", plain(name))


def is_part(name: str) -> bool:
    """Whether a column says that it holds parts.

    Examples
    --------
    >>> is_part("Split"), is_part("fold")
    (True, False)
    """
    return plain(name) in _PARTS.split()


def may_be_part(name: str) -> bool:
    """Whether a column may hold parts, where its cells say so.

    Examples
    --------
    >>> may_be_part("fold"), may_be_part("Usage"), may_be_part("breed")
    (True, True, False)
    """
    return plain(name) in f"{_PARTS} {_LOOSE_PARTS}".split()


def is_group(name: str) -> bool:
    """Whether a column says which images belong together.

    Examples
    --------
    >>> is_group("patient_id"), is_group("breed")
    (True, False)
    """
    return re.sub(r"(id|ids|name|no|nr|number|code|index|key)$", "", plain(name)) in _GROUPS.split()


def is_known(name: str) -> bool:
    """Whether a cell is what people call a column.

    Examples
    --------
    >>> is_known("file_name"), is_known("Abyssinian")
    (True, False)
    """
    return bool(path_rank(name) is not None or label_rank(name) is not None or may_be_part(name) or is_group(name))
