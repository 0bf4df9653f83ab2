// Node's own HTTP parser, llhttp in its strict mode, as tests/codec compares it with ours. It is reached below node:http,
// which would add checks and leniency of its own.
import process from 'node:process';

const warn = process.emitWarning;
process.emitWarning = () => {};  // That this door is not for everybody.
const { HTTPParser, allMethods, methods } = process.binding('http_parser');
process.emitWarning = warn;

const kMethods = allMethods ?? methods;
const kHeadBytesMax = 64 * 1024;
const kNotLenient = 0;
const kSkipsBody = 1;

export const kVersion = process.versions.llhttp;
export const kKnownMethods = kMethods;

function pairs(flat) {
  const list = [];
  for (let i = 0; i < flat.length; i += 2) list.push([flat[i], flat[i + 1]]);
  return list;
}

// Reads a connection from its begin to its end. `method` is that of the request that a response answers. Returns
// { messages: [{ method | status, target, version, fields, body, keepAlive, upgrade }], state, why }, as the codec's tool
// says it.
export function parse(kind, method, bytes, piece) {
  const parser = new HTTPParser();
  parser.initialize(kind === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, kHeadBytesMax, kNotLenient);
  const messages = [];
  let message;
  let early = [];  // Fields that come before the head is whole, because they are many, and then the target as well.
  let earlyTarget;
  let begun = false;
  parser[HTTPParser.kOnMessageBegin] = () => { begun = true; };
  parser[HTTPParser.kOnHeaders] = (fields, target) => {
    early.push(...pairs(fields));
    earlyTarget = target || earlyTarget;
  };
  parser[HTTPParser.kOnHeadersComplete] = (major, minor, fields, methodNumber, target, status, _reason, upgrade, keepAlive) => {
    message = { version: `${major}.${minor}`, fields: [...early, ...pairs(fields ?? [])], body: [], keepAlive, upgrade };
    early = [];
    if (kind === 'request') Object.assign(message, { method: kMethods[methodNumber], target: target ?? earlyTarget });
    else message.status = status;
    return method === 'HEAD' && kind === 'response' ? kSkipsBody : 0;
  };
  parser[HTTPParser.kOnBody] = (body) => { message.body.push(Buffer.from(body)); };
  parser[HTTPParser.kOnMessageComplete] = () => {
    messages.push({ ...message, body: Buffer.concat(message.body) });
    message = undefined;
    early = [];  // Trailers, too, which we drop.
    earlyTarget = undefined;
    begun = false;
  };
  let failure;
  for (let at = 0; at < bytes.length && !failure && !messages.at(-1)?.upgrade; at += piece || bytes.length) {
    const outcome = parser.execute(Buffer.from(bytes.subarray(at, at + (piece || bytes.length))));
    if (outcome instanceof Error) failure = outcome;
  }
  const state = message ? 'in_body' : begun ? 'in_head' : 'complete';
  if (!failure && state === 'in_body') {
    const outcome = parser.finish();  // Which completes a body that ends with the connection.
    if (!(outcome instanceof Error) && !message) return { messages, state: 'complete', why: '' };
  }
  parser.close?.();
  return { messages, state: failure ? 'refused' : state, why: failure ? `${failure.code}: ${failure.reason}` : '' };
}
