"""Shows a finished evaluation in Weights & Biases: one history row per revision, read from the run folder's files.

Offline unless WANDB_MODE says otherwise, as everywhere; the id is the evaluation's signature, so that a repeated
command continues the same W&B run. What fails there is one warning: the files are complete.
"""

import warnings

from superdyn.analysis import load_curve
from superdyn.analysis.evaluated import load_bin_losses
from superdyn.config import LoggerConfig
from superdyn.runs.folder import RunFolder
from superdyn.runs.wandb_run import WandbRun


def show_in_wandb(folder: RunFolder, project: str) -> None:
    """Log every measured revision: loss, superposition measures, loss of each bin with an equal part of the text."""
    status, curve = folder.status(), load_curve(folder.path)
    if status is None:
        return
    losses = load_bin_losses(folder.path, "occurrences")[1]
    try:
        logger = LoggerConfig(name="wandb", project=project)
        run = WandbRun(folder, status.signature, logger, group=folder.name, config=folder.config() or {})
        for row, bins in zip(curve.to_dict("records"), losses, strict=True):
            numbers = {str(key): float(value) for key, value in row.items()} | {"step": int(row["step"])}
            # A bin that was never a target is no number, and W&B would draw it as one.
            binned = {f"bins/loss_{i:02d}": float(loss) for i, loss in enumerate(bins) if loss == loss}
            run.log(int(row["step"]), numbers | binned)
        run.finish(status.state, float(curve["loss"].iloc[-1]))
    except Exception as error:  # W&B is only a view
        warnings.warn(f"W&B does not show {folder.path}: {type(error).__name__}: {error}", stacklevel=2)
