"""Which profile dbt uses, and whether it points at the stack."""

from pathlib import Path

import pytest
import yaml

from pbm import dbt_profile
from pbm.errors import ConfigurationError
from pbm.settings import Settings

DSN = "postgresql://someone:s%3Acret@db.example.com:6543/warehouse?sslmode=require"


def local(folder: Path) -> dict[str, object]:
    outputs = yaml.safe_load((folder / "profiles.yml").read_text())["pbm_logistics_360"]["outputs"]
    assert outputs["prod"]["type"] == "bigquery"
    found = outputs["local"]
    assert isinstance(found, dict)
    return found


def test_a_connection_string_becomes_a_profile_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = dbt_profile.write(tmp_path, DSN)
    target = local(tmp_path)
    assert (target["host"], target["port"], target["dbname"]) == (
        "db.example.com",
        6543,
        "warehouse",
    )
    assert (target["user"], target["password"]) == ("someone", "s:cret")
    assert (target["sslmode"], target["role"]) == ("require", "pbm_transformer")
    outputs = yaml.safe_load(path.read_text())["pbm_logistics_360"]["outputs"]
    assert {key: outputs["cloudsql"][key] for key in target if key != "threads"} == {
        key: value for key, value in target.items() if key != "threads"
    }
    assert path.stat().st_mode & 0o077 == 0
    dbt_profile.check(path, DSN)


def test_the_project_root_gets_a_profile_that_follows_the_stack(tmp_path: Path) -> None:
    dbt_profile.write_for_plain_dbt(DSN, tmp_path)
    dbt_profile.write_for_plain_dbt(DSN.replace("6543", "6544"), tmp_path)
    assert local(tmp_path)["port"] == 6544


def test_a_profile_that_a_person_wrote_is_kept_and_must_point_at_the_stack(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yml"
    mine = yaml.safe_dump(
        {
            "pbm_logistics_360": {
                "outputs": {
                    "local": {"host": "localhost", "port": 1, "dbname": "mine"},
                }
            }
        }
    )
    path.write_text(mine)
    dbt_profile.write_for_plain_dbt("postgresql://me@127.0.0.1:1/mine", tmp_path)
    assert path.read_text() == mine
    with pytest.raises(ConfigurationError) as caught:
        dbt_profile.write_for_plain_dbt(DSN, tmp_path)
    assert str(path) in caught.value.problem
    assert "127.0.0.1:1 (database mine)" in caught.value.problem
    assert "s:cret" not in caught.value.problem
    assert path.read_text() == mine


def test_the_example_as_it_is_points_where_its_variables_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pbm.settings import PROJECT_ROOT

    path = tmp_path / "profiles.yml"
    path.write_text((PROJECT_ROOT / "profiles.yml.example").read_text())
    monkeypatch.setenv("PBM_POSTGRES_HOST", "db.example.com")
    monkeypatch.setenv("PBM_POSTGRES_PORT", "6543")
    monkeypatch.setenv("PBM_POSTGRES_DBNAME", "warehouse")
    dbt_profile.check(path, DSN)
    monkeypatch.setenv("PBM_POSTGRES_PORT", "6544")
    with pytest.raises(ConfigurationError, match="points elsewhere"):
        dbt_profile.check(path, DSN)


@pytest.mark.parametrize("text", ["{", "a: 1", "pbm_logistics_360: {outputs: {local: 3}}"])
def test_a_profile_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "profiles.yml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        dbt_profile.check(path, DSN)
    assert str(path) in caught.value.problem


def test_the_profile_in_force_is_the_named_one_then_a_persons_then_the_stacks(
    tmp_path: Path,
) -> None:
    home, root, named = (tmp_path / name for name in ("home", "root", "named"))
    for folder in (home, root, named):
        folder.mkdir()
    settings = Settings(home=home, dbt_profiles_dir=None)
    dbt_profile.write_for_plain_dbt(DSN, root)
    assert dbt_profile.folder_in_force(settings, root) == home
    (root / "profiles.yml").write_text("mine: {}")
    assert dbt_profile.folder_in_force(settings, root) == root
    assert dbt_profile.folder_in_force(Settings(home=home, dbt_profiles_dir=named), root) == named
