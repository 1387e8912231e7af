"""One exception tree. Each leaf is also the built-in exception that fits, so `except FileNotFoundError` works too.

Every message says what was found, what was expected and what to do. Commands print the message and exit with status 1.
"""

import difflib
from collections.abc import Iterable


class FeatstoreError(Exception):
    """Everything that featstore and classifiers raise on purpose."""


class ImagesNotFoundError(FeatstoreError, FileNotFoundError):
    """An image folder, image file or CSV that does not exist."""


class ImageSetError(FeatstoreError, ValueError):
    """An image set that cannot be used: empty, no readable image, a malformed CSV, an unusable split."""


class DecodeError(FeatstoreError, ValueError):
    """An image file that cannot be decoded; the message is the reason that is recorded with its row."""


class UnknownNameError(FeatstoreError, LookupError):
    """A backbone, node, head, class or data set that does not exist; the message offers close matches.

    Examples
    --------
    >>> UnknownNameError("backbone", "resnet5", ["resnet18", "resnet50"]).close_matches
    ['resnet50', 'resnet18']
    """

    kind, name, close_matches = "", "", list[str]()

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        known = list(known)
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        if close:
            offer = f"close matches: {', '.join(close)}"
        elif len(known) <= 12:
            offer = f"known: {', '.join(known)}" if known else "none are known"
        else:
            offer = f"{len(known)} are known, for instance {', '.join(known[:5])}"
        super().__init__(f"unknown {kind} {name!r}; {offer}{'; ' + hint if hint else ''}")
        self.kind, self.name, self.close_matches = kind, name, close


class WeightsError(FeatstoreError, ValueError):
    """Weights that cannot be used: of another architecture, truncated, wrong hash, or a pickle that would run code."""


class WeightsNotFoundError(WeightsError, FileNotFoundError):
    """Weights that are neither on this machine nor reachable."""


class DownloadError(FeatstoreError, OSError):
    """An address on the network that cannot be fetched: unreachable, a web page, another hash than promised."""


class StoreError(FeatstoreError):
    """Anything about a feature store."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """No store, data set or feature set there."""


class StoreFormatError(StoreError, ValueError):
    """A folder that is no store, or a store of a newer format."""


class StoreWriteError(StoreError, OSError):
    """The disk refused: full, read-only, an I/O error. What was committed before stays readable."""


class StoreDamagedError(StoreError, ValueError):
    """Bytes on disk that are not what was committed."""


class StoreConflictError(StoreError, RuntimeError):
    """Two writers produced different bytes for the same row under the same key."""


class AmbiguousFeaturesError(StoreError, LookupError):
    """Several feature sets or data sets fit where one was meant."""


class FeaturesError(FeatstoreError, ValueError):
    """Features that cannot be learnt from: NaN, one class, too few images, the wrong width."""


class FingerprintMismatchError(FeatstoreError, ValueError):
    """Features, a classifier or a network that do not belong together."""


class BundleError(FeatstoreError, ValueError):
    """A classifier bundle that cannot be read or used."""


class BundleNotFoundError(BundleError, FileNotFoundError):
    """No bundle at that path."""


class ReportError(FeatstoreError, ValueError):
    """A comparison report that cannot be read: damaged, of a newer format, or no report at all."""


class ReportNotFoundError(ReportError, FileNotFoundError):
    """No report at that path."""


class NoGradientError(FeatstoreError, TypeError):
    """A head without gradients was asked for something that needs them."""


class DeviceError(FeatstoreError, RuntimeError):
    """A device or engine that this machine does not have, or that ran out of memory."""


class MissingExtraError(FeatstoreError, ImportError):
    """An optional dependency that is not installed; the message holds the exact `pip install`."""


class OutputExistsError(FeatstoreError, FileExistsError):
    """An output path that exists and may not be overwritten without being told to."""


class TrainingError(FeatstoreError, RuntimeError):
    """Training that cannot go on: a loss that became NaN, settings that differ from the checkpoint's."""


class AttackError(FeatstoreError, ValueError):
    """An adversarial attack without sense: a radius below one grey level, a target that is the image's own class."""


def recreated(kind: str, message: str) -> FeatstoreError:
    """An error that another process raised.

    Parameters
    ----------
    kind : str
        Name of its class; one that is not of this module becomes FeatstoreError.
    message : str

    Examples
    --------
    >>> recreated("DecodeError", "the file is empty")
    DecodeError('the file is empty')
    """
    known = globals().get(kind)
    known = known if isinstance(known, type) and issubclass(known, FeatstoreError) else FeatstoreError
    if "__init__" not in vars(known):
        return known(message)
    error = known.__new__(known)
    error.args = (message,)
    return error
