"""The manifest of the built-in backends passes the suite, but for what makes a plugin of a distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dovetail.testing import PluginConformance


class TestBuiltIn(PluginConformance):
    plugin = "dovetail"
    expected_failures: ClassVar[Mapping[str, str]] = {
        "test_the_plugin_is_installed": "it is built in: no entry point leads to it",
        "test_the_manifest_loads": "its status is built-in",
        "test_the_distribution_says_which_dovetail": "it is dovetail itself",
        "test_the_readme_names_every_setting": "the settings of the core have a page of the reference",
    }
