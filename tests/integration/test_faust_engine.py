"""The Faust engine keeps what every engine must."""

import pytest

from tests.integration.engine_suite import EngineSuite


@pytest.mark.kafka
class TestFaustEngine(EngineSuite):
    """See `EngineSuite`."""

    engine = "faust"
