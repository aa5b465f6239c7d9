"""Loads an integration from Kombo into Postgres as dlt's documentation shows it: a REST source with a cursor in the
answers, incremental by `changed_at`, merged by id. Prints what it took as JSON."""

import json
import os
import time
import urllib.parse

import dlt
from dlt.sources.rest_api import rest_api_source

ENDPOINTS = ["users", "skills", "courses", "course-progressions"]


def resource(name):
    return {
        "name": name.replace("-", "_"),
        "primary_key": "id",
        "write_disposition": "merge",
        "endpoint": {
            "path": f"lms/{name}",
            "params": {"page_size": 250, "include_deleted": "true"},
            "data_selector": "data.results",
            "incremental": {
                "cursor_path": "changed_at",
                "start_param": "updated_after",
                "on_cursor_value_missing": "include",
            },
        },
    }


def main():
    kombo = rest_api_source(
        {
            "client": {
                "base_url": os.environ["KOMBO_API_URL"] + "/",
                "auth": {"type": "bearer", "token": os.environ["KOMBO_API_KEY"]},
                "headers": {"X-Integration-Id": os.environ["KOMBO_INTEGRATION_ID"]},
                "paginator": {"type": "cursor", "cursor_path": "data.next", "cursor_param": "cursor"},
            },
            "resources": [resource(name) for name in ENDPOINTS],
        },
        name="kombo",
    )
    pipeline = dlt.pipeline(
        "kombo",
        pipelines_dir=os.environ["PIPELINES_DIR"],
        destination=dlt.destinations.postgres(
            {
                # dlt puts it into a URL as it is
                "host": urllib.parse.quote(os.environ["PGHOST"], safe=""),
                "database": os.environ["PGDATABASE"],
                "username": "postgres",
                "password": "not asked for",
            }
        ),
        dataset_name="lms",
    )
    begun = time.monotonic()
    pipeline.run(kombo)
    seconds = time.monotonic() - begun
    counts = pipeline.last_trace.last_normalize_info.row_counts
    records = sum(counts.get(name.replace("-", "_"), 0) for name in ENDPOINTS)
    print(json.dumps({"seconds": seconds, "records": records}))


main()
