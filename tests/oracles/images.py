"""Seeded random images in pairs, and equality up to the rounding of a float64 FFT."""

import torch


def images(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, *shape, generator=generator, dtype=torch.float64).to(dtype).unbind()


def assert_exact(actual, expected):
    # Rounding of two float64 FFTs is some 1e-15 here; a single wrong frequency is above 1e-5.
    torch.testing.assert_close(actual, torch.as_tensor(expected), rtol=0, atol=1e-12)
