"""Cases of schemathesis with values that the API's document does not lead to: times, cursors, texts and bodies of
`tests.nasty`.
"""

from __future__ import annotations

import json
from typing import Any

import requests
from hypothesis import strategies as st

from tests import nasty


def known_things(url: str) -> dict[str, str]:
    """By the name of a parameter or of a field what there is of its kind: what is not there is answered before anything
    else of a request is looked at.
    """

    def first(noun: str) -> str:
        items = requests.get(f"{url}/api/v1/{noun}", timeout=60).json()["items"]
        return str(items[0]["id"]) if items else "none"

    model = requests.get(f"{url}/api/v1/monitors", timeout=60).json()[0]["model"]
    ids = {"run": "runs", "alert": "alerts", "request_id": "retraining", "notification": "notifications"}
    return {"name": "churn", "metric": "roc_auc", "model": model} | {name: first(noun) for name, noun in ids.items()}


def widened(case: Any, data: Any, known_values: dict[str, str]) -> dict[str, Any]:
    """Give some parameters of a case other values, or those of `known_things`; another body, if there is one, is
    returned as what `case.call` takes.
    """
    for described, values in (
        (case.operation.query, case.query),
        (case.operation.path_parameters, case.path_parameters),
    ):
        for parameter in described:
            if parameter.name in known_values and data.draw(st.sampled_from((True, True, False))):
                values[parameter.name] = known_values[parameter.name]
            elif data.draw(st.booleans()):
                value = data.draw(nasty.parameter(parameter.name))
                if described is case.operation.query or value.strip("./"):  # others are another path
                    values[parameter.name] = value
    if not isinstance(case.body, dict | list) or data.draw(st.booleans()):
        return {}
    body = data.draw(nasty.body(case.body, known_values) if isinstance(case.body, dict) else nasty.json_rows())
    return {"data": json.dumps(body).encode(), "headers": {"content-type": "application/json"}}
