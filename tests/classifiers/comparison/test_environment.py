import json
import re
import sys

import numpy as np

from classifiers.comparison.environment import environment


def test_it_says_what_ran_where():
    found = environment()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["versions"]["numpy"] == np.__version__
    assert set(found["versions"]) == {"featstore", "numpy", "scikit-learn", "lightgbm", "torch"}
    assert found["cores"] >= 1 and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", found["date"])
    json.dumps(found)
