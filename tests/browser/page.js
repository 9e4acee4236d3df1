// The inspector's page as a user meets it: by roles, names and what it shows.
import assert from 'node:assert/strict';

/** Longer than anything takes on a busy machine. */
const PATIENCE_MS = 30_000;

/** Opens the page at `query` and waits until it is connected. */
export async function open(context, relay, query = '') {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on('pageerror', error => {
    page.failed ??= error;
  });
  page.on('console', message => {
    if (message.type() === 'error') page.failed ??= new Error(`console: ${message.text()}`);
  });
  await page.goto(`${relay.inspector}/${query}`);
  await page.getByText('Live', { exact: true }).waitFor();
  return page;
}

/** Fails if the page has had an error, which it also has if the policy of its content was broken. */
export function healthy(page) {
  if (page.failed) throw page.failed;
}

/** Waits until `condition` holds. */
export async function until(what, condition) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`it never happened: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

export const grid = page => page.getByRole('grid');
/** The rows in sight, without the head. */
export const rows = page => page.locator('[role=rowgroup] [role=row]');
export const row = (page, n) => page.locator(`#row-${n}`);
export const detail = page => page.getByRole('region', { name: /#\d+$/ });
export const tab = (page, name) => page.getByRole('tab', { name });
export const button = (scope, name) => scope.getByRole('button', { name, exact: true });
/** The part of the chosen tab. */
export const panel = page => page.getByRole('tabpanel');

/** How many rows the list says that it has. */
export async function rowCount(page) {
  return Number(await grid(page).getAttribute('aria-rowcount')) - 1;
}

/** Opens request `n` by its row. */
export async function pick(page, n) {
  await row(page, n).click();
  await page.getByRole('heading', { name: `#${n}` }).waitFor();
  await panel(page).waitFor();
}

/** Closes the detail view, if there is one. */
export async function close(page) {
  // In a field, the first Escape leaves the field.
  await until('the detail view is closed', async () => {
    if ((await detail(page).count()) === 0) return true;
    await page.keyboard.press('Escape');
    return false;
  });
}

/** The number of the request that was just sent from here, which a button opens. */
export async function sentFrom(scope) {
  const text = await scope.getByRole('button', { name: /^Open request \d+$/ }).textContent();
  return Number(text.match(/\d+/)[0]);
}

/** The request as the API has it, once it is in Kafka. */
export function delivered(relay, n) {
  return until(`request ${n} is in Kafka`, async () => {
    const data = await relay.api(`requests/${n}`);
    assert.notEqual(data.error, 'not kept', `request ${n}`);
    return data.record && data;
  });
}

/** The request with this text in its body, once the API finds it. */
export async function having(relay, text) {
  const matches = await until(`a request has ${text}`, async () => {
    const answer = await relay.api(`search?text=${encodeURIComponent(text)}`);
    return answer.matches.length > 0 && answer.matches;
  });
  return Math.max(...matches);
}

/** The search params of the address. */
export const address = page => Object.fromEntries(new URL(page.url()).searchParams);
