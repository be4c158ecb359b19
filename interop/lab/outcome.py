"""How a scenario can end other than well."""


class Failed(Exception):
    """What the scenario demanded did not happen."""


class Skipped(Exception):
    """The scenario cannot be run here; the message says what is missing."""


class Cancelled(Exception):
    """The whole run is being stopped."""
