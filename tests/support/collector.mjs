// A collector of traces: takes OTLP over HTTP in JSON, and is strict about it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';

import { waitUntil } from './wait.mjs';

const kTextOrNumber = { stringValue: 'string', intValue: 'string' };

function readAttributes(attributes) {
  const read = {};
  for (const { key, value, ...more } of attributes) {
    assert.deepEqual(more, {});
    assert.ok(!(key in read), `the attribute ${key} stands there twice`);
    const [[kind, it], ...others] = Object.entries(value);
    assert.deepEqual(others, []);
    assert.equal(typeof it, kTextOrNumber[kind], `${key}: ${JSON.stringify(value)}`);
    if (kind === 'intValue') assert.match(it, /^-?\d+$/);
    read[key] = kind === 'intValue' ? Number(it) : it;
  }
  return read;
}

// As opentelemetry-proto's JSON mapping says it: ids in hex, 64-bit numbers as texts, enumerations as numbers.
export function readSpan(span) {
  const { traceId, spanId, parentSpanId, traceState, name, kind, startTimeUnixNano, endTimeUnixNano, attributes, status, ...more } = span;
  assert.deepEqual(more, {});
  assert.match(traceId, /^(?!0+$)[0-9a-f]{32}$/);
  assert.match(spanId, /^(?!0+$)[0-9a-f]{16}$/);
  if (parentSpanId !== undefined) assert.match(parentSpanId, /^(?!0+$)[0-9a-f]{16}$/);
  assert.ok([1, 2, 3].includes(kind), `kind ${kind}`);
  for (const time of [startTimeUnixNano, endTimeUnixNano]) assert.match(time, /^[1-9]\d{18}$/);
  const [start, end] = [BigInt(startTimeUnixNano), BigInt(endTimeUnixNano)];
  assert.ok(start <= end, `${name} ends before it begins`);
  if (status !== undefined) assert.deepEqual(Object.keys(status).sort(), ['code', 'message']);
  return { traceId, spanId, parentSpanId, traceState, name, kind, start, end, attributes: readAttributes(attributes), error: status?.message };
}

export class Collector {
  // `behave(response)` answers in its place, when there is one. `tls` is a pair of an Authority's.
  static async start({ behave, port = 0, tls } = {}) {
    const collector = new Collector();
    Object.assign(collector, { behave, spans: [], texts: [], posts: 0, services: new Set(), faults: [] });
    const take = (request, response) => collector.take(request, response);
    collector.http = tls ? https.createServer({ cert: fs.readFileSync(tls.certificate), key: fs.readFileSync(tls.key) }, take) : http.createServer(take);
    await new Promise((resolve) => collector.http.listen(port, '127.0.0.1', resolve));
    collector.port = collector.http.address().port;
    collector.url = `${tls ? 'https' : 'http'}://127.0.0.1:${collector.port}`;
    return collector;
  }

  take(request, response) {
    let text = '';
    request.setEncoding('utf8').on('data', (piece) => { text += piece; }).on('end', () => {
      this.posts += 1;
      if (this.behave) return this.behave(response);
      try {
        this.read(request, text);
      } catch (error) {
        this.faults.push(error);
      }
      response.writeHead(200, { 'content-type': 'application/json' });
      return response.end('{"partialSuccess":{}}');
    });
  }

  read(request, text) {
    assert.equal(`${request.method} ${request.url}`, 'POST /v1/traces');
    assert.equal(request.headers['content-type'], 'application/json');
    this.texts.push(text);
    const { resourceSpans, ...more } = JSON.parse(text);
    assert.deepEqual(more, {});
    for (const { resource, scopeSpans } of resourceSpans) {
      const about = readAttributes(resource.attributes);
      this.services.add(`${about['service.name']} ${about['service.version']}`);
      for (const { scope, spans } of scopeSpans) {
        assert.equal(scope.name, 'gbgreg');
        this.spans.push(...spans.map(readSpan));
      }
    }
  }

  // All spans of the request with this id, the whole first; when they have come.
  async request(id) {
    return waitUntil(`the spans of ${id}`, () => {
      if (this.faults.length > 0) throw this.faults[0];
      const whole = this.spans.find(({ attributes }) => attributes['gbgreg.request_id'] === id);
      return whole && [whole, ...this.spans.filter((span) => span.traceId === whole.traceId && span !== whole)];
    });
  }

  async close() {
    if (this.faults.length > 0) throw this.faults[0];
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }
}
