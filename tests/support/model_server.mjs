// A server of models on this machine: Ollama's registry protocol and Hugging Face's files, with every fault that one may have.
import crypto from 'node:crypto';
import http from 'node:http';

import { waitUntil } from './wait.mjs';

export const sha256 = (bytes) => crypto.createHash('sha256').update(bytes).digest('hex');

const kModel = 'application/vnd.ollama.image.model';
const kProjector = 'application/vnd.ollama.image.projector';
const kPieceBytes = 64 * 1024;

export class ModelServer {
  blobs = new Map();  // By digest.
  manifests = new Map();  // By "library/demo:latest".
  files = new Map();  // By path; { bytes, etag, linked }.
  requests = [];  // { method, path, range, ifRange, authorization, sent }
  #faults = [];

  static async start() {
    const server = new ModelServer();
    server.http = http.createServer((request, response) => server.#answer(request, response));
    await new Promise((listening) => server.http.listen(0, '127.0.0.1', listening));
    server.authority = `127.0.0.1:${server.http.address().port}`;
    return server;
  }
  stop() {
    this.http.closeAllConnections();
    return new Promise((closed) => this.http.close(closed));
  }

  // `models` is one weights file, or several shards. Gives back the whole name.
  add(name, { models, projector, texts = {}, config = { model_format: 'gguf', model_family: 'llama', model_type: '1.0M', file_type: 'F16' } }) {
    const layer = (mediaType, bytes) => {
      this.blobs.set(sha256(bytes), bytes);
      return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length };
    };
    const layers = [].concat(models).map((bytes) => layer(kModel, bytes));
    if (projector) layers.push(layer(kProjector, projector));
    for (const [kind, text] of Object.entries(texts)) layers.push(layer(`application/vnd.ollama.image.${kind}`, Buffer.from(text)));
    const manifest = { schemaVersion: 2, mediaType: 'application/vnd.docker.distribution.manifest.v2+json', config: layer('application/vnd.docker.container.image.v1+json', Buffer.from(JSON.stringify(config))), layers };
    this.manifests.set(name, Buffer.from(JSON.stringify(manifest)));
    return `${this.authority}/${name}`;
  }
  // As Hugging Face has it: `linked` says the digest on the way to where the bytes are. Gives back the address.
  addFile(path, bytes, { linked = true, etag = `"${sha256(bytes).slice(0, 32)}"`, sized = true } = {}) {
    this.files.set(path, { bytes, etag, linked, sized });
    return `http://${this.authority}${path}`;
  }

  // The next request that fits meets it: { path: RegExp, method?, times?, kind, … }. Kinds: cut (after so many bytes), hold (after
  // so many, until release()), wrong (another byte at the end), short, long, status (with headers?), redirect (to), loop.
  fault(fault) {
    let released;
    const entry = { times: 1, method: 'GET', ...fault, wait: new Promise((done) => { released = done; }) };
    entry.release = released;
    this.#faults.push(entry);
    return entry;
  }
  clear() {
    for (const fault of this.#faults) fault.release();
    this.#faults = [];
    this.requests = [];
  }
  sentOf(pattern) {
    return this.requests.filter(({ method, path }) => method === 'GET' && pattern.test(path)).reduce((sum, { sent }) => sum + sent, 0);
  }
  asked(pattern, method = 'GET') {
    return this.requests.filter((one) => one.method === method && pattern.test(one.path));
  }
  holding(pattern) {
    return waitUntil('the server holds a transfer', () => this.requests.find((one) => pattern.test(one.path) && one.isHeld));
  }

  #takeFault(request) {
    const found = this.#faults.find((fault) => fault.times > 0 && fault.method === request.method && fault.path.test(request.url));
    if (found) found.times -= 1;
    return found;
  }

  #answer(request, response) {
    const record = { method: request.method, path: request.url, range: request.headers.range, ifRange: request.headers['if-range'], authorization: request.headers.authorization, sent: 0 };
    this.requests.push(record);
    response.on('close', () => { record.isClosed = true; });
    const fault = this.#takeFault(request);
    if (fault?.kind === 'status') {
      response.writeHead(fault.status, fault.headers ?? {});
      return response.end('{"errors":[{"code":"FAULT","message":"as the test wants it"}]}');
    }
    if (fault?.kind === 'redirect' || fault?.kind === 'loop') {
      response.writeHead(307, { location: fault.to ?? request.url });
      return response.end();
    }
    const path = request.url.split('?')[0];
    const manifest = /^\/v2\/(.+)\/manifests\/([^/]+)$/.exec(path);
    if (manifest) return this.#send(request, response, record, this.manifests.get(`${manifest[1]}:${manifest[2]}`), fault);
    const blob = /^\/v2\/.+\/blobs\/sha256:([0-9a-f]{64})$/.exec(path);
    if (blob && this.blobs.has(blob[1])) {
      // As the real ones, which have their bytes elsewhere.
      response.writeHead(307, { location: `http://${this.authority}/data/${blob[1]}?signature=secret` });
      return response.end();
    }
    const data = /^\/data\/([0-9a-f]{64})$/.exec(path);
    if (data) return this.#send(request, response, record, this.blobs.get(data[1]), fault, { etag: `"${data[1].slice(0, 20)}"` });
    if (path === '/token') {
      response.writeHead(200, { 'content-type': 'application/json' });
      return response.end(JSON.stringify({ token: 'anonymous-token' }));
    }
    const file = this.files.get(path);
    if (file?.linked) {
      this.blobs.set(sha256(file.bytes), file.bytes);
      response.writeHead(302, { location: `/data/${sha256(file.bytes)}`, 'x-linked-etag': `"${sha256(file.bytes)}"`, 'x-linked-size': String(file.bytes.length) });
      return response.end();
    }
    return this.#send(request, response, record, file?.bytes, fault, { etag: file?.etag, sized: file?.sized });
  }

  async #send(request, response, record, whole, fault, { etag, sized = true } = {}) {
    if (!whole) {
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not found"}]}');
      return;
    }
    const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
    const isSame = !request.headers['if-range'] || request.headers['if-range'] === etag;
    const from = range && isSame ? Number(range[1]) : 0;
    if (range && isSame && from >= whole.length) {
      response.writeHead(416, { 'content-range': `bytes */${whole.length}` });
      response.end();
      return;
    }
    let bytes = whole.subarray(from);
    const announced = bytes.length;
    if (fault?.kind === 'wrong') {
      bytes = Buffer.from(bytes);
      bytes[bytes.length - 1] ^= 0xff;
    }
    if (fault?.kind === 'long') bytes = Buffer.concat([bytes, Buffer.from('and more')]);
    const head = { 'accept-ranges': 'bytes', ...(etag ? { etag } : {}) };
    if (from > 0) head['content-range'] = `bytes ${from}-${whole.length - 1}/${whole.length}`;
    if (fault?.kind === 'short') head['content-length'] = announced - 1000;
    else if (fault?.kind === 'long') head['content-length'] = bytes.length;
    else if (sized && fault?.kind !== 'unsized') head['content-length'] = announced;
    response.writeHead(from > 0 ? 206 : 200, head);
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    const end = fault?.kind === 'short' ? announced - 1000 : bytes.length;
    const stopAt = fault?.kind === 'cut' || fault?.kind === 'hold' ? Math.min(fault.after, end) : end;
    if (!(await this.#write(response, record, bytes.subarray(0, stopAt)))) return;
    if (fault?.kind === 'cut') {
      response.destroy();
      return;
    }
    if (fault?.kind === 'hold') {
      record.isHeld = true;
      await fault.wait;
      if (!(await this.#write(response, record, bytes.subarray(stopAt, end)))) return;
    }
    response.end();
  }

  async #write(response, record, bytes) {
    for (let at = 0; at < bytes.length; at += kPieceBytes) {
      if (response.destroyed) return false;
      const piece = bytes.subarray(at, at + kPieceBytes);
      await new Promise((sent) => { response.write(piece, sent); });
      record.sent += piece.length;
    }
    return !response.destroyed;
  }
}
