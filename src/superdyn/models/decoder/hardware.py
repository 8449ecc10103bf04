"""Model FLOPs utilisation: the share of a device's peak that training turns into useful operations.

MFU = tokens/s · FLOPs per token / (devices · peak) (Chowdhery et al. 2022). Peaks are dense ones, without 2:4 sparsity,
in TFLOP/s at the vendor's boost clock (sparse figures halved; RTX 4090 with float32 accumulation). NVIDIA's own data
sheets could not be read; others who quote them agree to 1 % or to the digits that they give, except as noted.
"""

from typing import Literal

Precision = Literal["bf16", "tf32", "fp32"]

PEAK_TFLOPS: dict[str, dict[Precision, float]] = {
    "A100": {"bf16": 312.0, "tf32": 156.0, "fp32": 19.5},
    "H100 PCIe": {"bf16": 756.5, "tf32": 378.0, "fp32": 51.0},
    "H100 NVL": {"bf16": 835.5, "tf32": 417.5, "fp32": 60.0},
    "H100 SXM": {"bf16": 989.5, "tf32": 494.5, "fp32": 67.0},
    "H200 NVL": {"bf16": 835.5, "tf32": 417.5, "fp32": 60.0},
    "H200 SXM": {"bf16": 989.5, "tf32": 494.5, "fp32": 67.0},
    "B200": {"bf16": 2250.0, "tf32": 1100.0, "fp32": 75.0},
    "RTX 4090": {"bf16": 165.2, "tf32": 82.6, "fp32": 82.6},
}
"""Who states the same figures (read on 2026-11-25; LF: the table of Lightning Fabric 2.6, TT: torchtitan's, bf16 only):

A100: LF, TT. H100 PCIe: LF (fp32 51.2), TT. H100 SXM: LF, TT, glennklockwood.com/garden/processors/h100. H100 NVL: TT
(835); nobody for tf32 and fp32, and LF has twice the H100 SXM. H200 NVL: LF, sparse (1700, 840, 60). H200 SXM: LF,
sparse (2000, 990, 67), TT. B200: NVIDIA's table of an HGX B200 as zdszero.github.io copies it, sparse, TT; for fp32
glennklockwood.com/garden/processors/B200 says 80. RTX 4090: waredb.com/processor/nvidia-geforce-rtx-4090.
"""

_NAMES = {
    "A100": "A100",
    "H100 PCIe": "H100 PCIe",
    "H100 NVL": "H100 NVL",
    "H100 80GB HBM3": "H100 SXM",
    "H200 NVL": "H200 NVL",
    "H200": "H200 SXM",
    "B200": "B200",
    "RTX 4090": "RTX 4090",
}
"""What `torch.cuda.get_device_name()` holds, the more particular name first, and the row it means."""


def peak_flops(device_name: str, precision: Precision) -> float | None:
    """Operations per second at most; None for a device that the table does not have, a CPU among them."""
    name = f" {device_name.replace('-', ' ')} "
    row = next((row for part, row in _NAMES.items() if f" {part} " in name), None)
    return None if row is None else PEAK_TFLOPS[row][precision] * 1e12


def model_flops_utilisation(
    tokens_per_second: float | int,
    flops_per_token: float | int,
    device_name: str,
    precision: Precision,
    n_devices: int = 1,
) -> float | None:
    """MFU, 0 to 1; None where the peak is not known."""
    peak = peak_flops(device_name, precision)
    return None if peak is None else tokens_per_second * flops_per_token / (n_devices * peak)
