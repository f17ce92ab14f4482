"""Makes each call of the Admin API once. Reads OPENAI_BASE_URL and OPENAI_ADMIN_KEY.

`--queries` makes only those calls that read, with all of their parameters: for a mock server, which
knows no objects. Ends with 1 if an answer is not the expected one.
"""

import http.client
import json
import os
import sys
import urllib.parse

BASE = urllib.parse.urlsplit(os.environ["OPENAI_BASE_URL"])
KEY = os.environ["OPENAI_ADMIN_KEY"]


def call(method, path, query=(), body=None, expect=200):
    connection = http.client.HTTPConnection(BASE.hostname, BASE.port, timeout=30)
    target = BASE.path.rstrip("/") + path
    if query:
        target += "?" + urllib.parse.urlencode(query)
    headers = {"authorization": f"Bearer {KEY}"}
    if body is not None:
        headers["content-type"] = "application/json"
    data = json.dumps(body) if body is not None else None
    connection.request(method, target, body=data, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    # A proxy that finds fault with a request or an answer says so in a header or in the body.
    violations = answer.getheader("sl-violations")
    if answer.status != expect or violations:
        sys.exit(f"{method} {target}: {answer.status}, expected {expect}\n{violations or ''}\n{text[:2000]}")
    return json.loads(text)


def read(project, start):
    """Calls that read, with all of their parameters."""
    page = [("limit", 2)]
    call("GET", "/organization/projects", page + [("include_archived", "true")])
    for access in ("active", "inactive", "any"):
        call("GET", f"/organization/projects/{project}/api_keys", page + [("owner_project_access", access)])
    call("GET", "/organization/admin_api_keys", page + [("order", "desc")])
    call("GET", "/organization/users", page)
    call("GET", f"/organization/projects/{project}/users", page)
    call("GET", f"/organization/projects/{project}/service_accounts", page)
    call("GET", f"/organization/projects/{project}/rate_limits", page)
    call("GET", f"/organization/projects/{project}/model_permissions")
    call(
        "GET",
        "/organization/audit_logs",
        page
        + [("event_types[]", "api_key.created"), ("event_types[]", "api_key.deleted")]
        + [("project_ids[]", project), ("effective_at[gte]", start)],
    )
    for width in ("1m", "1h", "1d"):
        # With brackets, as the official clients write them.
        query = [("start_time", start), ("bucket_width", width), ("limit", 3)]
        query += [("project_ids[]", project), ("group_by[]", "api_key_id"), ("group_by[]", "model")]
        call("GET", "/organization/usage/completions", query)
    for capability in ("embeddings", "moderations", "images", "audio_speeches", "audio_transcriptions",
                       "vector_stores", "code_interpreter_sessions", "file_search_calls", "web_search_calls"):
        call("GET", f"/organization/usage/{capability}", [("start_time", start), ("group_by[]", "project_id")])
    query = [("start_time", start), ("bucket_width", "1d"), ("group_by[]", "api_key_id"), ("group_by[]", "line_item")]
    call("GET", "/organization/costs", query)


def change(project):
    """Calls that change something, and the errors that clients meet."""
    at = f"/organization/projects/{project}"
    made = call("POST", "/organization/projects", body={"name": "stranger"})
    call("POST", f"/organization/projects/{made['id']}", body={"name": "stranger no more"})
    call("POST", f"/organization/projects/{made['id']}/archive")
    call("POST", f"/organization/projects/{made['id']}/service_accounts", body={"name": "late"}, expect=400)
    account = call("POST", f"{at}/service_accounts", body={"name": "stranger", "expires_in_seconds": 3600})
    bare = {"name": "bare", "create_service_account_only": True}
    bare = call("POST", f"{at}/service_accounts", body=bare)
    own = f"{at}/service_accounts/{account['id']}"
    call("GET", own)
    call("POST", own, body={"role": "owner"})
    wanted = {"name": "second", "scopes": ["api.model.read"], "expires_in_seconds": 60}
    second = call("POST", f"{own}/api_keys", body=wanted)
    key = f"{at}/api_keys/{second['id']}"
    call("GET", key)
    call("POST", key, body={"expires_in_seconds": 120})
    call("POST", key, body={"scopes": ["api.model.read", "model.request"]})
    call("DELETE", key)
    call("GET", key, expect=404)
    call("DELETE", own)
    call("DELETE", f"{at}/service_accounts/{bare['id']}")
    admin = call("POST", "/organization/admin_api_keys", body={"name": "stranger", "expires_in_seconds": 60})
    call("GET", f"/organization/admin_api_keys/{admin['id']}")
    call("DELETE", f"/organization/admin_api_keys/{admin['id']}")
    limit = call("GET", f"{at}/rate_limits")["data"][0]
    call("POST", f"{at}/rate_limits/{limit['id']}", body={"max_requests_per_1_minute": 9})
    call("POST", f"{at}/model_permissions", body={"mode": "allow_list", "model_ids": ["gpt-5"]})
    call("DELETE", f"{at}/model_permissions")
    spend = {"threshold_amount": 100000, "currency": "USD", "interval": "month"}
    call("POST", f"{at}/spend_limit", body=spend)
    call("GET", f"{at}/spend_limit")
    call("DELETE", f"{at}/spend_limit")
    call("POST", "/organization/spend_limit", body=spend)
    call("GET", "/organization/spend_limit")
    call("DELETE", "/organization/spend_limit")
    user = call("GET", "/organization/users")["data"][-1]["id"]
    call("GET", f"/organization/users/{user}")
    call("POST", f"{at}/users", body={"user_id": user, "role": "member"})
    call("GET", f"{at}/users/{user}")
    call("DELETE", f"{at}/users/{user}")
    call("DELETE", f"/organization/users/{user}")


def main():
    if "--queries" in sys.argv:
        read("proj_1", 1_790_000_000)
        return
    project = call("GET", "/organization/projects")["data"][0]["id"]
    call("GET", f"/organization/projects/{project}")
    newest = call("GET", "/organization/audit_logs", [("limit", 1)])["data"][0]["effective_at"]
    change(project)
    read(project, newest - 5 * 86400)


if __name__ == "__main__":
    main()
