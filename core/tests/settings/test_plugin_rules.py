"""A project's file can only block more and allow less; the user's own layers decide."""

from __future__ import annotations

import pytest

from dovetail.interfaces.errors import SettingsError
from dovetail.plugins.rules import PluginRules


def rules(project, user="", file="", **more) -> PluginRules:
    if user:
        project.user(f"[plugins]\n{user}")
    if file:
        project.pyproject(f"[tool.dovetail.plugins]\n{file}")
    return project.load(**more).core.plugins


@pytest.mark.parametrize(
    ("user", "file", "mode", "allow"),
    [
        ("", "", "auto", None),
        ("", "allow = ['a']", "auto", ("a",)),
        ("allow = ['a', 'b']", "allow = ['b', 'c']", "auto", ("b",)),
        ("allow = []", "allow = ['evil']", "auto", ()),
        ("allow = ['a']", "", "auto", ("a",)),
        ("mode = 'off'", "mode = 'auto'", "off", None),
        ("mode = 'allow-list'", "mode = 'auto'", "allow-list", None),
        ("mode = 'auto'", "mode = 'off'", "off", None),
    ],
)
def test_mode_and_allow(project, user, file, mode, allow):
    found = rules(project, user, file)
    assert (found.mode, found.allow) == (mode, allow)


def test_blocks_add_up(project):
    assert rules(project, "block = ['a']", "block = ['b', 'a']").block == ("b", "a")


def test_overrides_by_key(project):
    project.env["DOVETAIL__PLUGINS__OVERRIDE"] = "datastore:s3=mine"
    found = rules(project, file='override = {"datastore:s3" = "x", "compute:k" = "y"}')
    assert found.override == {"datastore:s3": "mine", "compute:k": "y"}


def test_the_command_line_and_the_environment_have_the_last_word(project):
    project.env["DOVETAIL_PLUGINS"] = "auto"
    assert rules(project, file="mode = 'off'").mode == "auto"
    assert rules(project, plugins=False).mode == "off"
    project.env["DOVETAIL_PLUGINS"] = "sometimes"
    with pytest.raises(SettingsError, match="DOVETAIL_PLUGINS must be one of"):
        project.load()


def test_wrong_rules(project):
    with pytest.raises(SettingsError, match="has no setting 'blok'"):
        rules(project, file="blok = []")


def test_rules_travel_to_child_processes():
    for found in (PluginRules(), PluginRules(mode="off", allow=(), block=("a",), override={"x:y": "z"})):
        assert PluginRules.from_env(found.to_env()) == found
    assert PluginRules.from_env({}) is None
    assert PluginRules.from_env({"DOVETAIL_PLUGINS": "off"}) == PluginRules(mode="off")
