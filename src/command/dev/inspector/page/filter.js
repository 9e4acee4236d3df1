// Which requests the filters of the address let through.

/** The answers that can be asked for by name, and their words. */
export const ANSWERS = [
  ['accepted', 'Accepted'],
  ['refused', 'Refused'],
  ['waiting', 'Not yet in Kafka'],
  ['dead-letter', 'Dead letters'],
  ['forged', 'Signature invalid or missing'],
];

/** True if the source checks signatures, and this one is wrong or not there. */
export function hasBadSignature({ signature }) {
  return signature === 'invalid' || signature === 'missing';
}

const BY_NAME = {
  accepted: row => row.status >= 200 && row.status < 300,
  refused: row => row.status >= 300,
  waiting: row => row.status === 204 && !row.kafka && !row.dead_letter,
  'dead-letter': row => row.dead_letter,
  forged: hasBadSignature,
};

/** True if the address filters at all. */
export function isFiltered(route) {
  return Boolean(route.text || route.call || route.event || route.status);
}

/**
 * The filter of `route`. `found` has the numbers that the text occurs in, or is null while they are unknown; numbers up to
 * `cleared` are not shown.
 */
export function filterOf(route, found, cleared) {
  const tests = [];
  if (cleared) tests.push(row => row.n > cleared);
  if (route.call) {
    const call = route.call.toLowerCase();
    tests.push(row => row.key?.toLowerCase().includes(call));
  }
  if (route.event) tests.push(eventTest(route.event));
  if (route.status) tests.push(BY_NAME[route.status] ?? (row => String(row.status) === route.status));
  if (route.text) tests.push(row => found?.has(row.n));
  return row => tests.every(test => test(row));
}

/** `retell.*` is every event of a source, `retell.call_ended` one of them. */
function eventTest(event) {
  if (event.endsWith('.*')) {
    const source = event.slice(0, -2);
    return row => row.source === source;
  }
  return row => `${row.source}.${row.event}` === event;
}
