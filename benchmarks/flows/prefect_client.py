"""State and result of every task of the newest flow run that is on record, through the client; prints MARK lines."""

import time

begin = time.perf_counter()
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.sorting import FlowRunSort

print("MARK import_s", time.perf_counter() - begin)
begin = time.perf_counter()
with get_client(sync_client=True) as client:
    client.hello()
    print("MARK open_s", time.perf_counter() - begin)
    begin = time.perf_counter()
    run = client.read_flow_runs(limit=1, sort=FlowRunSort.START_TIME_DESC)[0]
    tasks = []
    while True:
        chosen = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        page = client.read_task_runs(flow_run_filter=chosen, limit=200, offset=len(tasks))
        tasks += page
        if len(page) < 200:
            break
    values = [t.state.result(raise_on_failure=False) for t in tasks if t.state and t.state.is_completed()]
    print("MARK read_s", time.perf_counter() - begin)
    print("MARK tasks", len(values))
