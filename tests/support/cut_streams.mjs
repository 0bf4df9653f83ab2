// Many streams at once of which half are cut, and how long each cut took to reach the engine.
import assert from 'node:assert/strict';

import { RawConnection } from './http.mjs';
import { monotonicNs, waitUntil } from './wait.mjs';

const kLinesBeforeCut = 3;
const kEndless = 100_000;  // Nobody waits for the end of what is cut.

// Asks for a stream on a connection of its own, so that cutting it is one system call.
export async function openRawStream(gateway, ask) {
  const connection = await RawConnection.open(gateway.port);
  const body = JSON.stringify({ stream: true, ...ask });
  connection.send(`POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  return connection;
}

const linesOf = (connection) => connection.bytes.toString('latin1').split('"done":false').length - 1;

// `streams` answers run together; half of those of each worker are cut on the way, the rest are read to their end.
// Returns the milliseconds from each cut to the moment in which the engine saw it.
export async function cutHalf(gateway, { streams, tokens, delayMs, label }) {
  const roles = ['coordinator', 'technical', 'documentation', 'vision'];
  const cuts = new Map();
  await Promise.all(Array.from({ length: streams }, async (_, i) => {
    const tag = `${label}-${i}`;
    // Every worker has both, so that a cut which harmed its neighbour would be seen.
    const isCut = Math.floor(i / roles.length) % 2 === 0;
    const connection = await openRawStream(gateway, {
      prompt: `Hello [[tokens=${isCut ? kEndless : tokens} delay_ms=${delayMs} tag=${tag}]]`,
      model: roles[i % roles.length],
    });
    if (isCut) {
      // Somewhere on the way, each elsewhere: clients do not leave all in one moment.
      const lines = kLinesBeforeCut + (i * 5) % Math.max(1, Math.floor(tokens / 2));
      await waitUntil('the stream runs', () => linesOf(connection) >= lines, { deadlineMs: 30_000, everyMs: 5 });
      cuts.set(tag, monotonicNs());
      connection.cut();
    } else {
      const answer = await connection.readResponse();
      connection.cut();
      const lines = answer.text.trimEnd().split('\n').map((line) => JSON.parse(line));
      assert.equal(lines.at(-1).done, true, `stream ${i} was not finished: ${answer.text.slice(-300)}`);
      assert.equal(lines.at(-1).eval_count, tokens);
    }
  }));
  const delays = [];
  for (const [tag, at] of cuts) {
    const seen = await gateway.engineLog.waitFor('peer_closed', { tag });
    delays.push(Number(BigInt(seen.t_ns) - at) / 1e6);
  }
  return delays;
}
