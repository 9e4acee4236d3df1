// Pictures for docs/inspector.md.
import { mkdir, writeFile } from 'node:fs/promises';
import assert from 'node:assert/strict';
import { delivered, having, open, panel, until } from './page.js';
import { small } from './png.js';
import { Relay } from './relay.js';

/** What a page of documentation should load at most. */
const MAX_BYTES = 150 * 1024;
const CALL = 'Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6';

/** Pictures of a relay of their own, with nothing but samples in it. */
export async function screenshots({ binary, context, folder, step }) {
  const relay = await Relay.start(binary);
  try {
    await mkdir(folder, { recursive: true });
    await samples(relay);
    const n = await having(relay, `"call_analyzed","call":{"call_id":"${CALL}"`);
    const wide = { viewport: { width: 1280, height: 760 } };
    const narrow = { viewport: { width: 360, height: 720 } };
    const shoot = (name, options, query) => shot(relay, context, `${folder}/${name}.png`, options, query);
    await shoot('light', wide, `?request=${n}`);
    await shoot('dark', { ...wide, colorScheme: 'dark' }, `?request=${n}&tab=timeline`);
    const refused = await having(relay, 'in_1Tampered');
    await shoot('refused', { ...wide, colorScheme: 'dark' }, `?request=${refused}`);
    await shoot('compare', wide, `?request=${n}&tab=compare&with=${n - 1}`);
    await shoot('narrow', narrow, '');
    await shoot('narrow-detail', { ...narrow, colorScheme: 'dark' }, `?request=${n}`);
  } finally {
    await relay.stop();
  }
  step(`screenshots are in ${folder}`);
}

async function samples(relay) {
  const others = [['stripe', 'invoice.paid'], ['github', 'push'], ['slack', 'message'], ['shopify', 'orders/create'], ['vapi', 'end-of-call-report'],
    ['standard-webhooks', 'contact.created'], ['twilio', 'completed'], ['stripe', 'payment_intent.succeeded']];
  const { sources } = await relay.api('info');
  // The first record waits for the producer to connect.
  const { n } = await sample(relay, { source: 'retell', event: 'chat_started' });
  await delivered(relay, n);
  for (const [source, event] of others) {
    const known = sources.find(each => each.name === source).samples;
    await sample(relay, { source, event: (known.find(each => each.event === event) ?? known[0]).event });
  }
  await relay.post('{"event":"call_ended"}', { path: '/webhok' });
  for (const event of ['call_started', 'transcript_updated', 'call_ended', 'call_analyzed']) await sample(relay, { source: 'retell', event, key: CALL });
  await sample(relay, { source: 'stripe', event: 'invoice.paid', key: 'in_1Tampered', tamper: true });
  await sample(relay, { source: 'github', event: 'ping' });
}

async function shot(relay, context, path, options, query) {
  const page = await open(await context({ ...options, reducedMotion: 'reduce' }), relay, query);
  if (query.includes('request=')) await panel(page).waitFor();
  if (query.includes('with=')) await panel(page).getByRole('table').first().waitFor();
  await until('the rows are there', async () => (await page.locator('[role=row]').count()) > 5);
  const picture = small(await page.screenshot());
  assert.ok(picture.length <= MAX_BYTES, `${path} has ${picture.length} bytes`);
  await writeFile(path, picture);
  await page.context().close();
}

async function sample(relay, wanted) {
  const body = JSON.stringify({ key: null, tamper: false, stale: false, ...wanted });
  const answer = await fetch(`${relay.inspector}/api/sample`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  assert.ok(answer.ok, `${wanted.source} ${wanted.event}: ${answer.status}`);
  return answer.json();
}
