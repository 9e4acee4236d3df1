// Pictures for docs/inspector.md.
import { mkdir, stat } from 'node:fs/promises';
import assert from 'node:assert/strict';
import { having, open, panel, until } from './page.js';

/** What a page of documentation should load at most. */
const MAX_BYTES = 150 * 1024;

export async function screenshots({ relay, context, folder, step }) {
  await mkdir(folder, { recursive: true });
  const call = 'Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6';
  for (const event of ['call_started', 'transcript_updated', 'call_ended', 'call_analyzed']) {
    await sample(relay, { source: 'retell', event, key: call });
  }
  for (const [source, event] of [['stripe', 'invoice.paid'], ['github', 'push'], ['slack', 'message'], ['shopify', 'orders-create'], ['vapi', 'end-of-call-report']]) {
    await sample(relay, { source, event }).catch(() => {});
  }
  await sample(relay, { source: 'stripe', event: 'invoice.paid', tamper: true });
  const n = await having(relay, call);
  const wide = { viewport: { width: 1280, height: 760 } };
  const narrow = { viewport: { width: 360, height: 720 } };
  await shoot('light', wide, `?request=${n}`);
  await shoot('dark', { ...wide, colorScheme: 'dark' }, `?request=${n}&tab=timeline`);
  await shoot('compare', wide, `?request=${n}&tab=compare&with=${n - 1}`);
  await shoot('narrow', narrow, '');
  await shoot('narrow-detail', { ...narrow, colorScheme: 'dark' }, `?request=${n}`);
  step('screenshots written');

  async function shoot(name, options, query) {
    const page = await open(await context({ ...options, reducedMotion: 'reduce' }), relay, query);
    if (query.includes('request=')) await panel(page).waitFor();
    if (query.includes('with=')) await panel(page).getByRole('table').first().waitFor();
    await until('the rows are there', async () => (await page.locator('[role=row]').count()) > 5);
    const path = `${folder}/${name}.png`;
    await page.screenshot({ path });
    const { size } = await stat(path);
    assert.ok(size <= MAX_BYTES, `${name}.png has ${size} bytes`);
    await page.context().close();
  }
}

async function sample(relay, wanted) {
  const body = JSON.stringify({ key: null, tamper: false, stale: false, ...wanted });
  const answer = await fetch(`${relay.inspector}/api/sample`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  assert.ok(answer.ok, `${wanted.source} ${wanted.event}: ${await answer.text()}`);
}
