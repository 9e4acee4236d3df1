// What the page shows: filters, one request, a call's events, two requests, and bodies that would like to be markup.
import assert from 'node:assert/strict';
import http from 'node:http';
import { address, button, close, delivered, detail, grid, having, healthy, open, panel, pick, row, rowCount, rows, tab, until } from './page.js';
import { Relay } from './relay.js';

export async function reading(page, tools) {
  await filters(page, tools);
  await oneRequest(page, tools);
  await timeline(page, tools);
  await compare(page, tools);
  await markup(page, tools);
  await unseen(page, tools);
  await following(page, tools);
  await narrow(tools);
  await forwarded(tools);
}

const shows = (page, count) => until(`the list has ${count} rows`, async () => (await rowCount(page)) === count);

async function filters(page, { relay, context, step }) {
  for (const event of ['call_started', 'call_ended']) await relay.post(`{"event":"${event}","call":{"call_id":"call-filtered"},"marker":"Needle-${event}"}`);
  await having(relay, 'needle-call_ended');
  await page.getByLabel('Call', { exact: true }).fill('call-FILTER');
  await shows(page, 2);
  await page.getByLabel('Event', { exact: true }).selectOption('retell.call_ended');
  await shows(page, 1);
  await page.goBack();
  await shows(page, 2);
  await page.goForward();
  await shows(page, 1);
  assert.deepEqual(address(page), { call: 'call-FILTER', event: 'retell.call_ended' });
  await page.reload();
  await shows(page, 1);
  assert.equal(await page.getByLabel('Call', { exact: true }).inputValue(), 'call-FILTER');
  await button(page, 'Clear filters').click();

  await page.getByLabel('Text in body, head or call').fill('nEEDLE-call');
  await shows(page, 2);
  // A new match is found as well.
  await relay.post('{"event":"call_analyzed","call":{"call_id":"other"},"marker":"needle-call again"}');
  await shows(page, 3);
  await button(page, 'Clear filters').click();

  await relay.post('{}', { path: '/refused' });
  await page.getByLabel('Answer', { exact: true }).selectOption('refused');
  await until('only refused requests are shown', async () => {
    const answers = await rows(page).locator('.answer').allTextContents();
    return answers.length > 0 && answers.every(text => /^[45]\d\d$/.test(text.trim()));
  });
  await page.getByLabel('Text in body, head or call').fill('nowhere at all');
  await page.getByRole('heading', { name: 'No request matches the filters' }).waitFor();
  await button(page, 'Clear the filters').click();
  await until('the filters are gone', async () => Object.keys(address(page)).length === 0);

  const second = await open(await context(), relay, '?event=retell.*&status=204');
  await until('every row is of the source', async () => {
    const sources = await rows(second).locator('.source').allTextContents();
    return sources.length > 0 && sources.every(text => text === 'retell');
  });
  healthy(second);
  await second.context().close();
  step('filters by call, event, answer and text; in the address, through back, forward and reload');
}

async function oneRequest(page, { relay, step }) {
  await relay.post('{"event":"call_ended","call":{"call_id":"call-read"},"big":12345678901234567890,"deep":{"word":"findme findme"}}', { headers: ['X-Header-Of-Mine', 'here'] });
  const n = await having(relay, 'findme');
  const data = await delivered(relay, n);
  await page.getByLabel('Call', { exact: true }).fill('call-read');
  await pick(page, n);
  const text = await until('its place in Kafka is shown', async () => {
    const shown = await detail(page).textContent();
    return shown.includes(`partition ${data.record.partition}, offset ${data.record.offset}`) && shown;
  });
  assert.ok(text.includes(data.verdict.text), 'the verdict is shown');
  const body = panel(page).locator('pre');
  // Numbers stay as they were sent.
  assert.match(await body.textContent(), /\n {2}"big": 12345678901234567890,\n/);
  await button(panel(page), 'Raw').click();
  assert.equal(await body.textContent(), Buffer.from(data.body, 'base64').toString());
  await panel(page).getByLabel('Search in the request body').fill('FINDME');
  await panel(page).getByText('1 of 2').waitFor();
  await page.keyboard.press('Enter');
  await panel(page).getByText('2 of 2').waitFor();
  await button(panel(page), 'Copy').click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), Buffer.from(data.body, 'base64').toString());
  await tab(page, 'Headers').click();
  await panel(page).getByRole('row', { name: /x-header-of-mine here/i }).waitFor();
  await tab(page, 'Answer').click();
  await panel(page).getByRole('row', { name: `ringback-id ${data.id}` }).waitFor();
  await tab(page, 'Kafka record').click();
  for (const [name, value] of data.record.headers) await panel(page).getByRole('row', { name: `${name} ${value}` }).first().waitFor();
  assert.deepEqual(address(page), { call: 'call-read', request: String(n), tab: 'kafka' });
  await page.reload();
  await panel(page).getByRole('row', { name: `offset ${data.record.offset}` }).waitFor();
  await close(page);
  await button(page, 'Clear filters').click();
  step('a request shows its verdict, body with search, headers, answer and record');
}

async function timeline(page, { relay, step }) {
  const events = ['call_started', 'transcript_updated', 'call_ended', 'call_ended'];
  for (const event of events) await relay.post(`{"event":"${event}","call":{"call_id":"call-in-time"}}`);
  const n = await having(relay, 'call-in-time');
  await page.goto(`${relay.inspector}/?request=${n}&tab=timeline`);
  const list = page.getByRole('list', { name: 'Events of the call call-in-time' });
  await until('every event is in the timeline', async () => (await list.getByRole('listitem').count()) === events.length);
  await until('the list marks the retry', async () => (await row(page, n).locator('.tag').allTextContents()).join() === 'duplicate');
  assert.equal(await row(page, n - 1).locator('.tag').count(), 0);
  await detail(page).getByText(`Its id came before, with #${n - 1}`).waitFor();
  const names = await list.getByRole('button').allTextContents();
  assert.deepEqual(names, events);
  await list.getByText(`same body as #${n - 1}`).waitFor();
  await list.getByRole('button').first().click();
  await page.getByRole('heading', { name: `call_started #${n - 3}` }).waitFor();
  await close(page);
  step("a call's events are a timeline, in which a retry is marked");
}

async function compare(page, { relay, step }) {
  for (const end of ['"a","x":1', '"b","x":1']) await relay.post(`{"event":"call_ended","call":{"call_id":"call-compared","end":${end}}}`);
  const n = await having(relay, 'call-compared');
  await page.goto(`${relay.inspector}/?request=${n}`);
  await tab(page, 'Compare').click();
  await panel(page).getByLabel(`Compare #${n} with`).selectOption(String(n - 1));
  const bodies = panel(page).getByRole('table', { name: 'Lines of the bodies' });
  await bodies.waitFor();
  assert.deepEqual([await bodies.locator('del').allTextContents(), await bodies.locator('ins').allTextContents()], [['a'], ['b']]);
  assert.deepEqual(address(page), { request: String(n), tab: 'compare', with: String(n - 1) });
  await close(page);
  step('of two requests side by side, what differs is marked');
}

async function markup(page, { relay, step }) {
  const evil = `<script>window.ran = 1</script><img src=x onerror="window.ran = 1"><style>*{display:none}</style>`;
  const body = JSON.stringify({ event: evil, call: { call_id: `${evil}key` }, text: evil });
  await relay.post(body, { headers: ['X-Evil', evil] });
  await relay.post(body, { path: `/webhook/${encodeURIComponent(evil)}`, headers: ['X-Evil', evil] });
  const accepted = await having(relay, '"text":"<script>');
  // Of this one only the head is read.
  const refused = await having(relay, '%3Cscript%3E');
  for (const each of [accepted, refused]) {
    await page.goto(`${relay.inspector}/?request=${each}`);
    await panel(page).waitFor();
    for (const name of await page.getByRole('tab').allTextContents()) {
      await tab(page, name).click();
      await until(`${name} is shown`, async () => (await tab(page, name).getAttribute('aria-selected')) === 'true');
      assert.equal(await page.locator('main :is(script, img, style, iframe)').count(), 0, name);
    }
  }
  await page.goto(`${relay.inspector}/?request=${accepted}`);
  assert.equal(JSON.parse(await panel(page).locator('pre').textContent()).text, evil);
  assert.equal(await page.evaluate(() => window.ran), undefined, 'something in a body has run');
  await close(page);
  step('markup in a body, key, header and path stays text');
}

/** What turns the text around, or is not seen, is written out, and the colours stay on what they mean. */
async function unseen(page, { relay, step }) {
  const [hidden, written] = ['\u202egnp.\u2066\u200b\u0085', String.raw`\u202egnp.\u2066\u200b\u0085`];
  const body = JSON.stringify({ event: hidden, call: { call_id: `call ${hidden}`, number: 7 } });
  await relay.post(body);
  const n = await having(relay, 'gnp.');
  await page.goto(`${relay.inspector}/?request=${n}`);
  await panel(page).waitFor();
  assert.equal(await row(page, n).locator('.event').textContent(), written);
  await page.getByRole('heading', { name: `${written} #${n}` }).waitFor();
  const shown = await panel(page).locator('pre').textContent();
  assert.equal(shown, JSON.stringify(JSON.parse(body), null, 2).replaceAll(hidden, written));
  const coloured = kind => page.evaluate(name => Array.from(CSS.highlights.get(name), ({ startContainer, startOffset, endOffset }) => startContainer.data.slice(startOffset, endOffset)), kind);
  assert.deepEqual(await coloured('json-string'), [`"${written}"`, `"call ${written}"`]);
  assert.deepEqual(await coloured('json-number'), ['7']);
  await button(panel(page), 'Raw').click();
  assert.equal(await panel(page).locator('pre').textContent(), body.replaceAll(hidden, written));
  await button(panel(page), 'Copy').click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), body);
  await close(page);
  step('what turns the text around or is not seen is written out, and copied as it was sent');
}

async function following(page, { relay, step }) {
  await page.keyboard.press('Escape');
  await relay.post('{"event":"first_of_two"}');
  const first = await having(relay, 'first_of_two');
  await row(page, first).waitFor();
  await pick(page, first);
  await relay.post('{"event":"second_of_two"}');
  await button(page, '1 new').click();
  await page.getByRole('gridcell', { name: 'second_of_two' }).waitFor();
  await close(page);
  await button(page, 'Clear list').click();
  await shows(page, 0);
  await page.reload();
  await until('the list is back', async () => (await rowCount(page)) > 10);
  await grid(page).focus();
  await page.keyboard.press('End');
  await row(page, 1).waitFor();
  await page.keyboard.press('Escape');
  step('the list stands still while something is picked, and follows again; clearing it keeps the requests');
}

/** Where there is no room beside the list, closing a request gives the list back as it was. */
async function narrow({ relay, context, step }) {
  const page = await open(await context({ viewport: { width: 360, height: 400 } }), relay);
  await grid(page).focus();
  await page.keyboard.press('End');
  await row(page, 1).waitFor();
  const scroll = () => grid(page).evaluate(element => element.scrollTop);
  const before = await until('it is scrolled', scroll);
  await pick(page, 1);
  assert.equal(await grid(page).isVisible(), false);
  await close(page);
  await until('the list has the keyboard', () => page.evaluate(() => document.activeElement.id === 'grid'));
  assert.equal(await scroll(), before);
  healthy(page);
  await page.context().close();
  step('in a narrow window the list comes back where it was');
}

/** A local handler's answer is shown beside ringback's. */
async function forwarded({ binary, context, step }) {
  const handler = http.createServer((sent, answer) => {
    sent.resume();
    sent.on('end', () => answer.writeHead(201, { 'content-type': 'application/json' }).end('{"handled":"<b>yes</b>"}'));
  });
  await new Promise(resolve => handler.listen(0, '127.0.0.1', resolve));
  const relay = await Relay.start(binary, { more: ['--forward', `http://127.0.0.1:${handler.address().port}/hook`] });
  try {
    const page = await open(await context(), relay);
    await relay.post('{"event":"call_ended","call":{"call_id":"forwarded"}}');
    await pick(page, await having(relay, 'forwarded'));
    await page.setViewportSize({ width: 1280, height: 800 });
    await tab(page, 'Forwarded').click();
    await panel(page).getByRole('row', { name: 'status 201' }).waitFor();
    await panel(page).getByRole('row', { name: /^after \d+\.\d ms$/ }).waitFor();
    const [last, edge] = await Promise.all([tab(page, 'Edit').boundingBox(), detail(page).boundingBox()]);
    assert.ok(last.x + last.width <= edge.x + edge.width, 'every tab is in sight');
    await until("the handler's body is shown", async () => (await panel(page).locator('pre').textContent()).includes('"<b>yes</b>"'));
    healthy(page);
    await page.context().close();
  } finally {
    await relay.stop();
    handler.close();
  }
  step("a local handler's answer is shown");
}
