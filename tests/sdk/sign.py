"""Posts each fixture signed by the official Python SDK; see check."""
import os
import sys
import urllib.error
import urllib.request

from retell.lib import webhook_auth

key = os.environ["RETELL_API_KEY"]
made = webhook_auth.make_secure_webhooks(webhook_auth.symmetric_get_signer, webhook_auth.symmetric_get_verifier)
sign = made["sign"] if isinstance(made, dict) else getattr(made, "sign", None) or made[0]


def post(body, signature):
    request = urllib.request.Request(
        os.environ["URL"],
        data=body.encode(),
        headers={"content-type": "application/json", "x-retell-signature": signature},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


with open(os.environ["FIXTURES"], encoding="utf-8") as file:
    bodies = file.read().splitlines()
signed = [(body, sign(body, key)) for body in bodies]
taken = sum(post(body, signature) == 204 for body, signature in signed)
refused = sum(post(body + " ", signature) == 401 for body, signature in signed)
print(f"python: {taken} of {len(bodies)} taken, {refused} refused once changed")
sys.exit(not bodies or taken != len(bodies) or refused != len(bodies))
