"""Train a small PyTorch network on scikit-learn's digits, log its embeddings and answers to SQLite, and feed pages
upside down.

Writes validation.parquet (scans that the network was validated on) and scans.db with the tables `predictions` (four
weeks of production) and `corrections` (what a clerk says of each scan the day after).
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

try:
    import torch
    from torch import nn
except ImportError:
    raise SystemExit("this example needs PyTorch: pip install torch") from None

START, DAYS, SCANS_A_DAY = pd.Timestamp("2026-02-02"), 28, 200
UPSIDE_DOWN_FROM = pd.Timestamp("2026-02-23 07:00")


class Digits(nn.Module):
    """8 x 8 pixels to 16 numbers (the embedding), and these to ten classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16), nn.Tanh())
        self.head = nn.Linear(16, 10)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings of shape (images, 16) and logits of shape (images, 10)."""
        embeddings = self.body(images.flatten(1) / 16)
        return embeddings, self.head(embeddings)


def trained(images: torch.Tensor, digits: torch.Tensor) -> Digits:
    model = Digits()
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images)[1], digits, label_smoothing=0.05).backward()
        optimiser.step()
    return model.eval()


def scanned(images: np.ndarray, random: np.random.Generator) -> torch.Tensor:
    """Images with the noise of a scanner."""
    noisy = images + random.normal(0, 1, images.shape)
    return torch.tensor(np.clip(noisy, 0, 16), dtype=torch.float32)


def answers(model: Digits, images: torch.Tensor) -> pd.DataFrame:
    """What is logged of each scan: the embedding in place of the image, the digit, and the probability of each."""
    with torch.no_grad():
        embeddings, logits = model(images)
    rows = pd.DataFrame(embeddings.numpy().round(4), columns=[f"e{number}" for number in range(16)])
    rows["prediction"] = logits.argmax(1).numpy()
    return rows.join(pd.DataFrame(logits.softmax(1).numpy().round(5)).add_prefix("probability_"))


def main() -> None:
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    data = load_digits()
    train = random.random(len(data.target)) < 0.5
    model = trained(scanned(data.images[train], random), torch.tensor(data.target[train]))
    images, digits = data.images[~train], data.target[~train]
    answers(model, scanned(images, random)).assign(digit=digits).to_parquet("validation.parquet", index=False)

    count = DAYS * SCANS_A_DAY
    scanned_at = START + pd.to_timedelta(np.sort(random.integers(0, DAYS * 86400, count)), unit="s")
    chosen = random.integers(0, len(digits), count)
    upside_down = np.asarray(scanned_at >= UPSIDE_DOWN_FROM)[:, None, None]
    fed = np.where(upside_down, images[chosen][:, ::-1, ::-1], images[chosen])
    predictions = answers(model, scanned(fed, random))
    predictions.insert(0, "scan_id", np.arange(count))
    predictions.insert(1, "scanned_at", scanned_at)
    corrections = pd.DataFrame({"scan_id": np.arange(count), "digit": digits[chosen]})
    corrections["checked_at"] = scanned_at + pd.Timedelta(days=1)
    Path("scans.db").unlink(missing_ok=True)
    with closing(sqlite3.connect("scans.db")) as database:
        predictions.to_sql("predictions", database, index=False)
        corrections.to_sql("corrections", database, index=False)
    print(f"{len(digits)} rows in validation.parquet, {count} in each table of scans.db")
    print(f"from {UPSIDE_DOWN_FROM:%d %B %H:%M} on, pages are fed upside down")


if __name__ == "__main__":
    main()
