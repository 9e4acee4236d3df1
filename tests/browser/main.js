// Runs every flow against one relay, and one with a start of its own.
import { chromium } from 'playwright-core';
import { access } from './access.js';
import { load } from './load.js';
import { healthy, open } from './page.js';
import { pure } from './pure.js';
import { reading } from './reading.js';
import { Relay } from './relay.js';
import { safety } from './safety.js';
import { screenshots } from './screenshots.js';
import { sending } from './sending.js';

const { BINARY, SCREENSHOTS } = process.env;
const asked = process.argv.slice(2);

/** All flows, or those that are named. */
const names = asked.filter(name => !name.startsWith('--'));
const wanted = name => names.length === 0 || names.includes(name);

const step = text => console.log(`browser: ${text}`);

pure({ step });
let relay = await Relay.start(BINARY);
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
const hosts = new Set();

/** A window of its own, whose requests are noted. */
async function context(options = {}) {
  const made = await browser.newContext({ viewport: { width: 1440, height: 860 }, permissions: ['clipboard-read', 'clipboard-write'], ...options });
  made.on('request', sent => hosts.add(new URL(sent.url()).host));
  return made;
}

let failed = null;
try {
  const tools = { relay, context, binary: BINARY, step };
  const first = await context();
  const page = await open(first, relay);
  if (wanted('sending')) await sending(page, tools);
  if (wanted('reading')) await reading(page, tools);
  healthy(page);
  if (wanted('access')) await access(tools);
  if (wanted('safety')) await safety(tools);
  if (wanted('load')) await load(page, { ...tools, seconds: asked.includes('--long') ? 60 : 5 });
  if (wanted('restart')) relay = await restart(page);
  const foreign = [...hosts].filter(host => !Relay.hosts.has(host));
  if (foreign.length > 0) throw new Error(`the page has asked ${foreign.join(', ')}`);
  step('no request left the inspector');
  if (asked.includes('--screenshots')) await screenshots({ ...tools, folder: SCREENSHOTS });
} catch (error) {
  failed = error;
}
await browser.close();
await relay.stop();
if (failed) {
  console.error('browser: FAILED:', failed, '\n', relay.output.split('\n').slice(-20).join('\n'));
  process.exit(1);
}

/** The relay dies and comes back: the page says so, connects by itself, and shows what the new one has. */
async function restart(page) {
  await relay.stop('SIGKILL');
  await page.getByText('Reconnecting', { exact: true }).waitFor();
  const next = await Relay.start(BINARY, { before: relay });
  await page.getByText('Live', { exact: true }).waitFor();
  await page.getByText('Waiting for the first request').waitFor();
  await next.post('{"event":"after_restart"}');
  await page.getByRole('gridcell', { name: 'after_restart' }).waitFor();
  step('a killed relay is noticed, and its successor is shown without a reload');
  return next;
}
