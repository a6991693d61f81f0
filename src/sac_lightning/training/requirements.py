"""Look up what trainings read, without reading it: the files of their data sets, and their base weights.

A sweep starts this module before its first job (see runs.requirements).
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sac_lightning.core.errors import UserError
from sac_lightning.data.build import make_data
from sac_lightning.model.build import base_weights
from sac_lightning.model.weights import locate


def find_missing(trainings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each data set and each file of weights that is missing.

    Registered weights that are not on this machine yet are downloaded.

    Args:
        trainings: ``data``, ``model``, ``view`` and ``seed`` of each.
    """
    missing: dict[str, None] = {}
    for settings in trainings:
        weights = base_weights(settings["model"])
        try:
            _ = make_data(settings).samples
            if weights is not None:
                locate(weights)
        except UserError as error:
            missing[str(error)] = None
    return list(missing)


if __name__ == "__main__":
    json.dump(find_missing(json.load(sys.stdin)), sys.stdout)
