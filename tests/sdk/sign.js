// Posts each fixture signed by the official Node SDK; see check.
const fs = require("fs");
const { sign } = require("retell-sdk/lib/webhook_auth");

const { RETELL_API_KEY, URL: url, FIXTURES } = process.env;

async function post(body, signature) {
  const headers = { "content-type": "application/json", "x-retell-signature": signature };
  return (await fetch(url, { method: "POST", body, headers })).status;
}

(async () => {
  const bodies = fs.readFileSync(FIXTURES, "utf8").split("\n").filter(Boolean);
  let [taken, refused] = [0, 0];
  for (const body of bodies) {
    const signature = await sign(body, RETELL_API_KEY);
    taken += (await post(body, signature)) === 204;
    refused += (await post(body + " ", signature)) === 401;
  }
  console.log(`node: ${taken} of ${bodies.length} taken, ${refused} refused once changed`);
  process.exit(bodies.length > 0 && taken === bodies.length && refused === bodies.length ? 0 : 1);
})();
