// What the page sends: samples, a request again, one that was edited, and one that curl sends.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { button, close, delivered, detail, having, panel, pick, sentFrom, until } from './page.js';

export async function sending(page, { relay, step }) {
  await firstClick(page, relay, step);
  await everySample(page, relay, step);
  await refusedSamples(page, relay, step);
  await again(page, relay, step);
  await edited(page, relay, step);
  await byCurl(page, relay, step);
  await fixture(page, relay, step);
}

async function firstClick(page, relay, step) {
  await page.getByRole('heading', { name: 'Waiting for the first request' }).waitFor();
  const started = Date.now();
  assert.equal(await page.locator('button.primary').count(), 1, 'one button stands out');
  await button(page, 'Send a sample').click();
  await page.getByRole('gridcell', { name: /^\d+@\d+$/ }).waitFor();
  step(`one click, and an event is there with its offset, after ${Date.now() - started} ms`);
}

async function everySample(page, relay, step) {
  const { sources } = await relay.api('info');
  const offered = sources.filter(source => source.samples.length > 0);
  assert.ok(offered.length >= 8, 'each scheme has a source');
  await button(page, 'Samples…').click();
  const form = page.getByRole('dialog');
  let sent = 0;
  for (const source of offered) {
    await form.getByLabel('Source').selectOption(source.name);
    await until('a sample that cannot be signed says why', async () => ((await form.textContent()).includes('RETELL_API_KEY')) !== source.signs);
    for (const { event } of source.samples) {
      await form.getByRole('button', { name: new RegExp(`^${event.replaceAll('.', String.raw`\.`)} `) }).click();
      const n = await sentAfter(form, sent);
      sent = n;
      const data = await delivered(relay, n);
      assert.equal(data.size, source.samples.find(each => each.event === event).size, `the size of ${source.name} ${event}`);
      assert.deepEqual([data.status, data.source, data.signature], [204, source.name, source.signs ? 'valid' : 'unchecked'], `${source.name} ${event}`);
    }
  }
  // In a low window the outcome stays in sight.
  const before = page.viewportSize();
  await page.setViewportSize({ ...before, height: 400 });
  await until('the outcome is above the edge', () => form.locator('.sent').evaluate(element =>
    element.getBoundingClientRect().bottom <= element.closest('dialog').getBoundingClientRect().bottom));
  await page.setViewportSize(before);
  await page.keyboard.press('Escape');
  const count = offered.reduce((sum, source) => sum + source.samples.length, 0);
  step(`each of ${count} samples of ${offered.length} sources is answered 204 and arrives in Kafka`);
}

/** The number of what was sent, once it is another one than `before`. */
function sentAfter(scope, before) {
  return until('the answer is shown', async () => {
    const n = await sentFrom(scope);
    return n !== before && n;
  });
}

async function refusedSamples(page, relay, step) {
  await button(page, 'Samples…').click();
  const form = page.getByRole('dialog');
  await form.getByLabel('Source').selectOption('stripe');
  await form.getByLabel('Id of the call').fill('cus_of_the_test');
  for (const label of ['Change the body after signing', 'Sign with an old time']) {
    await form.getByLabel(label).check();
    await form.getByRole('button', { name: /^invoice\.paid / }).click();
    await form.getByText(/^Answered 401 /).waitFor();
    const n = await sentFrom(form);
    await form.getByRole('button', { name: `Open request ${n}` }).click();
    await page.getByText('Refused with 401').waitFor();
    const { refusal } = await relay.api(`requests/${n}`);
    const shown = await detail(page).textContent();
    assert.ok(refusal.detail && shown.includes(refusal.detail), 'the reason is shown');
    assert.ok(refusal.remedy && shown.includes(refusal.remedy), 'the remedy is shown');
    await close(page);
    await button(page, 'Samples…').click();
    await form.getByLabel('Source').selectOption('stripe');
  }
  await page.keyboard.press('Escape');
  step('a changed body and an old signature are refused, with reason and remedy');
}

async function again(page, relay, step) {
  await relay.post('{"event":"call_started","call":{"call_id":"to-send-again"}}', { headers: ['X-Extra', 'kept'] });
  const n = await having(relay, 'to-send-again');
  await follow(page);
  await pick(page, n);
  await button(detail(page), 'Send again').click();
  const second = await sentFrom(detail(page));
  const [before, after] = [await relay.api(`requests/${n}`), await delivered(relay, second)];
  assert.equal(after.body, before.body);
  assert.equal(after.id, before.id, 'the same body has the same id');
  assert.equal(after.again, n);
  assert.ok(after.headers.some(([name, value]) => name.toLowerCase() === 'x-extra' && value === 'kept'));
  await close(page);
  step('a request is sent again as it was');
}

async function edited(page, relay, step) {
  const { sources } = await relay.api('info');
  assert.ok(sources.find(source => source.name === 'github').signs);
  await button(page, 'Samples…').click();
  const form = page.getByRole('dialog');
  await form.getByLabel('Source').selectOption('github');
  await form.getByRole('button', { name: /^ping / }).click();
  const n = await sentFrom(form);
  await page.keyboard.press('Escape');
  await follow(page);
  await pick(page, n);
  await button(detail(page), 'Edit and send').click();
  const body = '{"zen":"Edited, with “quotes” and a \\u0000.","hook_id":7}';
  await panel(page).getByLabel('Body', { exact: true }).fill(body);
  const sign = panel(page).getByRole('checkbox', { name: 'Sign it anew' });
  for (const [signs, status, signature] of [[true, 204, 'valid'], [false, 401, 'invalid']]) {
    await sign.setChecked(signs);
    await panel(page).getByRole('button', { name: 'Send', exact: true }).click();
    await panel(page).getByText(new RegExp(`^Answered ${status} `)).waitFor();
    const data = await relay.api(`requests/${await sentFrom(panel(page))}`);
    assert.equal(Buffer.from(data.body, 'base64').toString(), body);
    assert.deepEqual([data.status, data.signature, data.again], [status, signature, n]);
  }
  const headers = panel(page).getByLabel('Headers, one a line');
  await headers.fill('no header');
  await panel(page).getByRole('button', { name: 'Send', exact: true }).click();
  await panel(page).getByRole('alert').getByText('"no header" is no header: write it as Name: value.').waitFor();
  await close(page);
  step('an edited request is sent: signed anew it is accepted, with the old signature refused');
}

/** Bodies that a shell, curl or a terminal could change. */
const BODIES = {
  'quotes and dollars': Buffer.from(`{"event":"it's","text":"\\"$HOME\\" \`id\` !! \\\\ %s"}`),
  'a file name for curl': Buffer.from('@/etc/passwd'),
  'lines at its end': Buffer.from('{"event":"lines"}\r\n\n'),
  'tabs and controls': Buffer.from('{\t"event":"tab\u001b[31m\u007f\u0085é"}'),
  'other alphabets': Buffer.from('{"event":"東京 — Zürich 👍"}'),
  'all bytes': Buffer.from(Array.from({ length: 512 }, (_, at) => at % 256)),
  'more than an argument': Buffer.from(JSON.stringify({ event: 'long', text: "it's ".repeat(60_000) })),
  nothing: Buffer.alloc(0),
};
/** curl sets these for each connection. */
const PER_CONNECTION = ['connection', 'content-length'];

async function byCurl(page, relay, step) {
  await follow(page);
  let number = 0;
  for (const [name, body] of Object.entries(BODIES)) {
    number += 1;
    const mark = `curl-case-${number}.`;
    const extra = ['X-Case', mark, 'X-Quoted', `it's "$HOME" \\n`, 'X-Empty', '', 'X-Latin', 'caf\u00e9'];
    await relay.post(body, { path: '/webhook?a[]={b}&c=%27', headers: extra });
    const n = await having(relay, mark);
    await pick(page, n);
    await button(detail(page), 'Copy as curl').click();
    await button(detail(page), 'Copied').waitFor();
    const command = await page.evaluate(() => navigator.clipboard.readText());
    await close(page);
    // As it is pasted: on the standard input.
    const { stdout, stderr } = spawnSync('bash', { input: `${command}\n`, encoding: 'utf8' });
    assert.match(stdout, /^HTTP\/1\.1 [24]/m, `${name}: ${stderr}`);
    const second = await until('curl has sent it', async () => {
      const newest = await having(relay, mark);
      return newest > n && newest;
    });
    const [before, after] = [await relay.api(`requests/${n}`), await relay.api(`requests/${second}`)];
    assert.equal(after.body, before.body, `the body with ${name}`);
    const kept = headers => headers.filter(([each]) => !PER_CONNECTION.includes(each.toLowerCase())).map(pair => pair.join(': ').toLowerCase()).sort();
    assert.deepEqual(kept(after.headers), kept(before.headers), `the headers with ${name}`);
    const place = ({ method, path, query, status }) => ({ method, path, query, status });
    assert.deepEqual(place(after), place(before), name);
  }
  step(`a copied curl, run by bash, sends the same request: ${Object.keys(BODIES).join(', ')}`);
}

async function fixture(page, relay, step) {
  const n = await having(relay, 'to-send-again');
  await page.goto(`${relay.inspector}/?request=${n}`);
  const download = page.waitForEvent('download');
  await detail(page).getByRole('link', { name: 'Save as fixture' }).click();
  const file = await download;
  const lines = (await readFile(await file.path(), 'utf8')).trim().split('\n').map(line => JSON.parse(line));
  assert.match(file.suggestedFilename(), /\.ndjson$/);
  assert.equal(lines[0].ringback_recording, 1);
  assert.equal(JSON.parse(lines[1].body).call.call_id, 'to-send-again');
  await close(page);
  step('a request is saved as a fixture');
}

/** Has the list follow the newest, which a cursor keeps it from. */
async function follow(page) {
  await until('the list follows', async () => {
    if ((await page.getByRole('button', { name: /^[\d,]+ new$/ }).count()) === 0 && (await page.locator('[aria-selected=true]').count()) === 0) return true;
    await page.keyboard.press('Escape');
    return false;
  });
}
