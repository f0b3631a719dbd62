"""The one error that the command line turns into a sentence instead of a traceback."""


class FinetuneError(Exception):
    """Something about the input is wrong; the message says what, where, and what to do."""
