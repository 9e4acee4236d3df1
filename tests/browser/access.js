// For the keyboard alone, and for screen readers, in light and dark, wide and narrow.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { address, button, detail, grid, having, healthy, open, panel, row, rowCount, sentFrom, until } from './page.js';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const WINDOWS = [
  { colorScheme: 'light', viewport: { width: 1440, height: 860 } },
  { colorScheme: 'dark', viewport: { width: 1440, height: 860 } },
  { colorScheme: 'light', viewport: { width: 360, height: 740 } },
];

export async function access(tools) {
  await keyboard(tools);
  await checked(tools);
}

async function keyboard({ relay, context, step }) {
  await relay.post('{"event":"an_older_one"}');
  await relay.post('{"event":"call_ended","call":{"call_id":"by-keys"},"word":"needle"}');
  const n = await having(relay, 'by-keys');
  const page = await open(await context(), relay);
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim());
  const isOn = what => until(`the keyboard is on ${what}`, async () => (await focused()) === what);

  // A fresh page, on which nothing has the focus.
  await row(page, n).waitFor();
  const selected = () => grid(page).getAttribute('aria-activedescendant');
  assert.equal(await page.evaluate(() => document.activeElement === document.body), true);
  await press('ArrowDown');
  await until('the cursor is on the newest', async () => (await selected()) === `row-${n}`);
  await press('Enter');
  await isOn('detail-title');
  await press('ArrowDown');
  await page.getByRole('heading', { name: `#${n - 1}` }).waitFor();
  await press('Home');
  await page.getByRole('heading', { name: `#${n}` }).waitFor();
  await press('Escape', 'Escape');
  await isOn('grid');

  // A sample, sent by the form.
  const before = await rowCount(page);
  await press('s');
  await page.getByRole('dialog', { name: 'Send a sample' }).waitFor();
  await tabTo(page, /^call_ended /);
  await press('Enter');
  await sentFrom(page.getByRole('dialog'));
  await press('Escape');
  await until('it is in the list', async () => (await rowCount(page)) > before);

  // Found by a filter, opened, read, searched.
  await press('/');
  await isOn('text');
  await page.keyboard.type('by-keys');
  await until('it is found', async () => (await rowCount(page)) === 1);
  await press('Escape');
  await isOn('grid');
  await press('ArrowDown');
  await until('the cursor is on it', async () => (await selected()) === `row-${n}`);
  await press('Enter');
  await isOn('detail-title');
  await panel(page).waitFor();
  await press('f');
  await until('the search has the keyboard', () => page.evaluate(() => document.activeElement.matches('.body-search')));
  await page.keyboard.type('needle');
  await panel(page).getByText('1 of 1').waitFor();
  await press('Escape', 'Escape');
  await isOn('tab-panel');
  await press('Shift+Tab');
  await isOn('tab-body');
  await press('ArrowRight');
  await until('the next tab is chosen', () => address(page).tab === 'headers');
  await press('t');
  await page.getByRole('list', { name: 'Events of the call by-keys' }).waitFor();

  // Sent again, edited, copied.
  await press('r');
  await sentFrom(detail(page));
  await press('e');
  await isOn('edit-body');
  await press('Control+a');
  await page.keyboard.type('{"event":"typed","call":{"call_id":"by-keys"}}');
  await press('Control+Enter');
  await sentFrom(panel(page));
  await having(relay, '"typed"');
  await press('Escape');
  await isOn('tab-panel');
  await press('c');
  await detail(page).getByRole('button', { name: 'Copied' }).waitFor();
  await press('?');
  const keys = page.getByRole('dialog', { name: 'Keyboard' });
  await keys.waitFor();
  await tabTo(page, /^$/);
  await press('Space', 'Escape');
  await until('the dialog is closed', async () => (await keys.count()) === 0);
  await press('Escape');
  await isOn('grid');
  await press('End', 'Home', 'j', 'k');
  assert.equal(await detail(page).count(), 0);
  // One-letter keys are off now.
  await press('s', 'Enter');
  await isOn('detail-title');
  assert.equal(await page.getByRole('dialog').count(), 0);
  healthy(page);
  await page.context().close();
  step('by the keyboard alone: a sample, a filter, reading, searching, sending again, editing, copying');
}

/** Presses Tab until the focus is on what has this text, and checks on the way that it can be seen. */
async function tabTo(page, text) {
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press('Tab');
    const { name, seen } = await page.evaluate(() => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      return { name: document.activeElement.textContent.trim(), seen: outlineStyle !== 'none' && outlineWidth !== '0px' };
    });
    assert.ok(seen || name === '', `the focus on ${JSON.stringify(name)} cannot be seen`);
    if (text.test(name)) return;
  }
  throw new Error(`Tab never came to ${text}`);
}

async function checked({ relay, context, step }) {
  await relay.post('{"event":"call_ended"', { path: '/nowhere' });
  const n = await having(relay, 'by-keys');
  const refused = await having(relay, '/nowhere').catch(() => n);
  const views = {
    list: '',
    'nothing found': '?text=nowhere+to+be+found',
    detail: `?request=${n}`,
    refused: `?request=${refused}`,
    headers: `?request=${n}&tab=headers`,
    record: `?request=${n}&tab=kafka`,
    timeline: `?request=${n}&tab=timeline`,
    compare: `?request=${n}&tab=compare&with=1`,
    edit: `?request=${n}&tab=edit`,
    samples: 'key s',
    keys: 'key ?',
    empty: 'clear',
  };
  let count = 0;
  for (const options of WINDOWS) {
    const page = await open(await context({ ...options, reducedMotion: 'reduce' }), relay);
    await page.evaluate(axe);
    for (const [name, view] of Object.entries(views)) {
      if (view === 'clear') {
        const clear = button(page, 'Clear list');
        if (!(await clear.isVisible())) continue;
        await clear.click();
        await page.getByRole('heading', { name: 'Waiting for the next request' }).waitFor();
      } else if (view.startsWith('key ')) {
        await page.keyboard.press(view.slice(4));
        await page.getByRole('dialog').waitFor();
      } else {
        // As "back" and "forward" do, so that axe stays.
        await page.evaluate(query => {
          history.pushState(null, '', query || location.pathname);
          dispatchEvent(new PopStateEvent('popstate'));
        }, view);
        if (view.includes('request=')) await panel(page).waitFor();
        if (name === 'compare') await panel(page).getByRole('table').first().waitFor();
        if (name === 'nothing found') await page.getByText('No request matches').waitFor();
      }
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map(node => node.html).join(' | ')}`);
      assert.deepEqual(found, [], `axe on ${name}, ${options.colorScheme}, ${options.viewport.width} px`);
      const { width, wanted } = await page.evaluate(() => ({ width: innerWidth, wanted: document.documentElement.scrollWidth }));
      assert.ok(wanted <= width, `${name} needs ${wanted} px of ${width}`);
      if (view.startsWith('key ')) await page.keyboard.press('Escape');
      count += 1;
    }
    healthy(page);
    await page.context().close();
  }
  step(`axe finds nothing in ${count} views: light, dark, and 360 px wide`);
}
