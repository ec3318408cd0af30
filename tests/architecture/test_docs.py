"""The documentation says what is so: links, files, routes, events, settings, metrics, commands that it names exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from architecture.codebase import ROOT, tracked_files
from generate_docs import outdated
from reference_pages.config import setting_names
from reference_pages.errors import known_errors
from reference_pages.events import PLAIN, SERVER, sent_events
from reference_pages.rest import route_paths
from xinyu.app.settings import Settings
from xinyu.cli.program import program
from xinyu.gateway.routes import EVENTS

API = "/api/v1/"
PAGES = [path for path in tracked_files() if path.endswith(".md") and not path.startswith("docs/reference/")]
DOCS = [path for path in PAGES if path.startswith("docs/") or "/" not in path]
LINK = re.compile(r"\[[^]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
QUOTED = re.compile(r"`([^`\n]+)`")
ABSENT = "docs/howto/web-client.md"


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def quoted(page: str) -> Iterator[str]:
    """What stands in backticks outside of examples."""
    return (match[1] for match in QUOTED.finditer(FENCED.sub("", text_of(page))))


def test_references_are_in_step_with_the_code() -> None:
    assert not outdated(), "run `make docs`"


def test_a_changed_reference_is_noticed(tmp_path: Path) -> None:
    for path in (ROOT / "docs" / "reference").glob("*.md"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "errors.md").write_text("nothing", encoding="utf-8")
    (tmp_path / "old.md").write_text("left over", encoding="utf-8")
    assert outdated(tmp_path) == ["errors.md", "old.md"]


def test_every_event_the_server_sends_is_described() -> None:
    assert sent_events() == set(SERVER)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    targets = [link for link in LINK.findall(FENCED.sub("", text_of(page))) if "://" not in link]
    assert [link for link in targets if not (folder / link).exists()] == []


def test_every_page_is_linked_from_the_index() -> None:
    linked: set[Path] = set()
    for page in ("docs/index.md", "docs/adr/README.md"):
        linked |= {((ROOT / page).parent / link).resolve() for link in LINK.findall(text_of(page)) if "://" not in link}
    pages = {path.resolve() for path in (ROOT / "docs").rglob("*.md")} - {(ROOT / "docs" / "index.md").resolve()}
    assert sorted(str(path.relative_to(ROOT)) for path in pages - linked) == []


@pytest.mark.parametrize("page", DOCS)
def test_files_named_exist(page: str) -> None:
    named = {word for word in quoted(page) if re.fullmatch(r"(xinyu|tests|scripts|docs|config)/[\w./-]+", word)}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_tour_names_the_way() -> None:
    named = [word for word in quoted("docs/explanation/tour.md") if word.startswith("xinyu/")]
    assert len(set(named)) >= 25


@pytest.mark.parametrize("page", [page for page in DOCS if page != ABSENT])
def test_routes_named_exist(page: str) -> None:
    assert {route for route in routes_in(text_of(page)) if API + route not in route_paths()} == set()


def test_routes_called_absent_are_absent_and_the_others_exist() -> None:
    before, absent, after = re.split(r"^## (?:What is absent|What differs.*)$", text_of(ABSENT), flags=re.M)
    assert {route for route in routes_in(before + after) if API + route not in route_paths()} == set()
    patterns = re.findall(r"`([a-z-]+/[a-z/…-]*)`", absent)
    assert len(patterns) >= 10
    for pattern in patterns:
        found = [p for p in route_paths() if re.fullmatch(re.escape(API + pattern).replace("…", ".*"), p)]
        assert not found, f"{pattern} is there: {found}"


def routes_in(text: str) -> set[str]:
    """Paths of routes: `auth/login`, `post auth/login`, /api/v1/auth/login."""
    families = {path.removeprefix(API).split("/")[0] for path in route_paths() if path.startswith(API)} - {"media"}
    words = re.findall(r"(?:`|\bpost |\"|/api/v1/)([a-z-]+/[a-z-]+(?:/[a-z-]+)?)(?=[`\"\s])", text)
    return {word for word in words if word.split("/")[0] in families}


@pytest.mark.parametrize("page", DOCS)
def test_settings_events_and_errors_named_exist(page: str) -> None:
    known = setting_names() | set(EVENTS) | set(SERVER) | set(PLAIN) | set(known_errors())
    heads = {name.partition(".")[0] for name in known if "." in name} & {
        *Settings.model_fields,
        "im",
        "server",
        "request",
    }
    words = {match[0] for word in quoted(page) if (match := re.match(r"[a-z]+\.[a-z_]+(\.[a-z_]+)?(?=$|:)", word))}
    wrong = {word for word in words if word.partition(".")[0] in heads and not word.endswith(".py")} - known
    modules = {word for word in wrong if (ROOT / "xinyu" / f"{word.replace('.', '/')}.py").exists()}
    assert wrong - modules == set()


@pytest.mark.parametrize("page", DOCS)
def test_environment_variables_named_are_settings(page: str) -> None:
    variables = set(re.findall(r"\bXINYU_[A-Z_]+[A-Z]\b", text_of(page))) - {"XINYU_CONFIG"}
    names = {variable.removeprefix("XINYU_").lower().replace("__", ".") for variable in variables}
    assert names - setting_names() == set()


@pytest.mark.parametrize("page", DOCS)
def test_metrics_named_exist(page: str) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "xinyu").rglob("*.py"))
    named = {word for word in quoted(page) if re.fullmatch(r"xinyu_\w+", word)}
    assert [name for name in sorted(named) if f'"{name}"' not in source] == []


@pytest.mark.parametrize("page", DOCS)
def test_make_targets_named_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.M))
    named = set(re.findall(r"(?:^|`|XINYU_\w+=\S+ )make ([a-z-]+)\b", text_of(page), re.M))
    assert named - targets == set()


def test_the_readme_starts_with_the_two_commands() -> None:
    assert re.findall(r"^make (\w+) ", text_of("README.md"), re.M)[:2] == ["run", "test"]
    assert "exec make test" in text_of(".ci/run")


@pytest.mark.parametrize("page", DOCS)
def test_commands_named_exist(page: str) -> None:
    group = typer.main.get_command(program)
    for line in re.findall(r"(?:`|bin/)xinyu ([a-z]+(?: [a-z|]+)?)(?=[`\s])", text_of(page), re.M):
        first, _, rest = line.partition(" ")
        command = getattr(group, "commands", {}).get(first)
        assert command is not None, f"there is no `xinyu {first}`"
        inner = getattr(command, "commands", None)
        for name in rest.split("|") if inner is not None and rest else ():
            assert name in inner, f"there is no `xinyu {first} {name}`"


def test_the_tutorial_shows_its_script_as_it_is() -> None:
    script = text_of("docs/tutorial_story.py")
    shown = [code for language, code in FENCED.findall(text_of("docs/tutorial.md")) if language == "python"]
    assert len(shown) >= 5
    assert [code for code in shown if code not in script] == []


@pytest.mark.parametrize("page", DOCS)
def test_examples_in_python_compile(page: str) -> None:
    for language, code in FENCED.findall(text_of(page)):
        if language == "python":
            compile(code, page, "exec")
