// A request as a command for bash.

/** curl makes these itself, from the URL and the body. */
const OWN = ['content-length', 'connection', 'transfer-encoding', 'expect', 'te', 'upgrade', 'http2-settings', 'proxy-connection'];
/** The kernel takes no longer argument than 128 KiB; above this the body goes through a pipe. */
const MAX_ARGUMENT = 100_000;

/** Latin-1 text, in which each character is a byte, as one word of bash. */
export function quoted(latin1) {
  if (/^[\w@%+=:,./-]+$/.test(latin1)) return latin1;
  if (/^[\x20-\x7e\n]*$/.test(latin1)) return `'${latin1.replaceAll("'", String.raw`'\''`)}'`;
  const escaped = latin1.replace(/[\\']|[^\x20-\x7e]/g, character => {
    if (character === '\n') return String.raw`\n`;
    if (character === '\\' || character === "'") return `\\${character}`;
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
  return `$'${escaped}'`;
}

/** UTF-8 text as one word of bash. */
function quotedText(text) {
  // Beyond ASCII, text that can be read is better than escapes; control characters would be keys to a terminal.
  if (/^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f]*$/.test(text)) return `'${text.replaceAll("'", String.raw`'\''`)}'`;
  return quoted(String.fromCharCode(...new TextEncoder().encode(text)));
}

/**
 * The command that sends `request` (method, path, query, headers as Latin-1) to `origin`: scheme, host and port.
 * `body` is its text, or null if `base64` (the same body) is no text.
 */
export function curl(origin, request, body, base64) {
  const target = request.path + (request.query === null ? '' : `?${request.query}`);
  const words = ['curl --include'];
  // Otherwise curl would expand brackets, and shorten dots.
  if (/[[\]{}]/.test(target)) words.push('--globoff');
  if (/\/\.\.?(\/|$|\?)/.test(target)) words.push('--path-as-is');
  if (request.method === 'HEAD') words.push('--head');
  else if (request.method !== 'POST' || base64 === '') words.push(`--request ${quoted(request.method)}`);
  words[0] = `${words.splice(0).join(' ')} ${quoted(origin + target)}`;
  const names = request.headers.map(([name]) => name.toLowerCase());
  const host = new URL(origin).host;
  for (const [name, value] of request.headers) {
    const isOwn = OWN.includes(name.toLowerCase()) || (name.toLowerCase() === 'host' && value === host);
    if (!isOwn) words.push(`--header ${quoted(value === '' ? `${name};` : `${name}: ${value}`)}`);
  }
  // What curl would add.
  for (const name of ['User-Agent', 'Accept', 'Content-Type']) {
    const isAdded = name !== 'Content-Type' || base64 !== '';
    if (isAdded && !names.includes(name.toLowerCase())) words.push(`--header ${name}:`);
  }
  if (base64 === '') return lines(request.method === 'POST' ? [...words, "--data-raw ''"] : words);
  const isText = body !== null && !body.includes('\0') && base64.length < MAX_ARGUMENT;
  if (isText) return lines([...words, `--data-raw ${quotedText(body)}`]);
  const encoded = base64.match(/.{1,76}/g).join('\n');
  return `base64 -d <<'BODY' | ${lines([...words, '--data-binary @-'])}\n${encoded}\nBODY`;
}

const lines = words => words.join(' \\\n  ');
