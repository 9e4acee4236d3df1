// A running `ringback dev`, and what posts to it besides the page.
import { spawn } from 'node:child_process';
import http from 'node:http';

/** The first start may be slow on a busy machine. */
const START_MS = 60_000;

export class Relay {
  output = '';
  /** The hosts of the inspectors of all relays that were started. */
  static hosts = new Set();

  /** Starts the binary on free ports, or on those of `before`, with further options. */
  static async start(binary, { before, more = [] } = {}) {
    const relay = new Relay();
    const port = url => (url ? new URL(url).port : '0');
    const options = ['--port', port(before?.webhook), '--admin-port', '0', '--inspector-port', port(before?.inspector), ...more];
    // Without a key of this machine's.
    const { RETELL_API_KEY: _, ...env } = process.env;
    relay.process = spawn(binary, ['dev', ...options], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    relay.ended = new Promise(resolve => relay.process.once('exit', resolve));
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`it did not start:\n${relay.output}`)), START_MS);
      const read = chunk => {
        relay.output += chunk;
        relay.inspector = /Inspector.* (http:\/\/localhost:\d+)\//.exec(relay.output)?.[1];
        relay.webhook = /Webhooks.* (http:\/\/localhost:\d+)\/webhook/.exec(relay.output)?.[1];
        if (relay.inspector && relay.webhook) resolve(clearTimeout(timer));
      };
      relay.process.stdout.on('data', read);
      relay.process.stderr.on('data', read);
      relay.ended.then(code => reject(new Error(`it ended with ${code}:\n${relay.output}`)));
    });
    Relay.hosts.add(new URL(relay.inspector).host);
    return relay;
  }

  async stop(signal = 'SIGINT') {
    this.process.kill(signal);
    await this.ended;
  }

  /** Posts to the webhook listener. `headers` is a flat list, sent as it is. */
  post(body, { path = '/webhook', method = 'POST', headers = [] } = {}) {
    return request(this.webhook + path, { method, headers: ['Content-Type', 'application/json', ...headers] }, body);
  }

  /** What the inspector's API answers. */
  async api(path, headers = {}) {
    const answer = await request(`${this.inspector}/api/${path}`, { headers });
    return JSON.parse(answer.body);
  }
}

/** One request on a connection of its own: {status, headers, body}. */
export function request(url, options, body = '') {
  return new Promise((resolve, reject) => {
    const bytes = Buffer.from(body);
    let { headers } = options;
    // With a flat list, node adds nothing by itself.
    if (Array.isArray(headers)) headers = ['Host', new URL(url).host, 'Content-Length', String(bytes.length), ...headers];
    const sent = http.request(url, { ...options, headers, agent: false }, answer => {
      const chunks = [];
      answer.on('data', chunk => chunks.push(chunk));
      answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks).toString() }));
      answer.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(bytes);
  });
}
