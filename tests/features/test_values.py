"""Value laws: declared moments, quantiles at the ends, and what is refused."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import halfnorm

from superdyn.features.values import VALUE_LAWS, value_law


@pytest.mark.parametrize("name", VALUE_LAWS)
def test_declared_moments_are_the_integrals_of_the_quantile(name: str):
    law = value_law(name)

    def moment(power: int) -> float:
        return quad(lambda u: law.quantile(np.array([u]))[0] ** power, 0.0, 1.0, epsabs=1e-11, limit=200)[0]

    assert moment(1) == pytest.approx(law.mean, abs=1e-9)
    assert moment(2) == pytest.approx(law.second_moment, rel=1e-9)


@pytest.mark.parametrize("name", VALUE_LAWS)
def test_quantiles_are_finite_at_the_smallest_and_largest_uniform(name: str):
    ends = value_law(name).quantile(np.array([2.0**-54, 1.0 - 2.0**-53]))
    assert np.isfinite(ends).all()
    assert ends[0] <= ends[1]


def test_half_normal_quantile_is_that_of_the_absolute_value_of_a_normal():
    u = np.linspace(0.001, 0.999, 97)
    np.testing.assert_allclose(value_law("half_normal").quantile(u), halfnorm.ppf(u), rtol=1e-12)


_LAW = """
import numpy as np
class {name}:
    mean = {mean}
    second_moment = {second}
    def quantile(self, u):
        return {quantile}
"""


@pytest.fixture
def own_law(tmp_path, monkeypatch):
    def write(name: str, mean: str, second: str, quantile: str) -> str:
        (tmp_path / f"own_{name.lower()}.py").write_text(
            _LAW.format(name=name, mean=mean, second=second, quantile=quantile)
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("SUPERDYN_PACKAGES", f"own_{name.lower()}")
        return f"own_{name.lower()}.{name}"

    return write


def test_a_users_class_is_found_by_its_dotted_path(own_law):
    law = value_law(own_law("Exponential", "1.0", "2.0", "-np.log1p(-u)"))
    assert law.second_moment == 2.0
    assert law.quantile(np.array([0.5]))[0] == pytest.approx(np.log(2))


def test_a_law_with_atoms_is_accepted(own_law):
    assert value_law(own_law("Coin", "0.0", "1.0", "np.where(u < 0.5, -1.0, 1.0)")).mean == 0.0


@pytest.mark.parametrize(
    ("name", "mean", "second", "quantile", "reason"),
    [
        ("WrongMean", "0.6", "1 / 3", "u * 1.0", "mean is 0.6"),
        ("WrongSecond", "0.5", "0.5", "u * 1.0", "second_moment is 0.5"),
        ("Falling", "0.5", "1 / 3", "1.0 - u", "non-decreasing"),
        ("Single", "0.5", "1 / 3", "u.astype(np.float32)", "float64"),
    ],
)
def test_an_inconsistent_class_is_refused_with_the_reason(own_law, name, mean, second, quantile, reason):
    with pytest.raises(ValueError, match=rf"data\.value_law='own_{name.lower()}\.{name}'.*{reason}"):
        value_law(own_law(name, mean, second, quantile))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gaussian", "allowed: uniform, constant, half_normal, signed"),
        ("no_such_package.Law", "no_such_package"),
        ("math.Law", "no attribute 'Law'"),
        ("fractions.Fraction", "`quantile"),
    ],
)
def test_an_unknown_law_is_refused_by_name(name: str, reason: str, monkeypatch):
    monkeypatch.setenv("SUPERDYN_PACKAGES", "no_such_package,math,fractions")
    with pytest.raises(ValueError, match=rf"^data\.value_law='{name}'.*{reason}"):
        value_law(name)
