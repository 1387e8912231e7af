"""Who trains and who judges, how good predictions are, and how sure one can be.

May import `types`, `formatting`, `linalg`, `threads` and featstore.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.validation.calibration import Calibration as Calibration, fit_calibration as fit_calibration
    from classifiers.validation.protocol import EvaluationProtocol as EvaluationProtocol, make_protocol as make_protocol
    from classifiers.validation.scores import Scores as Scores
    from classifiers.validation.shift import Shift as Shift, find_shift as find_shift
    from classifiers.validation.significance import (
        bootstrap as bootstrap,
        holm as holm,
        mcnemar_exact as mcnemar_exact,
        wilson as wilson,
    )
    from classifiers.validation.splits import (
        group_by as group_by,
        holdout as holdout,
        most_alike as most_alike,
        stratified_folds as stratified_folds,
    )
    from classifiers.validation.transferability import h_score as h_score, log_me as log_me

__getattr__, __dir__ = lazy_exports(__name__)
