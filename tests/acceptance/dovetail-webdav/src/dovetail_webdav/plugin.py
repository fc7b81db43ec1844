"""The manifest: what this plugin provides. Every command that looks at plugins imports it, so it imports little."""

from __future__ import annotations

from dovetail.plugins import (
    DataStoreSpec,
    FlowDecoratorSpec,
    StepDecoratorSpec,
    hookimpl,
)


@hookimpl
def dovetail_datastores() -> list[DataStoreSpec]:
    return [
        DataStoreSpec(
            name="webdav",
            summary="a collection of a WebDAV server",
            factory="dovetail_webdav.datastore:WebdavDataStore",
            settings="dovetail_webdav.settings:WebdavDataStoreSettings",
            schemes=("webdav", "webdavs"),
        )
    ]


@hookimpl
def dovetail_step_decorators() -> list[StepDecoratorSpec]:
    return [
        StepDecoratorSpec(
            name="webdav_datastore",
            summary="chooses the datastore of a step",
            factory="dovetail_webdav.decorators:webdav_datastore",
            chooses="datastore",
            backend="webdav",
        ),
    ]


@hookimpl
def dovetail_flow_decorators() -> list[FlowDecoratorSpec]:
    return [
        FlowDecoratorSpec(
            name="webdav_datastore",
            summary="chooses the datastore of all steps of a flow",
            factory="dovetail_webdav.decorators:webdav_datastore",
            chooses="datastore",
            backend="webdav",
        ),
    ]
