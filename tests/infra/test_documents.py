"""Documents: what is generated is fresh, and every command in them exists."""

import re

import pytest

from tests.conftest import PROJECT_ROOT
from tests.infra import commands, cost, licences
from tests.infra.hcl import TERRAFORM, variables

PAGES = sorted(
    [
        *(PROJECT_ROOT / "docs").glob("*.md"),
        *(PROJECT_ROOT / "docs" / "runbooks").glob("*.md"),
        PROJECT_ROOT / "README.md",
    ]
)


def code(text: str) -> str:
    """The shell code of a page."""
    return "\n".join(re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL))


def test_the_licences_are_known_and_listed() -> None:
    assert licences.unknown() == {}
    assert licences.PATH.read_text() == licences.render(), "run `make generate`"
    packages = licences.locked("dev")
    assert len(packages) > 300
    assert set(licences.EXCEPTIONS) <= set(packages), "an exception that is needed no more"


def test_the_cost_is_what_prices_and_formulas_give() -> None:
    text = cost.PATH.read_text()
    assert text == cost.written(text), "run `make generate`"
    assert all(one.usd > 0 for one in cost.costs())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_exist(page: str) -> None:
    text = page.read_text()  # type: ignore[attr-defined]
    assert commands.problems(code(text)) == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("pbm erase --patient PT --force", "pbm erase has no --force"),
        ("pbm forget", "pbm has no command forget"),
        ("make everything", "make has no target everything"),
        ("dbt build --sellect x", "dbt build has no --sellect"),
        ("cp infra/privacy/rolls.yml .", "infra/privacy/rolls.yml does not exist"),
        ("PBM_HOME=x pbm up && pbm dawn", "pbm has no command dawn"),
    ],
)
def test_a_command_that_does_not_exist_is_seen(command: str, problem: str) -> None:
    assert commands.problems(command) == [problem]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    text = page.read_text()  # type: ignore[attr-defined]
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", text):
        assert (page.parent / target).exists(), target  # type: ignore[attr-defined]


def test_the_deployment_guide_names_where_every_value_comes_from() -> None:
    text = (PROJECT_ROOT / "docs" / "deployment.md").read_text()
    for name in variables(TERRAFORM / "environments" / "production" / "variables.tf"):
        assert re.search(rf"^\| `{name}` \| \S", text, re.MULTILINE), name
    # what a command uses was set by a command, or is in the first table
    known = set(re.findall(r"^(?:export )?(\w+)=", code(text), flags=re.MULTILINE))
    known |= set(re.findall(r"^\| `\$(\w+)` \|", text, flags=re.MULTILINE))
    used = set(re.findall(r"\$\{?([A-Z_]\w+)", code(text)))
    assert used - known == set()


def test_diagrams_are_of_a_kind_that_mermaid_draws() -> None:
    text = (PROJECT_ROOT / "docs" / "architecture.md").read_text()
    diagrams = re.findall(r"```mermaid\n(.*?)```", text, flags=re.DOTALL)
    assert len(diagrams) >= 3
    for diagram in diagrams:
        assert re.match(r"(flowchart|sequenceDiagram|stateDiagram-v2|erDiagram)\b", diagram)
        assert diagram.count("[") == diagram.count("]")
        assert diagram.count("(") == diagram.count(")")
        assert len(re.findall(r"\bsubgraph\b", diagram)) == len(
            re.findall(r"^\s*end$", diagram, re.MULTILINE)
        ) or diagram.startswith("sequenceDiagram")
