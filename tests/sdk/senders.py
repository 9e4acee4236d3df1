"""Posts requests that the senders' official Python libraries have signed; see check."""
import datetime
import os
import sys
import time
import urllib.error
import urllib.request

import standardwebhooks
import stripe
import svix.webhooks
from slack_sdk.signature import SignatureVerifier
from twilio.request_validator import RequestValidator

env = os.environ
now = datetime.datetime.now(datetime.timezone.utc)
unix = str(int(time.time()))
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
BODY = '{"type": "invoice.paid", "text": "größer 東京"}'


class MultiDict(dict):
    """Parameters as Flask gives them to the library."""

    def getall(self, name):
        return self[name]


def standard(prefix, webhook):
    signature = webhook.sign(msg_id="msg_1", timestamp=now, data=BODY)
    return {f"{prefix}-id": "msg_1", f"{prefix}-timestamp": str(int(now.timestamp())), f"{prefix}-signature": signature}


def twilio(query, body, content_type, parameters):
    url = f"https://your-host/twilio{query}"
    signature = RequestValidator(env["TWILIO_AUTH_TOKEN"]).compute_signature(url, parameters)
    return f"twilio{query}", body, content_type, {"x-twilio-signature": signature}


stripe_header = stripe.WebhookSignature.generate_signature_header(BODY, env["STRIPE_SECRET"])
slack_signature = SignatureVerifier(env["SLACK_SECRET"]).generate_signature(timestamp=unix, body=BODY)
body_hash = RequestValidator("").compute_hash(BODY)
cases = [
    ("standard", BODY, JSON, standard("webhook", standardwebhooks.Webhook(env["SVIX_SECRET"]))),
    ("svix", BODY, JSON, standard("svix", svix.webhooks.Webhook(env["SVIX_SECRET"]))),
    ("stripe", BODY, JSON, {"stripe-signature": stripe_header}),
    ("slack", BODY, JSON, {"x-slack-request-timestamp": unix, "x-slack-signature": slack_signature}),
    twilio("", "To=%2B1&MediaUrl=b&MediaUrl=a&MediaUrl=b", FORM, MultiDict(To=["+1"], MediaUrl=["b", "a", "b"])),
    twilio(f"?bodySHA256={body_hash}", BODY, JSON, {}),
]


def post(path, body, content_type, headers):
    headers = {"content-type": content_type, **headers}
    request = urllib.request.Request(f"{env['URL']}/{path}", data=body.encode(), headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


answers = [(path, post(path, body, *rest), post(path, body + " ", *rest)) for path, body, *rest in cases]
print(*[answer for answer in answers if answer[1:] != (204, 401)], sep="\n", end="")
taken = sum(genuine == 204 for _, genuine, _ in answers)
refused = sum(changed == 401 for *_, changed in answers)
print(f"python: {taken} of {len(cases)} senders' requests taken, {refused} refused once changed")
sys.exit(taken != len(cases) or refused != len(cases))
