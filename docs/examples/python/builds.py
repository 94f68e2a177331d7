"""Ask for a build and look at it. URL, and TOKEN where one is needed, are set outside."""

# region: set-up
import os

import httpx

token = os.environ.get("TOKEN")
http = httpx.Client(
    base_url=os.environ["URL"] + "/api/v1",
    headers={"Authorization": f"Bearer {token}"} if token else {},
    timeout=60,  # longer than ADE_BUILD_ENSURE_WAIT_SECONDS, for those who wait
)
invoices = "/workspaces/team-a/configs/invoices/builds"
# endregion


# region: errors
def checked(answer: httpx.Response) -> httpx.Response:
    """Raise what a problem document says (RFC 9457)."""
    if answer.is_error:
        answer.read()  # it may be a stream
        problem = answer.json()
        raise RuntimeError(f"{problem['status']} {problem['reason']}: {problem['detail']}")
    return answer


# endregion

# region: ask
build = checked(http.post(invoices)).json()
print(build["id"], build["status"])
# endregion

# region: wait
build = checked(http.post(invoices, json={"options": {"wait": True}})).json()
print(build["id"], build["status"], build["summary"])
# endregion

# region: stream
with http.stream("POST", invoices, json={"stream": True}) as answer:
    for line in checked(answer).iter_lines():
        print(line)
# endregion

# region: force
forced = checked(http.post(invoices, json={"options": {"force": True, "wait": True}})).json()
print(forced["id"], forced["trigger"])
# endregion

# region: list
for each in checked(http.get(invoices)).json()["builds"]:
    print(each["id"], each["status"], each["summary"])
# endregion

# region: get
build = checked(http.get(f"/builds/{build['id']}")).json()
for step in build["steps"]:
    print(step["name"], step["status"], step["exit_code"])
# endregion

# region: logs
after_id = 0
while after_id is not None:
    query = {"after_id": after_id, "limit": 1000}
    page = checked(http.get(f"/builds/{build['id']}/logs", params=query)).json()
    for entry in page["entries"]:
        print(entry["stream"], entry["message"])
    after_id = page["next_after_id"]
# endregion

# region: cancel
print(checked(http.post(f"/builds/{build['id']}/cancel")).json()["status"])
# endregion
