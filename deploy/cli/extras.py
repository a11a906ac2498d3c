"""How an extra of redline is installed."""


def how_to_install(extra: str) -> str:
    """
    What to do where the packages of an extra are missing.

    Never by the distribution's name alone: on PyPI another project has it.
    """
    return (
        f"in redline's checkout run .venv/bin/pip install --constraint constraints.txt --editable '.[{extra}]' "
        "(not from PyPI, where redline-compliance is another project)"
    )
