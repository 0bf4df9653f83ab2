// The OpenAPI document as a judge of real answers: status, content type, headers and body, each part of a stream too.
//
// A client is told to pass over fields that it does not know, so the document leaves its objects open; here they are
// closed, so that an answer with a field that nobody wrote down is a failure.
import assert from 'node:assert/strict';

import { client } from './clients.mjs';
import { parseEvents } from './events.mjs';
import { parseLines } from './http.mjs';

const { default: Ajv } = client('ajv/dist/2020.js');
const { default: addFormats } = client('ajv-formats');

// What any answer may carry by HTTP, by the gateway's own rules, for web pages, and to a key with limits.
const kCommonHeaders = new Set([
  'date', 'connection', 'keep-alive', 'content-type', 'content-length', 'transfer-encoding', 'x-content-type-options', 'cache-control', 'vary', 'allow',
  'www-authenticate', ...['requests', 'tokens'].flatMap((of) => ['limit', 'remaining', 'reset'].map((what) => `x-ratelimit-${what}-${of}`)),
]);
const kMethods = new Set(['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']);

export class Contract {
  constructor(document) {
    this.document = document;
    this.seen = new Map();  // "operationId status" → how often.
    this.operations = [];
    for (const [path, item] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        if (!kMethods.has(method)) continue;
        const takesSlashes = operation.parameters?.some((parameter) => parameter['x-takes-slashes']);
        const pattern = new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{\w+\}/g, takesSlashes ? '.+' : '[^/]+')}$`);
        this.operations.push({ id: operation.operationId, method, path, pattern, operation });
      }
    }
    this.open = this.#ajv(document);
    this.closed = this.#ajv(close(structuredClone(document)));
  }

  #ajv(document) {
    const ajv = new Ajv({ strict: false, allErrors: true, validateSchema: false });
    addFormats(ajv);
    return ajv.addSchema({ ...document, $id: 'doc' });
  }

  operation(method, target) {
    const path = target.split('?')[0];
    const found = this.operations.filter((known) => known.method === method.toLowerCase() && known.pattern.test(path));
    // The one with more words and fewer parameters is meant.
    return found.sort((a, b) => a.path.split('{').length - b.path.split('{').length)[0];
  }

  // What stands behind a $ref; everything else is itself.
  #resolve(node) {
    if (!node?.$ref) return { node };
    const path = node.$ref.slice(2).split('/').map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
    return { node: path.reduce((at, key) => at[key], this.document), pointer: node.$ref.slice(1) };
  }

  #validate(ajv, pointer, value, what) {
    const validate = ajv.getSchema(`doc#${pointer}`) ?? ajv.compile({ $ref: `doc#${pointer}` });
    assert.ok(validate(value), `${what} is not as ${pointer} says: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(value)?.slice(0, 1500)}`);
  }

  // Is the body one that the document lets a client send?
  takesRequest(method, target, body) {
    const { path } = this.operation(method, target);
    const pointer = `/paths/${escaped(path)}/${method.toLowerCase()}/requestBody/content/application~1json/schema`;
    return this.open.compile({ $ref: `doc#${pointer}` })(body);
  }

  check(method, target, answer) {
    const { id, path, operation } = this.operation(method, target);
    const what = `${method} ${target}: ${answer.status}`;
    const said = operation.responses[answer.status];
    assert.ok(said, `${what} is not described. ${answer.text.slice(0, 500)}`);
    const key = `${id} ${answer.status}`;
    this.seen.set(key, (this.seen.get(key) ?? 0) + 1);

    const { node: response, pointer = `/paths/${escaped(path)}/${method.toLowerCase()}/responses/${answer.status}` } = this.#resolve(said);
    this.#checkHeaders(response, pointer, answer, what);
    if (!response.content) {
      assert.equal(answer.text, '', `${what} has a body`);
      return;
    }
    const type = (answer.headers['content-type'] ?? '').split(';')[0];
    const media = response.content[type] ? type : '*/*';
    assert.ok(response.content[media], `${what} is of type ${type}, which is not described`);
    const at = `${pointer}/content/${escaped(media)}/schema`;
    const each = response.content[media]['x-each'];
    if (each === 'line') {
      for (const line of parseLines(answer.text)) this.#validate(this.closed, at, line, `${what}, a line`);
    } else if (each === 'event') {
      for (const { event, data } of parseEvents(answer.text)) {
        if (data === '[DONE]') continue;
        this.#validate(this.closed, at, data, `${what}, an event`);
        // Ours have no type beside their name.
        if (event !== undefined && 'type' in data) assert.equal(event, data.type, `${what}: an event's name is its type`);
      }
    } else if (type === 'application/json') {
      this.#validate(this.closed, at, answer.json(), what);
    } else {
      this.#validate(this.closed, at, answer.text, what);
    }
  }

  #checkHeaders(response, pointer, answer, what) {
    const described = new Map(Object.entries(response.headers ?? {}).map(([name, header]) => [name.toLowerCase(), { name, header }]));
    for (const [name, value] of Object.entries(answer.headers)) {
      const known = described.get(name);
      assert.ok(known || kCommonHeaders.has(name) || name.startsWith('access-control-'), `${what} has the header ${name}, which is not described`);
      if (!known) continue;
      const { node, pointer: at = `${pointer}/headers/${escaped(known.name)}` } = this.#resolve(known.header);
      const isNumber = node.schema.type === 'integer' && /^-?\d+$/.test(value);
      this.#validate(this.closed, `${at}/schema`, isNumber ? Number(value) : value, `${what}, ${name}`);
    }
    for (const [name, { header }] of described) {
      if (this.#resolve(header).node.required) assert.ok(name in answer.headers, `${what} lacks the header ${name}`);
    }
  }

  // { described, exercised, never: ["operation status"] }
  coverage() {
    const all = this.operations.flatMap(({ id, operation }) => Object.keys(operation.responses).map((status) => `${id} ${status}`));
    const never = all.filter((key) => !this.seen.has(key));
    return { described: all.length, exercised: all.length - never.length, never };
  }
}

const escaped = (text) => text.replaceAll('~', '~0').replaceAll('/', '~1');

// Closes every object of the answers that says which fields it has, and not whether it may have others.
function close(document) {
  const visited = new Set();
  const visit = (schema) => {
    if (schema === null || typeof schema !== 'object' || visited.has(schema)) return;
    visited.add(schema);
    if (typeof schema.$ref === 'string') {
      visit(schema.$ref.slice(2).split('/').reduce((at, key) => at[key.replaceAll('~1', '/')], document));
    }
    if (schema.properties && schema.additionalProperties === undefined) schema.unevaluatedProperties = false;
    for (const value of Object.values(schema)) visit(value);
  };
  const visitContent = (response) => Object.values(response.content ?? {}).forEach((media) => visit(media.schema));
  for (const item of Object.values(document.paths)) {
    for (const operation of Object.values(item)) Object.values(operation.responses ?? {}).forEach(visitContent);
  }
  Object.values(document.components.responses).forEach(visitContent);
  return document;
}
