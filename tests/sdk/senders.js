// Posts requests that the senders' official Node libraries have signed; see check.
const crypto = require("crypto");
const { Webhook } = require("standardwebhooks");
const svix = require("svix");
const Stripe = require("stripe");
const twilio = require("twilio/lib/webhooks/webhooks");

const env = process.env;
const now = new Date();
const json = "application/json";
const form = "application/x-www-form-urlencoded";
const body = JSON.stringify({ type: "invoice.paid", text: "größer 東京" });

const standard = (prefix, webhook) => ({
  [`${prefix}-id`]: "msg_1",
  [`${prefix}-timestamp`]: String(Math.floor(now / 1000)),
  [`${prefix}-signature`]: webhook.sign("msg_1", now, body),
});

// What Twilio posts to the URL with this query.
function twilioRequest(query, body, type, parameters) {
  const signed = `https://your-host/twilio${query}`;
  const signature = twilio.getExpectedTwilioSignature(env.TWILIO_AUTH_TOKEN, signed, parameters);
  return [`twilio${query}`, body, type, { "x-twilio-signature": signature }];
}

(async () => {
  const github = await import("@octokit/webhooks-methods");
  const stripe = new (Stripe.default || Stripe)("sk_test_unused");
  const header = stripe.webhooks.generateTestHeaderString({ payload: body, secret: env.STRIPE_SECRET });
  const hash = crypto.createHash("sha256").update(body).digest("hex");
  const cases = [
    ["standard", body, json, standard("webhook", new Webhook(env.SVIX_SECRET))],
    ["svix", body, json, standard("svix", new svix.Webhook(env.SVIX_SECRET))],
    ["stripe", body, json, { "stripe-signature": header }],
    ["github", body, json, { "x-hub-signature-256": await github.sign(env.GITHUB_SECRET, body) }],
    twilioRequest("", "To=%2B1&MediaUrl=b&MediaUrl=a&MediaUrl=b&Body=a+b%26", form, {
      To: "+1",
      MediaUrl: ["b", "a", "b"],
      Body: "a b&",
    }),
    twilioRequest("?foo=1&bar=a%20b", "CallSid=CA1", form, { CallSid: "CA1" }),
    twilioRequest(`?bodySHA256=${hash}`, body, json, {}),
  ];
  let [taken, refused] = [0, 0];
  for (const [path, body, type, headers] of cases) {
    const post = async (body) => {
      const init = { method: "POST", body, headers: { "content-type": type, ...headers } };
      return (await fetch(`${env.URL}/${path}`, init)).status;
    };
    const [genuine, changed] = [await post(body), await post(body + " ")];
    if (genuine !== 204 || changed !== 401) console.log(path, genuine, changed);
    taken += genuine === 204;
    refused += changed === 401;
  }
  console.log(`node: ${taken} of ${cases.length} senders' requests taken, ${refused} refused once changed`);
  process.exit(taken === cases.length && refused === cases.length ? 0 : 1);
})();
