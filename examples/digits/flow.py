"""Which support vector machine reads handwritten digits best?

    python flow.py run                    # or: dovetail run flow.py
    python flow.py run --folds 10

The 1,797 scans ship inside scikit-learn. A fifth of them is set aside first and never trained on. One setting of the
grid is invalid on purpose and caught; one step fails on purpose at its first attempt and is retried.
"""

from __future__ import annotations

import os

# Steps run side by side, so each keeps to one core. Set before numpy starts its thread pools.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Imported here, not in the steps: a run imports this file once and forks its tasks from there.
import io
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.svm import SVC

from dovetail import FlowSpec, Parameter, catch, current, retry, step

matplotlib.use("Agg")


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


class DigitsFlow(FlowSpec):
    """Compare support vector machines on handwritten digits and keep the best."""

    folds = Parameter("folds", default=5, help="Folds of the cross-validation.")

    @step
    def start(self):
        """Set a fifth of the scans aside; only `end` looks at it."""
        digits = load_digits()
        self.train_images, self.test_images, self.train_labels, self.test_labels = train_test_split(
            digits.data / 16, digits.target, test_size=0.2, stratify=digits.target, random_state=0
        )
        self.next(self.plan, self.project)

    @step
    def plan(self):
        """The grid: twelve settings that make sense and one that doesn't."""
        self.settings = [{"C": c, "gamma": gamma} for c in (1, 10, 100) for gamma in (0.01, 0.03, 0.1, 0.3)]
        self.settings.append({"C": -1, "gamma": 0.1})
        self.next(self.train, foreach="settings")

    @catch(var="failure", print_exception=False)
    @step
    def train(self):
        """Score one setting by cross-validation within the training part."""
        model = SVC(**self.input)
        scores = cross_val_score(model, self.train_images, self.train_labels, cv=self.folds, error_score="raise")
        self.accuracy = float(scores.mean())
        print(f"{self.input}: {self.accuracy:.4f}")
        self.next(self.choose)

    @step
    def choose(self, inputs):
        """Keep the best setting and a table of all of them."""
        self.metrics: list[dict[str, Any]] = []
        for setting, task in zip(inputs[0].settings, inputs, strict=True):
            failed = task.failure is not None
            self.metrics.append(
                {
                    **setting,
                    "accuracy": None if failed else task.accuracy,
                    "error": f"{task.failure.type.rpartition('.')[2]}: {task.failure.message}" if failed else None,
                }
            )
        self.metrics.sort(key=lambda row: row["accuracy"] or 0, reverse=True)
        self.best = {name: self.metrics[0][name] for name in ("C", "gamma")}
        self.next(self.finish)

    @retry(times=3, delay=0.2)
    @step
    def project(self):
        """Draw the training part in two dimensions."""
        self.attempts = 1 + (current.retry_count or 0)
        if self.attempts == 1:
            raise ConnectionError("this step fails at its first attempt, on purpose")
        points = TSNE(init="pca", max_iter=500, random_state=0).fit_transform(self.train_images)
        figure = Figure(figsize=(6, 5), layout="constrained")
        axes = figure.subplots()
        dots = axes.scatter(points[:, 0], points[:, 1], c=self.train_labels, cmap="tab10", s=6)
        axes.legend(*dots.legend_elements(), title="digit", fontsize="small")
        axes.set(title="Training scans, t-SNE", xticks=[], yticks=[])
        self.projection = png(figure)
        self.next(self.finish)

    @step
    def finish(self, inputs):
        """Bring the two branches together."""
        self.merge_artifacts(inputs)
        self.next(self.end)

    @step
    def end(self):
        """Train the best setting on the whole training part; test it once, on the part set aside."""
        self.model = SVC(**self.best).fit(self.train_images, self.train_labels)
        predicted = self.model.predict(self.test_images)
        self.accuracy = float(np.mean(predicted == self.test_labels))
        figure = Figure(figsize=(5.5, 5), layout="constrained")
        ConfusionMatrixDisplay.from_predictions(
            self.test_labels, predicted, ax=figure.subplots(), colorbar=False, cmap="Blues"
        )
        self.confusion_matrix = png(figure)

        failures = [row for row in self.metrics if row["error"]]
        place = f"{current.flow_name}/{current.run_id}/end"
        print(f"Test accuracy   {self.accuracy:.4f} on {len(predicted)} scans never trained on, with {self.best}")
        print(f"Settings        {len(self.metrics)} tried, {len(failures)} failed and caught:")
        for row in failures:
            print(f"                C={row['C']}, gamma={row['gamma']}: {row['error']}")
        print(f"Attempts        {self.attempts} of the flaky step `project`")
        print(f"Artifacts       {place}: model, metrics, confusion_matrix, projection")
        print("Next")
        print(f"    dovetail show {current.run_id}")
        print(f"    dovetail logs {current.run_id}")
        print(f"    dovetail get {place}/confusion_matrix --output confusion.png")


if __name__ == "__main__":
    DigitsFlow()
