"""Which tumours need a surgeon? A model reads the measurements, and asks a person where it is unsure.

    dovetail run flow.py                       # pauses at the first case that it is unsure about
    dovetail signal RUN '{"malignant": true}'  # answers, and the run goes on
    dovetail show RUN --tree                   # every call, with what went in and what came out

The 569 cases ship inside scikit-learn. The models are trained on one half; the flow works through cases of the other
one after the other, as an agent would: what a call answers decides which call comes next. However often the run is
killed or paused, no call is made twice.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from dataclasses import dataclass
from typing import Any

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dovetail import flow, task, wait_for_input

MODELS: dict[str, Any] = {
    "reader": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    "colleague": lambda: RandomForestClassifier(200, random_state=0),
}


@dataclass
class Opinion:
    """What a model says of a case."""

    malignant: bool
    confidence: float


@dataclass
class Verdict:
    """What a person says of a case."""

    malignant: bool
    note: str = ""


def halves() -> tuple[Any, Any, Any, Any]:
    """Measurements and labels to train on, and the others."""
    data = load_breast_cancer()
    known, new, labels, truth = train_test_split(
        data.data, data.target, test_size=0.5, stratify=data.target, random_state=0
    )
    return known, labels, new, truth


@task
def train(name: str) -> Any:
    """A model that has seen one half."""
    known, labels, _, _ = halves()
    return MODELS[name]().fit(known, labels)


@task
def examine(model: Any, case: int) -> Opinion:
    """A model's opinion of a case of the other half."""
    benign = float(model.predict_proba(halves()[2][case : case + 1])[0, 1])
    return Opinion(malignant=benign < 0.5, confidence=round(max(benign, 1 - benign), 3))


@task
def refer(case: int, because: str) -> str:
    """Send a case to the surgeon."""
    return f"case {case} goes to the surgeon: {because}"


@task
def dismiss(case: int, because: str) -> str:
    """Close a case."""
    return f"case {case} is closed: {because}"


@flow
def triage(cases: int = 60, sure: float = 0.9, patience: float | None = None) -> dict[str, Any]:
    """Work through cases, one after the other.

    Args:
        cases: How many.
        sure: Confidence from which on a model's opinion counts.
        patience: Seconds to wait for a person; then the case goes to the surgeon. Without: as long as it takes.
    """
    reader, colleague = train.map(list(MODELS))
    found: dict[int, bool] = {}
    asked = second = 0
    for case in range(cases):
        opinion = examine(reader, case)
        why = f"the reader is {opinion.confidence:.0%} sure"
        if opinion.confidence < sure:
            second += 1
            other = examine(colleague, case)
            why = f"reader and colleague agree at {other.confidence:.0%}"
            if other.malignant != opinion.malignant or other.confidence < sure:
                asked += 1
                said = wait_for_input(
                    Verdict,
                    name=f"case-{case}",
                    question=f"Case {case}: reader {opinion}, colleague {other}. Is it malignant?",
                    timeout=patience,
                    default=Verdict(malignant=True, note="nobody looked at it"),
                )
                opinion.malignant, why = said.malignant, f"a person decided. {said.note}".strip()
        found[case] = opinion.malignant
        print(refer(case, why) if opinion.malignant else dismiss(case, why))
    wrong = missed(found)
    print(f"{cases} cases, {second} second opinions, {asked} questions; {len(wrong)} malignant cases closed: {wrong}")
    return {"referred": sum(found.values()), "second opinions": second, "asked": asked, "missed": wrong}


@task
def missed(found: dict[int, bool]) -> list[int]:
    """Malignant cases that were closed, by the truth that no model was shown."""
    truth = halves()[3]
    return [case for case, malignant in found.items() if not truth[case] and not malignant]


if __name__ == "__main__":
    triage()
