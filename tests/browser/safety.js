// Nothing but the page itself may ask the inspector.
import assert from 'node:assert/strict';
import http from 'node:http';
import { request } from './relay.js';

export async function safety({ relay, context, step }) {
  await headers(relay, step);
  await otherPages(relay, context, step);
}

async function headers(relay, step) {
  const { host, port } = new URL(relay.inspector);
  const json = { 'Content-Type': 'application/json' };
  const cases = [
    [{ Host: host }, 200],
    [{ Host: `127.0.0.1:${port}` }, 200],
    [{ Host: host, Origin: `http://${host}`, 'Sec-Fetch-Site': 'same-origin' }, 200],
    // As a page sees it whose name was pointed at this machine.
    [{ Host: `attacker.example:${port}` }, 403],
    [{ Host: 'localhost' }, 403],
    [{ Host: host, Origin: 'http://attacker.example' }, 403],
    [{ Host: host, Origin: 'null' }, 403],
    [{ Host: host, Origin: `https://${host}` }, 403],
    [{ Host: host, 'Sec-Fetch-Site': 'cross-site' }, 403],
    [{ Host: host, 'Sec-Fetch-Site': 'same-site' }, 403],
  ];
  for (const [sent, status] of cases) {
    for (const path of ['/', '/app.js', '/api/info', '/api/requests/1', '/api/search?text=a']) {
      const answer = await request(relay.inspector + path, { headers: sent });
      assert.equal(answer.status, status, `${path} with ${JSON.stringify(sent)}`);
      const policy = answer.headers['content-security-policy'];
      assert.match(policy, /default-src 'none'.*script-src 'self'/);
      assert.doesNotMatch(policy, /unsafe/);
    }
    const body = '{"source":"retell","event":"call_ended","key":null,"tamper":false,"stale":false}';
    const answer = await request(`${relay.inspector}/api/sample`, { method: 'POST', headers: { ...json, ...sent } }, body);
    assert.equal(answer.status, status, `a sample with ${JSON.stringify(sent)}`);
  }
  const form = await request(`${relay.inspector}/api/sample`, { method: 'POST', headers: { Host: host, 'Content-Type': 'text/plain' } }, '{}');
  assert.equal(form.status, 415, 'what a form can send is not taken');
  step(`a foreign Host, Origin or Sec-Fetch-Site is refused (${cases.length} cases)`);
}

/** A page of another origin on this machine, as any web site is, reads and sends nothing. */
async function otherPages(relay, context, step) {
  const server = http.createServer((_, answer) => answer.setHeader('content-type', 'text/html').end('<!doctype html><title>other</title>'));
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  const window = await context();
  window.removeAllListeners('request');
  const page = await window.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const before = await relay.api('search?text=from-another-page');
  const outcomes = await page.evaluate(async inspector => {
    const outcome = promise => promise.then(() => 'done', () => 'refused');
    const post = type => fetch(`${inspector}/api/send`, {
      method: 'POST', mode: type ? 'cors' : 'no-cors', headers: { 'content-type': type ?? 'text/plain' },
      body: JSON.stringify({ from: null, path: '/webhook', headers: [], body: btoa('{"event":"from-another-page"}'), sign: false }),
    });
    const stream = new Promise((resolve, reject) => {
      const source = new EventSource(`${inspector}/api/stream`);
      source.onmessage = resolve;
      source.addEventListener('reset', resolve);
      source.onerror = reject;
    });
    const script = new Promise((resolve, reject) => document.head.append(Object.assign(document.createElement('script'), { src: `${inspector}/app.js`, onload: resolve, onerror: reject })));
    const frame = document.createElement('iframe');
    frame.src = inspector;
    const framed = new Promise(resolve => frame.addEventListener('load', resolve));
    document.body.append(frame);
    await framed;
    const all = { read: fetch(`${inspector}/api/info`), send: post('application/json'), stream, script };
    const named = await Promise.all(Object.entries(all).map(async ([name, promise]) => [name, await outcome(promise)]));
    // Whether it arrives is seen by what the inspector has.
    await outcome(post(null));
    return Object.fromEntries(named);
  }, relay.inspector);
  assert.deepEqual(outcomes, { read: 'refused', send: 'refused', stream: 'refused', script: 'refused' });
  const frames = await Promise.all(page.frames().slice(1).map(frame => frame.locator('#app').count()));
  assert.deepEqual(frames, [0], 'the inspector is in a frame');
  assert.deepEqual(await relay.api('search?text=from-another-page'), before, 'a request was sent');
  await window.close();
  server.close();
  step('a page of another origin can neither read, send, stream, load nor frame it');
}
