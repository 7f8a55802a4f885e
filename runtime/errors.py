"""The one error users see: what happened, why, and what to do."""


class WetgenError(Exception):
    """A failure the user can act on. Commands print it without a traceback and exit with 1."""

    def __init__(self, what: str, *, why: str, fix: str) -> None:
        super().__init__(f"{what}\n  why: {why}\n  fix: {fix}")
        self.what, self.why, self.fix = what, why, fix


def missing(package: str, *, extra: str, needed_to: str) -> WetgenError:
    """The error for an optional package that is not installed."""
    return WetgenError(
        f"{package} is needed to {needed_to}.",
        why=f"{package} is not installed in this environment.",
        fix=f"pip install 'wetgen[{extra}]'",
    )
