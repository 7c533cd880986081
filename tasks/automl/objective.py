"""What a search is to optimise, as one number of which more is better."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.record import Frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

MetricName = Literal["auc", "recall_at_specificity", "balanced_accuracy", "f_beta", "log_loss"]


class Objective(Frozen):
    """The figure by which recipes are compared."""

    metric: MetricName = Field(
        default="auc",
        description="auc: area under the ROC curve, of many classes their mean. recall_at_specificity. "
        "balanced_accuracy. f_beta, with beta above 1 recall counts more. log_loss: of the probabilities.",
    )
    specificity: float = Field(default=0.9, gt=0, lt=1, description="Of recall_at_specificity.")
    beta: float = Field(default=2.0, gt=0, le=10, description="Of f_beta.")

    @property
    def label(self) -> str:
        """As a column's heading."""
        return {
            "auc": "AUC",
            "recall_at_specificity": f"recall at specificity {self.specificity:g}",
            "balanced_accuracy": "balanced accuracy",
            "f_beta": f"F{self.beta:g}",
            "log_loss": "log loss",
        }[self.metric]

    def shown(self, score: float) -> float:
        """The figure as people know it: the log loss is small when it is good."""
        return -score if self.metric == "log_loss" else score

    def score(self, labels: "Ints", probabilities: "Floats", positive: int | None) -> float:
        """Of labels (n,) and probabilities (n, classes); more is better. NaN where a class is missing.

        Without a positive class, figures of one class are means over all.
        """
        import numpy as np
        from sklearn.metrics import balanced_accuracy_score, log_loss

        n_classes = probabilities.shape[1]
        if len(np.unique(labels)) < n_classes:
            return float("nan")
        if self.metric == "log_loss":
            return -float(log_loss(labels, probabilities, labels=np.arange(n_classes)))
        chosen = probabilities.argmax(1)
        if self.metric == "balanced_accuracy":
            return float(balanced_accuracy_score(labels, chosen))
        classes = range(n_classes) if positive is None else [positive]
        return float(
            np.mean([self._of_class(labels == c, probabilities[:, c], chosen == c) for c in classes])
        )

    def _of_class(self, truth: "NDArray[np.bool_]", scores: "Floats", named: "NDArray[np.bool_]") -> float:
        from sklearn.metrics import fbeta_score, roc_auc_score, roc_curve

        if self.metric == "auc":
            return float(roc_auc_score(truth, scores))
        if self.metric == "f_beta":
            return float(fbeta_score(truth, named, beta=self.beta, zero_division=0.0))
        false_positive_rate, recall, _ = roc_curve(truth, scores)
        return float(recall[false_positive_rate <= 1 - self.specificity + 1e-12].max())
