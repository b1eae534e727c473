"""Faults of what the user gave: each message says where, what was found, and what was wanted."""


class UserError(Exception):
    """A fault of the user's input. Entry points print its message and exit with status 2."""


class ConfigError(UserError):
    """A setting is unknown, of the wrong type, or contradicts another."""


class DataError(UserError):
    """A record, a JSONL line or a data set directory cannot be used."""


class ImageError(DataError):
    """The bytes of an image cannot be used."""


class CheckpointError(UserError):
    """A workdir or a checkpoint in it is missing, foreign, damaged or cannot be written."""


class WeightsError(UserError):
    """A base model's weights are missing, unused, misshapen or in a refused format."""


class TrainingError(Exception):
    """Training cannot go on, through no setting's fault: a loss or a gradient is not finite."""


class UnjudgedError(TrainingError):
    """An evaluation is written, and too much of it could not be judged."""


class StorageError(TrainingError):
    """A cloud's storage does not answer; the command may be given again."""


class StoppedError(TrainingError):
    """A signal stopped a command; called again, it goes on from there."""


class CacheError(UserError):
    """The file of paid replies is damaged, foreign or cannot be written."""


class AuthenticationError(UserError):
    """An API refuses the key, or the environment holds none."""


class OutOfBudgetError(UserError):
    """The user's own bound on requests or on money is reached; what was paid for is kept."""


class OutOfQuotaError(TrainingError):
    """An API's account has no money or no quota left; what was paid for is kept."""
