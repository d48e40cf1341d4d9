"""Parameters as the tests of models fill them."""

from tests.models.conftest import filled  # noqa: F401
