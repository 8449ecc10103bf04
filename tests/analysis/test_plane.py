"""The plane of windows: flat for a true power law, tilted for a curve that only looks like one."""

import numpy as np

from superdyn.analysis import fit_power_law, window_plane

T = np.geomspace(10, 1e4, 90)


def test_a_power_law_has_one_exponent_in_every_window():
    plane = window_plane(T, 1e-4 + 1 / (T + 30), n_edges=6)
    assert len(plane) == 15
    np.testing.assert_allclose(plane["alpha"], 1, atol=1e-3)


def test_a_curved_law_shows_it_and_the_fit_reports_the_spread():
    loss = np.exp(-0.05 * np.log(T) ** 2)
    low, high = fit_power_law(T, loss, n_boot=2).alpha_windows
    assert np.ptp(window_plane(T, loss)["alpha"]) > 0.1
    assert high - low > 0.02


def test_a_curve_without_a_window_has_an_empty_plane():
    assert window_plane(T[:5], 1 / T[:5]).empty
