"""Whether a run on tokens can train as asked: its files and language exist, fit the vocabulary, and the model fits."""

from superdyn.config import ConfigError, RunConfig
from superdyn.features.token_source import bin_of_token, evaluation_corpus
from superdyn.features.token_stream import token_stream
from superdyn.models.decoder.language_model import LanguageModel
from superdyn.models.protocol import student_class
from superdyn.training.memory import check_memory


def check_tokens_feasible(config: RunConfig) -> None:
    """Refuse what cannot train.

    Raises:
        ConfigError: token files that are missing, damaged, too short or have ids that are no word of the vocabulary; a
            language that cannot be; a model that does not fit, or cannot be sharded.
    """
    data = config.data
    assert data.tokens is not None, "checked with the configuration"
    if config.launcher.trains_here:  # first: what does not fit should not be drawn or read either
        check_memory(config)
    try:
        token_stream(config)
        if data.tokens.source == "files":
            evaluation_corpus(data)
        else:
            bin_of_token(data)
    except (ValueError, FileNotFoundError) as error:
        named = str(error).startswith("data.")
        raise ConfigError(str(error) if named else f"data.tokens.source={data.tokens.source}: {error}") from error
    student = student_class(config.model.target)
    if config.trainer.shards and not issubclass(student, LanguageModel):
        raise ConfigError(
            f"model._target_={config.model.target}: trainer.strategy=fsdp shards the blocks of a "
            f"{LanguageModel.__module__}.LanguageModel, which it is not; allowed are single and ddp."
        )
