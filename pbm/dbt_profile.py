"""The dbt profile of a stack: ``profiles.yml`` under ``PBM_HOME``, and in the project's root.

Plain ``dbt build`` in the root must find the default stack without any variable, so the default
home writes its profile there too; a ``profiles.yml`` that a person wrote is never replaced.
"""

import os
from pathlib import Path
from typing import Any

import jinja2
import yaml
from psycopg import conninfo

from pbm import warehouse
from pbm.errors import ConfigurationError
from pbm.settings import PROJECT_ROOT, Settings

PROFILE = "pbm_logistics_360"
_MARK = "# Written by `pbm up`, which replaces it. For a profile of your own, start from\n"
_HEADER = f"{_MARK}# profiles.yml.example in another folder, and set DBT_PROFILES_DIR to it.\n"


def render(dsn: str) -> str:
    """The text of a ``profiles.yml`` whose targets ``local`` and ``cloudsql`` are one server's.

    Locally the survey answers are where all else is.

    Args:
        dsn: The server.
    """
    example = yaml.safe_load((PROJECT_ROOT / "profiles.yml.example").read_text())
    parts = conninfo.conninfo_to_dict(dsn)
    connection = {
        "host": parts.get("host", "localhost"),
        "port": int(parts.get("port") or 5432),
        "user": parts.get("user", ""),
        "password": parts.get("password", ""),
        "dbname": parts.get("dbname") or parts.get("user", ""),
        "role": warehouse.TRANSFORMER,
    }
    if parts.get("sslmode"):
        connection["sslmode"] = parts["sslmode"]
    for target in ("local", "cloudsql"):
        example[PROFILE]["outputs"][target] |= connection
    return _HEADER + yaml.safe_dump(example, sort_keys=False)


def write(folder: Path, dsn: str) -> Path:
    """Write the profile into ``folder``, readable by its owner only; return its path."""
    path = folder / "profiles.yml"
    text = render(dsn)
    if not path.exists() or path.read_text() != text:
        draft = path.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(text)
        draft.replace(path)
    return path


def write_for_plain_dbt(dsn: str, root: Path = PROJECT_ROOT) -> None:
    """Write the profile into the project's root, so that plain ``dbt`` finds the stack.

    Raises:
        ConfigurationError: A profile that a person wrote is there and points elsewhere.
    """
    path = root / "profiles.yml"
    if path.exists() and not path.read_text().startswith(_MARK):
        check(path, dsn)
        return
    write(root, dsn)


def folder_in_force(settings: Settings, root: Path = PROJECT_ROOT) -> Path:
    """The folder whose ``profiles.yml`` dbt uses when `pbm` runs it in the project's root."""
    if settings.dbt_profiles_dir is not None:
        return settings.dbt_profiles_dir
    own = root / "profiles.yml"
    return root if own.exists() and not own.read_text().startswith(_MARK) else settings.home


def check(path: Path, dsn: str) -> None:
    """Refuse a profile whose local target is not the server of ``dsn``.

    Raises:
        ConfigurationError: It is missing, unreadable, or points elsewhere.
    """
    hint = (
        f"Correct {path}, or remove it and run `pbm up`, or set DBT_PROFILES_DIR "
        '(`eval "$(pbm env)"`).'
    )
    try:
        profile = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", hint) from error
    except yaml.YAMLError:
        raise ConfigurationError(f"{path} is not valid YAML.", hint) from None
    local = _local_output(profile)
    if local is None:
        raise ConfigurationError(f"{path} has no target `local` in profile {PROFILE}.", hint)
    parts = conninfo.conninfo_to_dict(dsn)
    wanted = (_host(parts.get("host")), str(parts.get("port") or 5432), str(parts.get("dbname")))
    found = tuple(
        _rendered(local.get(name), default)
        for name, default in (("host", "127.0.0.1"), ("port", "5432"), ("dbname", "None"))
    )
    if wanted != found:
        raise ConfigurationError(
            f"{path} points elsewhere: to {found[0]}:{found[1]} (database {found[2]}), while the "
            f"stack's PostgreSQL is {wanted[0]}:{wanted[1]} (database {wanted[2]}).",
            hint,
        )


def _local_output(profile: Any) -> dict[str, Any] | None:  # noqa: ANN401  parsed YAML
    try:
        local = profile[PROFILE]["outputs"]["local"]
    except (KeyError, TypeError):
        return None
    return local if isinstance(local, dict) else None


def _rendered(value: object, default: str) -> str:
    """A profile's value as dbt reads it, with ``env_var()`` filled in."""
    environment = jinja2.Environment(autoescape=False)  # noqa: S701  YAML, not HTML
    environment.filters |= dict.fromkeys(("as_number", "as_text", "as_bool", "as_native"), str)
    template = environment.from_string(str(value or default))
    return _host(template.render(env_var=lambda name, preset="": os.environ.get(name, preset)))


def _host(value: object) -> str:
    return "127.0.0.1" if value in {"localhost", None} else str(value)
