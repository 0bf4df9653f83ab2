// Two clients: request() for what a well-behaved client does, RawConnection for everything else.
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';

import { within } from './wait.mjs';

const kResponseDeadlineMs = 60_000;

// Sends one request on a connection of its own. `body` may be a Buffer, a string, an object (sent as JSON) or an async
// iterable of Buffers. `to` may name another host or a socketPath, and a `ca` for TLS. Returns { status, headers, body, text,
// json() } when the whole answer is there.
export function request(port, method, path, { body, headers = {}, to, deadlineMs = kResponseDeadlineMs } = {}) {
  const answer = new Promise((resolve, reject) => {
    const sent = start(port, method, path, { body, headers, to }, (response) => {
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece));
      response.on('error', reject);
      response.on('aborted', () => reject(new Error('the connection was closed in the middle of the answer')));
      response.on('end', () => {
        const whole = Buffer.concat(pieces);
        resolve({
          status: response.statusCode,
          headers: response.headers,
          body: whole,
          text: whole.toString(),
          json: () => JSON.parse(whole.toString()),
        });
      });
    });
    sent.on('error', reject);
  });
  return within(`an answer to ${method} ${path}`, answer, deadlineMs);
}

// Resolves when the head of the answer is there: { status, headers, lines(), cut() }. lines() yields NDJSON objects.
export function openStream(port, path, body, { headers = {}, to } = {}) {
  const opened = new Promise((resolve, reject) => {
    const sent = start(port, 'POST', path, { body, headers, to }, (response) => {
      resolve({
        status: response.statusCode,
        headers: response.headers,
        lines: () => ndjson(response),
        cut: () => sent.destroy(),
      });
    });
    sent.on('error', reject);
  });
  return within(`the head of the answer to POST ${path}`, opened, kResponseDeadlineMs);
}

function start(port, method, path, { body, headers, to = {} }, onResponse) {
  const isStream = body !== null && typeof body === 'object' && !Buffer.isBuffer(body) && Symbol.asyncIterator in body;
  const isObject = body !== null && typeof body === 'object' && !Buffer.isBuffer(body) && !isStream;
  const bytes = isObject ? JSON.stringify(body) : body;
  const fields = { ...headers };
  if (isObject && !('content-type' in fields)) fields['content-type'] = 'application/json';
  if (bytes !== undefined && !isStream) fields['content-length'] = Buffer.byteLength(bytes);
  const { request: ask } = to.ca ? https : http;
  const sent = ask({ host: '127.0.0.1', port, method, path, headers: fields, agent: false, ...to }, onResponse);
  if (isStream) {
    (async () => {
      for await (const piece of body) {
        if (!sent.write(piece)) await new Promise((drained) => sent.once('drain', drained));
      }
      sent.end();
    })().catch((error) => sent.destroy(error));
  } else {
    sent.end(bytes);
  }
  return sent;
}

async function* ndjson(readable) {
  let rest = Buffer.alloc(0);
  for await (const piece of readable) {
    rest = Buffer.concat([rest, piece]);
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      yield JSON.parse(rest.subarray(0, end).toString());
      rest = rest.subarray(end + 1);
    }
  }
  if (rest.length > 0) throw new Error(`the last line has no end: ${rest.toString().slice(0, 200)}`);
}

// Every line of an NDJSON body, parsed.
export function parseLines(text) {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  return text.slice(0, -1).split('\n').map((line) => JSON.parse(line));
}

// A socket on which anything may be sent, and from which answers are read one by one.
export class RawConnection {
  #socket;
  #pieces = [];
  #ended = false;
  #failed = null;
  #wake = () => {};

  // `secure` holds the options of tls.connect, for TLS.
  static async open(port, { secure } = {}) {
    const where = { host: '127.0.0.1', port, noDelay: true };
    const socket = secure ? tls.connect({ ...where, ...secure }) : net.connect(where);
    const opened = secure ? 'secureConnect' : 'connect';
    await within('a connection', new Promise((resolve, reject) => socket.once(opened, resolve).once('error', reject)));
    return new RawConnection(socket);
  }

  constructor(socket) {
    this.#socket = socket;
    socket.removeAllListeners('error');
    socket.on('data', (piece) => {
      this.#pieces.push(piece);
      this.#wake();
    });
    socket.on('end', () => this.#end());
    socket.on('close', () => this.#end());
    socket.on('error', (error) => {
      this.#failed = error;
      this.#end();
    });
  }

  #end() {
    this.#ended = true;
    this.#wake();
  }

  get ended() {
    return this.#ended;
  }
  // What came and was not read as an answer. Joined only when it is looked at, because it may be very much.
  get bytes() {
    if (this.#pieces.length !== 1) this.#pieces = [Buffer.concat(this.#pieces)];
    return this.#pieces[0];
  }

  send(bytes) {
    return this.#socket.write(bytes);
  }
  // For bodies larger than what the sockets hold: resolves when the bytes are on their way.
  sendAll(bytes) {
    return new Promise((resolve) => this.#socket.write(bytes, resolve));
  }
  // Closes both directions at once, as a client that is killed does.
  cut() {
    this.#socket.destroy();
  }
  // Sends a reset instead of an orderly end. Not over TLS, for which Node has no such thing.
  reset() {
    this.#socket.resetAndDestroy();
  }
  // Stops reading, so that what the peer sends piles up on its side.
  pause() {
    this.#socket.pause();
  }
  resume() {
    this.#socket.resume();
  }
  // Says that nothing more will be sent, and goes on reading.
  halfClose() {
    this.#socket.end();
  }

  // The next answer: { version, status, headers, body, text, json() }. `head` for answers to HEAD, which have no body.
  async readResponse({ head = false, deadlineMs = kResponseDeadlineMs } = {}) {
    return within('a response', this.#readResponse(head), deadlineMs);
  }

  async waitFor(count) {
    await within(`${count} bytes`, this.#need(() => this.bytes.length >= count));
  }

  async closed(deadlineMs = 10_000) {
    const until = async () => {
      while (!this.#ended) await this.#more();
    };
    await within('the end of the connection', until(), deadlineMs);
  }

  #more() {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
  async #need(enough) {
    while (!enough()) {
      if (this.#ended) {
        throw new Error(`the connection ended early${this.#failed ? ` (${this.#failed.message})` : ''} after: ${this.bytes.toString('latin1').slice(0, 300)}`);
      }
      await this.#more();
    }
  }
  async #take(count) {
    await this.#need(() => this.bytes.length >= count);
    const taken = this.bytes.subarray(0, count);
    this.#pieces = [this.bytes.subarray(count)];
    return taken;
  }
  async #takeLine() {
    await this.#need(() => this.bytes.includes('\r\n'));
    const line = (await this.#take(this.bytes.indexOf('\r\n') + 2)).toString('latin1');
    return line.slice(0, -2);
  }

  async #readResponse(isHead) {
    const [, version, status] = /^(HTTP\/1\.[01]) (\d{3})( |$)/.exec(await this.#takeLine()) ?? [];
    if (!status) throw new Error('the answer does not begin with a status line');
    const headers = {};
    for (let line = await this.#takeLine(); line !== ''; line = await this.#takeLine()) {
      const colon = line.indexOf(':');
      const name = line.slice(0, colon).toLowerCase();
      if (name in headers && name === 'content-length') throw new Error('two Content-Length headers');
      headers[name] = line.slice(colon + 1).trim();
    }
    const body = await this.#readBody(isHead || status === '204' || status === '304' || status[0] === '1', headers);
    const text = body.toString();
    return { version, status: Number(status), headers, body, text, json: () => JSON.parse(text) };
  }

  async #readBody(none, headers) {
    if (none) return Buffer.alloc(0);
    if ('content-length' in headers) return this.#take(Number(headers['content-length']));
    if (headers['transfer-encoding'] === 'chunked') {
      const pieces = [];
      for (;;) {
        const size = parseInt(await this.#takeLine(), 16);
        if (Number.isNaN(size)) throw new Error('a chunk without a size');
        const piece = await this.#take(size + 2);
        if (piece.subarray(-2).toString() !== '\r\n') throw new Error('a chunk without an end');
        if (size === 0) return Buffer.concat(pieces);
        pieces.push(piece.subarray(0, size));
      }
    }
    await this.closed();
    return this.#take(this.bytes.length);
  }
}

// Opens, sends, reads one answer, closes.
export async function exchange(port, bytes, { secure, ...options } = {}) {
  const connection = await RawConnection.open(port, { secure });
  try {
    connection.send(bytes);
    return await connection.readResponse(options);
  } finally {
    connection.cut();
  }
}
