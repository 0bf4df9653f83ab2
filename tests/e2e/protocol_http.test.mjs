// What HTTP promises, on the routes of every protocol: they share a server, and none may be worse than the others.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { startScripted } from '../support/gateway.mjs';
import { exchange, RawConnection } from '../support/http.mjs';
import { waitUntil } from '../support/wait.mjs';

let gateway;
const kJsonLimit = 2 * 1024 * 1024;

before(async () => {
  gateway = await startScripted({ limits: { json_bytes_max: kJsonLimit } });
});
after(() => gateway?.dispose());

const message = (content) => ({ model: 'coordinator', messages: [{ role: 'user', content }] });
// [the route, its request that streams the prompt's answer, what the whole stream looks like]
const kRoutes = [
  ['/v1/chat/completions', (prompt) => ({ ...message(prompt), stream: true }), /token2.*\n\ndata: \[DONE\]\n\n$/s],
  ['/v1/completions', (prompt) => ({ model: 'coordinator', prompt, stream: true }), /token2.*\n\ndata: \[DONE\]\n\n$/s],
  ['/v1/messages', (prompt) => ({ ...message(prompt), max_tokens: 100_000, stream: true }), /token2.*event: message_stop\ndata: \{"type":"message_stop"\}\n\n$/s],
  ['/api/chat', (prompt) => ({ ...message(prompt), stream: true }), /token2.*"done":true.*\n$/s],
  ['/api/generate', (prompt) => ({ model: 'coordinator', prompt, stream: true }), /token2.*"done":true.*\n$/s],
];
const head = (target, body, more = '', version = '1.1') => `POST ${target} HTTP/${version}\r\nHost: x\r\n${more}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
const bytes = (target, ask, ...rest) => head(target, JSON.stringify(ask), ...rest) + JSON.stringify(ask);

for (const [target, ask, wanted] of kRoutes) {
  describe(target, () => {
    test('streams in chunks, without a length and uncompressed, whatever the client could unpack', async () => {
      const answer = await exchange(gateway.port, bytes(target, ask('[[tokens=3]]'), 'Accept-Encoding: gzip, deflate, br\r\n'));
      assert.equal(answer.status, 200);
      assert.match(answer.text, wanted);
      assert.equal(answer.headers['transfer-encoding'], 'chunked');
      assert.ok(!('content-length' in answer.headers) && !('content-encoding' in answer.headers));
      assert.equal(answer.headers['cache-control'], 'no-cache');
    });

    test('is not chunked for HTTP/1.0', async () => {
      const answer = await exchange(gateway.port, bytes(target, ask('[[tokens=3]]'), '', '1.0'));
      assert.ok(!('transfer-encoding' in answer.headers));
      assert.match(answer.text, wanted);
    });

    test('answers pipelined requests in their order', async () => {
      const connection = await RawConnection.open(gateway.port);
      try {
        connection.send([1, 2, 3].map((n) => bytes(target, ask(`[[text="answer-${n} token2" head_delay_ms=${30 - 10 * n}]]`))).join(''));
        for (const n of [1, 2, 3]) assert.match((await connection.readResponse()).text, new RegExp(`answer-${n}`));
      } finally {
        connection.cut();
      }
    });

    test('takes its request byte by byte', async () => {
      const connection = await RawConnection.open(gateway.port);
      try {
        for (const byte of bytes(target, ask('[[tokens=3]]'))) connection.send(byte);
        assert.match((await connection.readResponse()).text, wanted);
      } finally {
        connection.cut();
      }
    });

    test('refuses 8 GiB at their announcement, also when the client waits to be asked', async () => {
      for (const expect of ['', 'Expect: 100-continue\r\n']) {
        const answer = await exchange(gateway.port, `POST ${target} HTTP/1.1\r\nHost: x\r\n${expect}Content-Length: 8589934592\r\n\r\n`);
        assert.equal(answer.status, 413);
      }
    });

    test('cuts a chunked body that has no end off at the limit', async () => {
      const connection = await RawConnection.open(gateway.port);
      try {
        connection.send(`POST ${target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`);
        const chunk = Buffer.from(`10000\r\n${' '.repeat(0x10000)}\r\n`);
        let sent = 0;
        while (connection.bytes.length === 0 && !connection.ended && sent < 4 * kJsonLimit) {
          await connection.sendAll(chunk);
          sent += 0x10000;
        }
        assert.equal((await connection.readResponse()).status, 413);
        await connection.closed();
      } finally {
        connection.cut();
      }
    });

    test('takes its body for JSON whatever its content-type says', async () => {
      for (const type of ['', 'Content-Type: application/x-www-form-urlencoded\r\n', 'Content-Type: text/plain; charset=latin-1\r\n', 'Content-Type: multipart/form-data; boundary=x\r\n', 'Content-Type: \r\n']) {
        const answer = await exchange(gateway.port, bytes(target, ask('[[tokens=3]]'), type));
        assert.equal(answer.status, 200, `${type} ${answer.text}`);
        assert.match(answer.text, wanted);
      }
    });

    test('refuses JSON that is nested 200,000 deep', async () => {
      const whole = JSON.stringify(ask('[[tokens=3]]'));
      for (const [open, close] of [['[', ']'], ['{"a":', '}']]) {
        const nested = `${open.repeat(200_000)}1${close.repeat(200_000)}`;
        for (const body of [nested, `${whole.slice(0, -1)},"more":${nested}}`]) {
          assert.equal((await exchange(gateway.port, head(target, body) + body)).status, 400);
        }
      }
    });

    test('answers no 5xx to text that is not Unicode, and never echoes it', async () => {
      const spoiled = (bad) => Buffer.from(JSON.stringify(ask('spoiled')).replace('spoiled', bad), 'latin1');
      const elsewhere = (bad) => Buffer.from(`${JSON.stringify(ask('[[tokens=3]]')).slice(0, -1)},"more":"${bad}"}`, 'latin1');
      for (const bad of ['\\ud800', '\\udc00\\ud800', 'x\\ud83d', '\xff\xfe', '\xc0\x80', '\xed\xa0\x80', '\xf4\x90\x80\x80', '\xe2\x82']) {
        for (const body of [spoiled(bad), elsewhere(bad)]) {
          const answer = await exchange(gateway.port, Buffer.concat([Buffer.from(head(target, body)), body]));
          assert.equal(answer.status, 400, `${JSON.stringify(bad)}: ${answer.text}`);
          assert.ok(Buffer.from(answer.text).equals(answer.body), 'the answer itself is Unicode');
          assert.doesNotMatch(answer.text, /\\ud[89a-f]|\ufffd/i);
        }
      }
    });

    test('is 405 for other methods, and says which is right', async () => {
      for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH']) {
        const answer = await exchange(gateway.port, `${method} ${target} HTTP/1.1\r\nHost: x\r\n\r\n`, { head: method === 'HEAD' });
        assert.equal(answer.status, 405);
        assert.ok(answer.headers.allow.split(/, */).includes('POST'), answer.headers.allow);
      }
    });

    test('is left at any time, and the engine hears of it', async () => {
      for (const [when, directives] of [['waits', 'head_delay_ms=100000'], ['reads', 'prefill_ms=100000'], ['speaks', 'tokens=100000 delay_ms=5'], ['is-silent', 'stall_after=1']]) {
        const tag = `${target.replaceAll('/', '-')}-${when}`;
        const connection = await RawConnection.open(gateway.port);
        connection.send(bytes(target, ask(`[[${directives} tag=${tag}]]`)));
        await gateway.engineLog.waitFor('request_begin', { tag });
        connection.cut();
        await gateway.engineLog.waitFor('peer_closed', { tag });
      }
      await gateway.allSlotsFree();
    });

    test('is counted under its own name', async () => {
      const count = () => gateway.metric('gbgreg_http_requests_total', { route: target, status: '200' });
      const before = await count() ?? 0;
      await exchange(gateway.port, bytes(target, ask('[[tokens=3]]')));
      await waitUntil('it is counted', async () => await count() === before + 1);
    });
  });
}

test('no path of a protocol reads the disk', async () => {
  for (const path of ['/v1/models/..%2f..%2f..%2fetc%2fpasswd', '/v1/models/%2fetc%2fpasswd', '/v1/../../etc/passwd', '/v1/models/file:///etc/passwd']) {
    const answer = await exchange(gateway.port, `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.ok(answer.status === 404 || answer.status === 400, `${path} ${answer.status}`);
    assert.doesNotMatch(answer.text, /root:/);
  }
});
