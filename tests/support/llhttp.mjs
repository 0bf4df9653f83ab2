// llhttp, the HTTP parser of Node, as undici brings it: the same version for every Node, in its strict mode, and without the
// checks that node:http adds.
import { client } from './clients.mjs';

const kVersion = client('undici/package.json').version;
export const kParser = `llhttp of undici ${kVersion}`;

const kTypes = { request: 1, response: 2 };
const kPausedForUpgrade = 'HPE_PAUSED_UPGRADE';
const kHasNoBody = 1;
const kGoOn = 0;

// The reading under way: WebAssembly calls back without saying whose parser it is.
let reading;

const wasm = new WebAssembly.Instance(new WebAssembly.Module(client('undici/lib/llhttp/llhttp-wasm.js')), {
  env: {
    wasm_on_message_begin: () => reading.begin(),
    wasm_on_url: (_, at, size) => reading.take('target', at, size),
    wasm_on_status: () => kGoOn,
    wasm_on_header_field: (_, at, size) => reading.take('name', at, size),
    wasm_on_header_value: (_, at, size) => reading.take('value', at, size),
    wasm_on_headers_complete: (_, status, upgrade, keepAlive) => reading.headIsWhole(status, upgrade === 1, keepAlive === 1),
    wasm_on_body: (_, at, size) => reading.take('body', at, size),
    wasm_on_message_complete: () => reading.finish(),
  },
}).exports;
wasm._initialize();

const kTextMax = 256;
function textAt(pointer) {
  if (pointer === 0) return '';
  const bytes = Buffer.from(wasm.memory.buffer, pointer, kTextMax);
  return bytes.toString('latin1', 0, bytes.indexOf(0));
}

class Reading {
  messages = [];
  message = undefined;

  constructor(kind, method) {
    this.kind = kind;
    this.method = method;
    this.parser = wasm.llhttp_alloc(kTypes[kind]);
  }

  begin() {
    this.message = { target: '', fields: [], body: [] };
    this.last = 'begin';
    this.isHeadWhole = false;
    return kGoOn;
  }

  // Each may come in pieces.
  take(what, at, size) {
    const bytes = Buffer.from(Buffer.from(wasm.memory.buffer, at, size));
    const text = bytes.toString('latin1');
    if (what === 'body') this.message.body.push(bytes);
    else if (what === 'target') this.message.target += text;
    else if (!this.isHeadWhole) this.takeField(what, text);  // Trailers are dropped, by us as well.
    return kGoOn;
  }

  takeField(what, text) {
    const { fields } = this.message;
    if (what === 'name' && this.last !== 'name') fields.push(['', '']);
    fields.at(-1)[what === 'name' ? 0 : 1] += text;
    this.last = what;
  }

  headIsWhole(status, upgrade, keepAlive) {
    const { parser, kind, message } = this;
    this.isHeadWhole = true;
    for (const field of message.fields) field[1] = field[1].replace(/[ \t]+$/, '');  // It leaves the blanks behind a value.
    Object.assign(message, { upgrade, keepAlive, version: `${wasm.llhttp_get_http_major(parser)}.${wasm.llhttp_get_http_minor(parser)}` });
    if (kind === 'request') message.method = textAt(wasm.llhttp_method_name(wasm.llhttp_get_method(parser)));
    else message.status = status;
    return kind === 'response' && this.method === 'HEAD' ? kHasNoBody : kGoOn;
  }

  finish() {
    const { target, ...message } = this.message;
    this.messages.push({ ...message, ...(this.kind === 'request' ? { target } : {}), body: Buffer.concat(message.body) });
    this.message = undefined;
    return kGoOn;
  }

  // The error's name and reason, or undefined.
  execute(bytes) {
    const at = wasm.malloc(bytes.length);
    Buffer.from(wasm.memory.buffer, at, bytes.length).set(bytes);
    const code = wasm.llhttp_execute(this.parser, at, bytes.length);
    const failure = code === 0 ? undefined : [textAt(wasm.llhttp_errno_name(code)), textAt(wasm.llhttp_get_error_reason(this.parser))];
    wasm.free(at);
    return failure;
  }

  // Nothing more comes.
  end(failure) {
    const isUpgrade = failure?.[0] === kPausedForUpgrade;
    if (!failure && this.message && this.isHeadWhole) wasm.llhttp_finish(this.parser);  // Which may complete it.
    wasm.llhttp_free(this.parser);
    const state = failure && !isUpgrade ? 'refused' : !this.message || isUpgrade ? 'complete' : this.isHeadWhole ? 'in_body' : 'in_head';
    return { messages: this.messages, state, why: state === 'refused' ? failure.join(': ') : '' };
  }
}

export const kKnownMethods = Object.keys(client('undici/lib/llhttp/constants.js').METHODS);

// Reads a connection from its begin to its end, `piece` bytes at a time or, for 0, all at once. `method` is that of the
// request that a response answers. Returns { messages: [{ method, target | status, version, fields, body, keepAlive,
// upgrade }], state, why }, with the states of tests/support/http_codec.cc.
export function parse(kind, method, bytes, piece) {
  reading = new Reading(kind, method);
  const step = piece || Math.max(1, bytes.length);
  let failure;
  for (let at = 0; at < bytes.length && !failure; at += step) failure = reading.execute(bytes.subarray(at, at + step));
  return reading.end(failure);
}
