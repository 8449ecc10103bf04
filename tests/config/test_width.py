"""A width said as a part of N is the number that it means, to the signature."""

import pytest

from superdyn.config import ConfigError


@pytest.mark.parametrize(("text", "width"), [("N", 32), ("N/2", 16), ("3N/4", 24), ("N/5", 6), ("N/64", 1)])
def test_a_width_as_a_part_of_n_is_the_number_that_it_means(text: str, width: int, make_config):
    said, given = make_config(model__width=text), make_config(model__width=width)
    assert said.model.width == width
    assert (said.signature(), said.to_mapping()) == (given.signature(), given.to_mapping())


@pytest.mark.parametrize("text", ["n/2", "N/0", "N*2", ""])
def test_other_texts_are_refused(text: str, make_config):
    with pytest.raises(ConfigError, match=r"model\.width=.*: should be a valid integer"):
        make_config(model__width=text)
