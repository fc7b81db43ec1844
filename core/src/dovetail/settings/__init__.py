"""Settings: layers, named instances, and the choice of backends and policies for each step.

`Settings.load()` reads everything once; workers read no configuration layers and get the resolved values.
"""

from __future__ import annotations

from dovetail.settings.core import CoreSettings, TagSettings
from dovetail.settings.resolve import Settings
from dovetail.settings.retention import RetentionRule
from dovetail.settings.selection import Selection
from dovetail.settings.steps import StepOptions

__all__ = ["CoreSettings", "RetentionRule", "Selection", "Settings", "StepOptions", "TagSettings"]
