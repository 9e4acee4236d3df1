// Times, sizes and durations as they are shown. Everything of one column has the same number of decimals.

const two = number => String(number).padStart(2, '0');

/** The time of day here, with milliseconds: 09:31:19.042. */
export function clock(ms) {
  const date = new Date(ms);
  const seconds = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${seconds}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** The day as well, for titles. */
export function moment(ms) {
  const date = new Date(ms);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(ms)}`;
}

/** 412 B, 3.1 KiB, 2.0 MiB. */
export function size(bytes) {
  if (bytes === null) return 'not read';
  if (bytes < 1024) return `${bytes} B`;
  const [unit, name] = bytes < 1024 * 1024 ? [1024, 'KiB'] : [1024 * 1024, 'MiB'];
  return `${(bytes / unit).toFixed(1)} ${name}`;
}

/** Milliseconds of an answer: 0.31. */
export function answered(microseconds) {
  return microseconds === null ? '' : (microseconds / 1000).toFixed(2);
}

/** Milliseconds of another program's answer: 1.3. */
export const tenths = ms => ms.toFixed(1);

/** 12,345 */
export const count = number => number.toLocaleString('en');

/** From one event to the next: +12 ms, +1.20 s, +3 min 4 s. */
export function after(ms) {
  if (ms < 1000) return `+${ms} ms`;
  if (ms < 60_000) return `+${(ms / 1000).toFixed(2)} s`;
  return `+${Math.floor(ms / 60_000)} min ${Math.floor((ms % 60_000) / 1000)} s`;
}

/** The event's name, or the head of a request that has none. */
export const title = row => row.event ?? `${row.method} ${row.path}`;
