// The page beside 1,000 events a second: answers are unaffected, the page responds, its memory is bounded.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { button, close, healthy, open, rowCount, rows, until } from './page.js';

/** Senders in parallel: each waits for its answer before it sends the next. */
const SENDERS = 8;
const RATE = 1000;
/** Generous: machines that run tests are slow and busy. */
const MAX_CLICK_MS = 2000;
const MAX_HEAP_MIB = 300;

export async function load(page, tools) {
  await manyRows(tools);
  await beside(page, tools);
}

/** What a full list costs: the page is given 100,000 rows, filters them, and jumps through them. */
async function manyRows({ relay, context, step }) {
  const page = await open(await context(), relay);
  const took = await page.evaluate(async () => {
    const { changed, state } = await import('./store.js');
    const { go } = await import('./route.js');
    const frame = () => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    const timed = async work => {
      const begun = performance.now();
      work();
      changed();
      await frame();
      return performance.now() - begun;
    };
    const row = n => ({ n, at_ms: 0, method: 'POST', path: '/', source: 'many', event: `event_${n % 7}`, key: `call-${n % 999}`, id: 'id', size: 1, status: 204, reason: null,
      answer_us: 1, signature: 'valid', kafka: null, dead_letter: false, again: null });
    const rows = Array.from({ length: 100_000 }, (_, at) => row(at + 1));
    state.rows.clear();
    const shown = await timed(() => state.rows.take(1, rows));
    const filtered = await timed(() => go({ event: 'many.event_3' }));
    const count = document.getElementById('grid').getAttribute('aria-rowcount');
    await timed(() => go({ event: null }));
    const grid = document.getElementById('grid');
    const jumps = [];
    for (let jump = 1; jump <= 20; jump += 1) {
      jumps.push(await timed(() => {
        grid.scrollTop = (grid.scrollHeight * jump) / 20;
      }));
    }
    return { shown, filtered, count: Number(count) - 1, last: Boolean(document.getElementById('row-1')), jump: Math.max(...jumps), elements: document.querySelectorAll('*').length };
  });
  await page.context().close();
  const ms = value => `${value.toFixed(0)} ms`;
  step(`100,000 rows: shown in ${ms(took.shown)}, filtered in ${ms(took.filtered)}, a jump takes at most ${ms(took.jump)}; ${took.elements} elements`);
  assert.deepEqual([took.count, took.last], [14_286, true]);
  assert.ok(took.elements < 2000, 'only the rows in sight are elements');
  assert.ok(Math.max(took.shown, took.filtered, took.jump) < MAX_CLICK_MS, 'the list is slow');
}

async function beside(page, { relay, binary, seconds, step }) {
  await page.goto(`${relay.inspector}/`);
  await page.getByText('Live', { exact: true }).waitFor();
  await page.evaluate(() => {
    globalThis.tasks = [];
    new PerformanceObserver(list => globalThis.tasks.push(...list.getEntries().map(entry => entry.duration))).observe({ type: 'longtask' });
  });
  const devtools = await page.context().newCDPSession(page);
  const heap = async () => (await devtools.send('Runtime.getHeapUsage')).usedSize / (1 << 20);
  const atFirst = await heap();
  const count = RATE * seconds;
  const started = Date.now();
  let running = true;
  const senders = Array.from({ length: SENDERS }, () => send(relay, binary, count / SENDERS));
  const done = Promise.all(senders).finally(() => {
    running = false;
  });
  const clicks = [];
  const heaps = [];
  await until('events arrive', async () => (await rowCount(page)) > 100);
  while (running) {
    clicks.push(await click(page));
    heaps.push(await heap());
    await Promise.race([done, new Promise(resolve => setTimeout(resolve, 500))]);
  }
  await done;
  const took = (Date.now() - started) / 1000;
  await button(page, /new$/).click({ timeout: 1000 }).catch(() => {});
  await until('every event is in Kafka', async () => (await rows(page).first().locator('.place').textContent()).includes('@'));
  const tasks = await page.evaluate(() => globalThis.tasks);
  const longest = Math.max(0, ...tasks);
  const slowest = Math.max(...clicks);
  const middle = clicks.sort((a, b) => a - b)[Math.floor(clicks.length / 2)];
  const most = Math.max(...heaps);
  await devtools.send('HeapProfiler.collectGarbage');
  const atLast = await heap();
  healthy(page);
  step(`${count} events in ${took.toFixed(1)} s, all answered 2xx; clicks took ${middle.toFixed(0)} ms in the middle and ${slowest.toFixed(0)} ms at most (${clicks.length}), `
    + `the longest task ${longest.toFixed(0)} ms; heap ${atFirst.toFixed(1)} MiB before, ${most.toFixed(1)} MiB at most, ${atLast.toFixed(1)} MiB without garbage at the end`);
  assert.ok(slowest < MAX_CLICK_MS, 'the page does not respond');
  assert.ok(most < MAX_HEAP_MIB, 'the heap grows');
}

/** Exits with 0 only if every answer is 2xx. */
function send(relay, binary, count) {
  const options = ['--url', `${relay.webhook}/webhook`, '--event', 'call_started', '--rate', String(RATE / SENDERS), '--count', String(count)];
  const { RETELL_API_KEY: _, ...env } = process.env;
  const sender = spawn(binary, ['send', ...options], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  sender.stdout.on('data', chunk => { output += chunk; });
  sender.stderr.on('data', chunk => { output += chunk; });
  return new Promise((resolve, reject) => {
    sender.once('exit', code => (code === 0 ? resolve() : reject(new Error(`send ended with ${code}:\n${output}`))));
  });
}

/** Milliseconds from a click on the newest row until the frame that shows its details, as the page itself measures. */
async function click(page) {
  const took = await page.evaluate(async () => {
    const begun = performance.now();
    document.querySelector('[role=rowgroup] [role=row]').click();
    while (!document.querySelector('.panel')) await new Promise(resolve => requestAnimationFrame(resolve));
    return performance.now() - begun;
  });
  await close(page);
  await page.keyboard.press('Escape');
  return took;
}
