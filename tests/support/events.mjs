// Event streams, taken apart as strictly as the official clients do it.
import assert from 'node:assert/strict';

// [{ event, data }] of a whole stream; `data` is parsed unless it is "[DONE]".
export function parseEvents(text) {
  assert.ok(text.endsWith('\n\n'), `the last event has no end: ${text.slice(-200)}`);
  return text.split('\n\n').filter(Boolean).map((block) => {
    const out = { event: undefined, data: undefined };
    for (const line of block.split('\n')) {
      const field = /^(event|data): (.*)$/.exec(line);
      assert.ok(field, `not a line of an event: ${line}`);
      assert.equal(out[field[1]], undefined, `an event with two ${field[1]} lines: ${block}`);
      out[field[1]] = field[2];
    }
    assert.notEqual(out.data, undefined, `an event without data: ${block}`);
    if (out.data !== '[DONE]') out.data = JSON.parse(out.data);
    return out;
  });
}
