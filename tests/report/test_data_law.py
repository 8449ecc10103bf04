"""Data are named by what they are: features by (a, b), tokens by their source, with a where it was a setting."""

from superdyn.report.data_law import DataLaw, law_columns, legend_text

A_AND_B = {"data.data_exponent": 1.0, "data.importance_exponent": 0.0}


def law(kind, source=None):
    return DataLaw.of(A_AND_B | {"data.kind": kind, "data.tokens.source": source})


def test_tokens_have_no_b_and_those_of_files_no_a():
    laws = [law("features"), law("tokens", "bigram"), law("tokens", "files")]
    assert [found.exponents for found in laws] == ["a = 1, b = 0", "a = 1", ""]
    assert [law_columns([found]) for found in laws] == [["a", "b"], ["data", "a"], ["data"]]
    assert law_columns(laws) == ["data", "a", "b"]


def test_a_legend_names_the_source_of_tokens_where_no_title_does():
    zipf, files = law("tokens", "zipf"), law("tokens", "files")
    assert legend_text([zipf], named=True) == "Zipf tokens, a = 1"
    assert legend_text([files], named=True) == "token files"
    assert legend_text([files, zipf], named=False) == "a = 1 or token files"
    assert legend_text([law("sequences")], named=True) == "a = 1, b = 0"


def test_a_run_without_a_configuration_has_no_law():
    nothing = DataLaw.of(dict.fromkeys((*A_AND_B, "data.kind"), float("nan")))
    assert (nothing.name, nothing.exponents, law_columns([nothing])) == ("", "", [])
