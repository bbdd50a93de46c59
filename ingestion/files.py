"""Files that are whole or absent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pbm.errors import InputError


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name once all of it is there.

    Raises:
        InputError: It cannot be written.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            yield file
        draft.replace(path)
    except OSError as error:
        raise InputError(
            f"The file {path} cannot be written: {error.strerror}.",
            "Name a file in a folder that exists and that you may write.",
        ) from error
    finally:
        draft.unlink(missing_ok=True)
