"""A report's data made from predictions with numpy and scikit-learn alone, for tests of the renderings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn import metrics

WEIGHTS = "IMAGENET1K_V1"


def planted(
    n_classes: int = 3,
    n_test: int = 60,
    seed: int = 0,
    strengths: Mapping[str, float] | None = None,
    classes: tuple[str, ...] = (),
    sets: tuple[dict[str, Any], ...] = ({},),
) -> dict[str, Any]:
    """A whole report in which each head is as good as its strength says; `sets` override the feature sets' fields."""
    rng = np.random.default_rng(seed)
    classes = classes or tuple(f"class_{i:02d}" for i in range(n_classes))
    y = np.sort(np.arange(n_test) % len(classes))
    heads = strengths or {"logistic": 3.0, "svm": 2.8, "knn": 1.6}
    runs = []
    features = []
    for i, override in enumerate(sets):
        feature = {
            "backbone": "mobilenet_v2",
            "node": "avgpool",
            "pool": "avg",
            "weights": WEIGHTS,
            "precision": "fp32",
            "feature_key": f"{i:016x}",
            "dim": 1280,
            "rows": 3 * n_test,
            "failed": [],
            **override,
        }
        features.append(feature)
        for head, strength in heads.items():
            proba = softmax(rng.normal(size=(n_test, len(classes))) + strength * np.eye(len(classes))[y])
            name = head if len(sets) == 1 else f"{head} · {feature['backbone']}/{feature['node']}"
            runs.append(run(head, name, i, feature, y, proba, classes))
    majority = np.zeros((n_test, len(classes)))
    majority[:, 0] = 1.0
    runs.append(run("majority", "majority", 0, features[0], y, majority, classes, reference=True))
    judged = [r for r in runs if not r["reference"]]
    best = max(range(len(judged)), key=lambda i: (judged[i]["cv_accuracy"], -judged[i]["log_loss"]))
    return {
        "format": 1,
        "dataset": {
            "name": "planted",
            "classes": list(classes),
            "train": 2 * n_test,
            "test": n_test,
            "images": 3 * n_test,
            "counts": np.bincount(y, minlength=len(classes)).tolist(),
            "root": "/nowhere/planted",
        },
        "protocol": {
            "name": "given",
            "text": "Tuned by 5-fold cross-validation of the training part.",
            "folds": 5,
            "repeats": 1,
            "seed": seed,
            "budget": "normal",
            "groups": None,
            "n_groups": None,
            "drop_leaks": False,
            "dropped": 0,
        },
        "features": features,
        "runs": runs,
        "comparisons": comparisons(runs),
        "best": runs[best]["head"],
        "best_run": best,
        "warnings": [],
        "omitted": [],
        "leaks": {
            "identical": 0,
            "near": 0,
            "stems": 0,
            "threshold": 0.98,
            "images": 0,
            "tested": 0,
            "examples": [],
            "groups": None,
            "groups_text": None,
            "n_groups": 0,
            "seconds": 0.1,
        },
        "wrong_labels": {
            "heads": ["logistic"],
            "images": n_test,
            "threshold_count": 1,
            "suspects": suspects(y, rng, classes),
        },
        "learning_curve": {
            "head": "logistic",
            "params": {"C": 0.1},
            "text": "More images still help.",
            "points": [
                {"train": t, "accuracy": a, "accuracy_ci": [a - 0.05, a + 0.04], "n": n_test, "seeds": 3}
                for t, a in ((20, 0.61), (40, 0.72), (80, 0.83), (120, 0.87))
            ],
        },
        "layer_curve": None,
        "map": {
            "method": "t-SNE of 50 principal components",
            "image": list(range(n_test)),
            "x": (rng.normal(size=n_test) + 4 * np.cos(y)).tolist(),
            "y": (rng.normal(size=n_test) + 4 * np.sin(y)).tolist(),
            "true": y.tolist(),
            "predicted": runs[best]["predictions"]["predicted"],
        },
        "images": {
            "ids": [f"{i:064x}" for i in range(n_test)],
            "paths": [f"{classes[c]}/picture_{i:03d}.jpg" for i, c in enumerate(y)],
            "split": ["test"] * n_test,
            "true": y.tolist(),
        },
        "environment": {
            "python": "3.12.1",
            "platform": "Linux",
            "cores": 2,
            "threads": 2,
            "date": "2025-03-01T12:00:00+00:00",
            "versions": {"featstore": "0.1.0", "numpy": "2.1.0"},
            "seconds": 12.3,
        },
    }


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def wilson(hits: int, n: int) -> list[float]:
    ci = binomtest(hits, n).proportion_ci(method="wilson")
    return [float(ci.low), float(ci.high)]


def run(
    head: str,
    name: str,
    index: int,
    feature: dict[str, Any],
    y: NDArray[np.int64],
    proba: NDArray[np.float64],
    classes: tuple[str, ...],
    reference: bool = False,
) -> dict[str, Any]:
    n, k = proba.shape
    predicted = proba.argmax(1)
    confidence = proba.max(1)
    confusion = metrics.confusion_matrix(y, predicted, labels=range(k))
    hits = int((y == predicted).sum())
    accuracy = hits / n
    bins = []
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        bins.append(
            {
                "low": float(low),
                "high": float(low + 1 / 15),
                "count": int(inside.sum()),
                "confidence": float(confidence[inside].mean()) if inside.any() else None,
                "accuracy": float((y == predicted)[inside].mean()) if inside.any() else None,
            }
        )
    per_class = []
    for c in range(k):
        support, given, right = (int(v) for v in (confusion[c].sum(), confusion[:, c].sum(), confusion[c, c]))
        per_class.append(
            {
                "name": classes[c],
                "support": support,
                "predicted": given,
                "hits": right,
                "precision": right / given if given else None,
                "recall": right / support if support else None,
                "recall_ci": wilson(right, support) if support else None,
                "f1": 2 * right / (given + support) if given + support else None,
            }
        )
    scores = {
        name: float(f)
        for name, f in {
            "top3_accuracy": np.mean([t in np.argsort(-p)[:3] for t, p in zip(y, proba, strict=True)]),
            "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted),
            "macro_f1": metrics.f1_score(y, predicted, average="macro"),
            "log_loss": -np.log(np.clip(proba[np.arange(n), y], 1e-12, 1)).mean(),
            "brier": ((proba - np.eye(k)[y]) ** 2).sum(1).mean(),
            "ece": sum(b["count"] * abs(b["confidence"] - b["accuracy"]) for b in bins if b["count"]) / n,
        }.items()
    }
    seconds = {"search_seconds": 0.8, "fit_seconds": 0.05, "predict_seconds": 0.002}
    if reference:
        seconds["search_seconds"] = 0.0
    return {
        "head": head,
        "name": name,
        "feature": index,
        "summary": f"what {head} is",
        "reference": reference,
        **{key: feature[key] for key in ("backbone", "node", "pool", "weights", "precision", "feature_key", "dim")},
        "params": {} if reference else {"C": 0.1},
        "selected_on": "5-fold cross-validation of the training part",
        "accuracy": accuracy,
        "accuracy_ci": wilson(hits, n),
        **scores,
        **{f"{key}_ci": [max(value - 0.05, 0), value + 0.05] for key, value in scores.items() if key != "ece"},
        "confusion": confusion.tolist(),
        **seconds,
        "converged": True,
        "seed": 0,
        "budget": "normal",
        "n_train": 2 * n,
        "n_test": n,
        "repeats": 1,
        "reliability": bins,
        "per_class": per_class,
        "cv_accuracy": accuracy,
        "cv_accuracy_ci": wilson(hits, n),
        "cv_log_loss": scores["log_loss"],
        "cv_results": []
        if reference
        else [
            {
                "params": {"C": c},
                "accuracy": accuracy - d,
                "fold_accuracies": [accuracy - d] * 5,
                "log_loss": 0.3 + d,
                "seconds": 0.1,
            }
            for c, d in ((0.01, 0.04), (0.1, 0.0), (1.0, 0.02))
        ],
        "calibration": {"method": "temperature", "temperature": 1.3, "log_loss_before": 0.5, "log_loss_after": 0.4},
        "certificate": {"gradient_norm": 3e-7},
        "notes": [],
        "beats_majority": None if reference else True,
        "predictions": {
            "image": list(range(n)),
            "true": y.tolist(),
            "predicted": predicted.tolist(),
            "confidence": confidence.tolist(),
            "true_share": proba[np.arange(n), y].tolist(),
        },
    }


def comparisons(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Exact McNemar for every pair, Holm over all of them."""
    pairs = []
    for i, a in enumerate(runs):
        for j, b in enumerate(runs[i + 1 :], i + 1):
            right_a, right_b = (np.equal(r["predictions"]["true"], r["predictions"]["predicted"]) for r in (a, b))
            only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
            p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
            pairs.append(
                {
                    "a": a["name"],
                    "b": b["name"],
                    "a_run": i,
                    "b_run": j,
                    "a_only": only_a,
                    "b_only": only_b,
                    "n": len(right_a),
                    "test": "exact McNemar",
                    "p": p,
                }
            )
    running = 0.0
    for rank, pair in enumerate(sorted(pairs, key=lambda pair: pair["p"])):
        running = max(running, min(1.0, pair["p"] * (len(pairs) - rank)))
        pair["p_holm"] = running
    return pairs


def suspects(y: NDArray[np.int64], rng: np.random.Generator, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    rows = []
    for image in rng.permutation(len(y))[:12]:
        share = float(rng.uniform(0.5, 0.99))
        other = int((y[image] + 1) % len(classes))
        rows.append(
            {
                "image": int(image),
                "label": int(y[image]),
                "suggested": other,
                "share_label": 1 - share,
                "share_suggested": share,
                "score": share,
                "suspected": bool(share > 0.8),
            }
        )
    return sorted(rows, key=lambda row: -row["score"])
