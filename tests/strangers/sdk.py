"""The official client for Python against the sandbox: lists, creates, deletes, asks a model. It is
told to check the types of all answers. Reads OPENAI_BASE_URL and OPENAI_ADMIN_KEY."""

import os
import time

import openai

client = openai.OpenAI(
    base_url=os.environ["OPENAI_BASE_URL"],
    admin_api_key=os.environ["OPENAI_ADMIN_KEY"],
    api_key="none",
    max_retries=0,
    timeout=30,
    _strict_response_validation=True,
)
organization = client.admin.organization


def refused(error, act):
    try:
        act()
    except error as caught:
        return caught
    raise AssertionError(f"expected {error.__name__}")


# Pages of two, walked by the client.
projects = list(organization.projects.list(limit=2, include_archived=True))
assert len(projects) == 4 and sum(p.archived_at is not None for p in projects) == 1, projects
project = projects[0].id
keys = list(organization.projects.api_keys.list(project, limit=2, owner_project_access="any"))
# One of five was deleted: `skewer sandbox` leaves it in a file.
assert len(keys) == 4 and {key.owner.type for key in keys} == {"user", "service_account"}, keys
assert all("*" in key.redacted_value for key in keys)
assert len(list(organization.admin_api_keys.list(limit=1))) == 2
assert len(list(organization.users.list(limit=3))) == 4
accounts = organization.projects.service_accounts
assert len(list(accounts.list(project, limit=1))) == 2

# A rotation, as a person would write it.
account = accounts.create(project, name="sdk", expires_in_seconds=3600)
second = accounts.api_keys.create(account.id, project_id=project, name="second", scopes=["api.model.read"])


def probe(value):
    return client.with_options(api_key=value).models.list()


assert list(probe(account.api_key.value)) and list(probe(second.value))
answer = client.with_options(api_key=account.api_key.value).responses.create(model="gpt-5", input="Anybody there?")
assert "sandbox" in answer.output_text, answer
chat = client.with_options(api_key=account.api_key.value).chat.completions.create(
    model="gpt-5", messages=[{"role": "user", "content": "Anybody there?"}]
)
assert chat.choices[0].message.content
lacking = refused(openai.AuthenticationError, lambda: client.with_options(api_key=second.value).responses.create(model="gpt-5", input="x"))
assert "api.responses.write" in lacking.message
updated = organization.projects.api_keys.update(second.id, project_id=project, expires_in_seconds=60)
assert updated.id == second.id
assert organization.projects.api_keys.delete(account.api_key.id, project_id=project).deleted
dead = refused(openai.AuthenticationError, lambda: probe(account.api_key.value))
assert dead.code == "invalid_api_key", dead
assert list(probe(second.value)), "the other key of the account lives on"

# What it did.
start = int(time.time()) - 86400
usage = organization.usage.completions(
    start_time=start, bucket_width="1h", limit=48, api_key_ids=[account.api_key.id], group_by=["api_key_id", "model"]
)
results = [result for bucket in usage.data for result in bucket.results]
assert sum(result.num_model_requests for result in results) == 2, results
assert {(result.api_key_id, result.model) for result in results} == {(account.api_key.id, "gpt-5")}
costs = organization.usage.costs(start_time=start, group_by=["api_key_id"])
assert any(result.amount.value > 0 for bucket in costs.data for result in bucket.results)
events = list(
    organization.audit_logs.list(resource_ids=[account.api_key.id], effective_at={"gte": start}, event_types=["api_key.created", "api_key.deleted"])
)
assert [event.type for event in events] == ["api_key.deleted", "api_key.created"], events

# Limits, and the rest of the calls that delete.
assert [limit.model for limit in organization.projects.rate_limits.list_rate_limits(project)]
organization.projects.spend_limit.update(project, threshold_amount=5000, currency="USD", interval="month")
assert organization.projects.spend_limit.retrieve(project).threshold_amount == 5000
assert organization.projects.spend_limit.delete(project).deleted
assert accounts.delete(account.id, project_id=project).deleted
assert refused(openai.AuthenticationError, lambda: probe(second.value)).code == "invalid_api_key"
admin = organization.admin_api_keys.create(name="sdk")
assert organization.admin_api_keys.delete(admin.id).deleted
assert refused(openai.NotFoundError, lambda: organization.admin_api_keys.retrieve(admin.id))
made = organization.projects.create(name="sdk")
assert organization.projects.archive(made.id).status == "archived"
refused(openai.BadRequestError, lambda: accounts.create(made.id, name="late"))
print("the official client can use the sandbox")
